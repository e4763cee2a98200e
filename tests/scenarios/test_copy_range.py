"""copy_file_range shares extents where it can, copies where it cannot, and zero range leaves zeroes: both against a model in
memory, and in the kernel's eyes afterwards."""
import hashlib
import os
import random
import time

import pytest

from harness import dump, files, ioctls
from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

from .race import Act


class Model:
    """One file and what it must hold."""

    def __init__(self, path):
        self.path, self.data = path, bytearray()
        open(path, "wb").close()

    def reach(self, size):
        self.data.extend(bytes(max(0, size - len(self.data))))

    def put(self, off, data):
        self.reach(off)
        self.data[off:off + len(data)] = data

    def agree(self, what):
        with open(self.path, "rb") as f:
            found = f.read()
        assert found == bytes(self.data), f"{self.path} after {what}: {len(found)} and {len(self.data)} bytes"


def copy_range(src, off, dst, to, length):
    done = 0
    with open(src, "rb") as a, open(dst, "r+b") as b:
        while done < length:
            n = os.copy_file_range(a.fileno(), b.fileno(), length - done, off + done, to + done)
            if n == 0:
                break
            done += n
    return done


def step(rng, files):
    one, two = rng.choice(files), rng.choice(files)
    off, to, length = rng.randrange(300_000), rng.randrange(300_000), rng.randrange(1, 100_000)
    kind = rng.choice(("write", "copy", "copy", "copy aligned", "zero", "truncate"))
    if kind == "write":
        data = rng.randbytes(length)
        with open(one.path, "r+b") as f:
            os.pwrite(f.fileno(), data, off)
        one.put(off, data)
    elif kind.startswith("copy"):
        if kind == "copy aligned":
            off, to, length = (n & ~4095 for n in (off, to, length + 4095))
        if one is two and off < to + length and to < off + length:
            return kind
        data = bytes(one.data[off:off + length])
        assert copy_range(one.path, off, two.path, to, len(data)) == len(data)
        if data:
            two.put(to, data)
    elif kind == "zero":
        keep = rng.random() < .5
        run("fallocate", "-z", *(["-n"] if keep else []), "-o", str(off), "-l", str(length), one.path)
        if not keep:
            one.reach(off + length)
        end = min(off + length, len(one.data))
        if off < end:
            one.put(off, bytes(end - off))
    else:
        os.truncate(one.path, off)
        del one.data[off:]
        one.reach(off)
    return kind


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_copies_and_zeroes(subject, image, seed):
    rng = random.Random(seed)
    with_mount = subject.mount(image)
    files = [Model(with_mount.join(name)) for name in ("a", "b", "c")]
    for i in range(200):
        kind = step(rng, files)
        if i % 10 == 0:
            for f in files:
                f.agree(f"step {i}, {kind}")
    sums = {os.path.basename(f.path): hashlib.md5(bytes(f.data)).hexdigest() for f in files}
    with_mount.umount()
    images.check(image)
    with KernelMount(image) as k:
        for name, want in sums.items():
            with open(os.path.join(k, name), "rb") as f:
                assert hashlib.md5(f.read()).hexdigest() == want, name


def test_an_aligned_copy_shares_the_extent(subject, image):
    m = subject.mount(image)
    with open(m.join("a"), "wb") as f:
        f.write(os.urandom(1 << 20))
    assert copy_range(m.join("a"), 0, open(m.join("b"), "wb").name, 0, 1 << 20) == 1 << 20
    numbers = [os.stat(m.join(name)).st_ino for name in ("a", "b")]
    m.umount()
    images.check(image)
    places = [{e.disk for e in dump.file_extents(image, number)} for number in numbers]
    assert places[0] == places[1] != set()


@pytest.mark.parametrize("mkfs", [(), ("-O", "^no-holes")], ids=["holes implied", "holes as items"])
def test_a_hole_is_copied(subject, scratch, mkfs):
    """Over data, over a hole, and behind the end: a range without an item is an error where holes have items."""
    image = images.make(os.path.join(scratch, "img"), 512, *mkfs)
    m = subject.mount(image)
    one = bytearray(os.urandom(64 << 10)) + bytes(128 << 10) + os.urandom(64 << 10)
    two = bytearray(os.urandom(200 << 10))
    files.write(m.join("a"), one[:64 << 10])
    files.write(m.join("a"), one[192 << 10:], 192 << 10)
    files.write(m.join("b"), two)
    for to in (32 << 10, 96 << 10, 500 << 10):
        assert copy_range(m.join("a"), 0, m.join("b"), to, len(one)) == len(one)
        two.extend(bytes(max(0, to - len(two))))
        two[to:to + len(one)] = one
    assert files.read(m.join("b")) == two
    m.umount()
    images.check(image)


@pytest.mark.fuse_only
@pytest.mark.hooks
def test_copy_over_what_is_being_written_back(subject, image):
    """The target's memory stays until its write-back is through: it would be another file's by then."""
    m = subject.mount(image, hooks=True)
    source, target = os.urandom(2 << 20), os.urandom(2 << 20)
    files.write(m.join("source"), source, sync=True)
    files.write(m.join("target"), target)
    m.hooks.arm("wr.io_pre", ino=files.inode(m.join("target")))
    flush = Act(ioctls.sync_fs, m.path)
    m.hooks.wait("wr.io_pre")
    copy = Act(copy_range, m.join("source"), 0, m.join("target"), 0, 2 << 20)
    time.sleep(0.3)
    assert os.stat(m.join("target")).st_blocks * 512 >= 2 << 20, "what is being written back is not there any more"
    m.hooks.release()
    flush.end()
    assert copy.end() == 2 << 20
    assert files.read(m.join("target")) == source
    m.umount()
    images.check(image)
