"""Who is compressed, and who is not: properties, chattr, mount options and incompressible content, each as the kernel does it."""
import fcntl
import os
import random
import struct

import pytest

from harness import dump, files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run
from harness.subject import MountRefused

from .test_compression import compressed_extents, text

pytestmark = pytest.mark.needs_kernel
COMPR, NOCOMP, NOCOW = 0x4, 0x400, ioctls.FS_NOCOW_FL
NAME = "btrfs.compression"


def chattr(path, flags):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, ioctls.SETFLAGS, struct.pack("<Q", flags))
    finally:
        os.close(fd)


def lsattr(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return struct.unpack("<Q", fcntl.ioctl(fd, ioctls.GETFLAGS, bytes(8)))[0] & (COMPR | NOCOMP | NOCOW)
    finally:
        os.close(fd)


def outcome(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return f"errno {e.errno}"


def state(path):
    return lsattr(path), outcome(os.getxattr, path, NAME)


def play_properties(mnt):
    """Every value and flag on a file, a directory, a nodatacow file; what it answers and what is so afterwards."""
    told = []
    values = [b"zlib", b"lzo", b"zstd", b"zstd:9", b"zlibx", b"no", b"none", b"", b"lz4", b"nothing"]
    for kind in ("file", "dir", "nocow"):
        path = f"{mnt}/{kind}"
        os.mkdir(path) if kind == "dir" else files.nocow(path) if kind == "nocow" else files.write(path, b"")
        for value in values:
            told.append((kind, value, outcome(os.setxattr, path, NAME, value), state(path)))
        told.append((kind, "remove", outcome(os.removexattr, path, NAME), state(path)))
        told.append((kind, "again", outcome(os.removexattr, path, NAME), state(path)))
        for flags in (COMPR, NOCOMP, COMPR | NOCOMP, 0, COMPR, COMPR | NOCOW, 0, NOCOW, NOCOW | NOCOMP, 0):
            told.append((kind, flags, outcome(chattr, path, flags), state(path)))
    told.append(outcome(os.setxattr, f"{mnt}/file", "btrfs.other", b"x"))
    os.symlink("x", f"{mnt}/link")
    told.append(outcome(lambda: os.setxattr(f"{mnt}/link", NAME, b"zlib", follow_symlinks=False)))
    return told


def play_inheritance(mnt):
    told = []
    for name, prepare in (("zstd", lambda p: os.setxattr(p, NAME, b"zstd:7")), ("c", lambda p: chattr(p, COMPR)),
                          ("m", lambda p: chattr(p, NOCOMP)), ("none", lambda p: os.setxattr(p, NAME, b"none"))):
        folder = f"{mnt}/from-{name}"
        os.mkdir(folder)
        prepare(folder)
        os.mkdir(f"{folder}/d")
        files.write(f"{folder}/d/f", b"x")
        os.symlink("x", f"{folder}/l")
        os.mkfifo(f"{folder}/p")
        told += [(name, n, state(f"{folder}/{n}")) for n in ("", "d", "d/f")]
        told += [(name, n, outcome(lambda: os.getxattr(f"{folder}/{n}", NAME, follow_symlinks=False))) for n in "lp"]
    return told


@pytest.mark.parametrize("play", [play_properties, play_inheritance])
def test_answers_as_the_kernel(subject, scratch, image, play):
    with KernelMount(images.make(os.path.join(scratch, "reference"))) as mnt:
        want = play(mnt)
    m = subject.mount(image)
    got = play(m.path)
    m.umount()
    differ = [f"{g} / kernel {w}" for g, w in zip(got, want) if g != w]
    assert not differ, "\n".join(differ)
    images.judge(image)


def play_content(mnt):
    """Contents that are worth it and that are not; returns the flags that the files have afterwards."""
    rng = random.Random(5)
    os.mkdir(f"{mnt}/lzo")
    os.setxattr(f"{mnt}/lzo", NAME, b"lzo")
    for folder in ("", "lzo/"):
        files.write(f"{mnt}/{folder}text", text(rng, 600_000), sync=True)
        files.write(f"{mnt}/{folder}noise", rng.randbytes(600_000), sync=True)
        # looks promising by its first bytes, and is not: few different bytes in the sampled places
        files.write(f"{mnt}/{folder}liar", b"".join(bytes(16) + rng.randbytes(240) for _ in range(2048)), sync=True)
    files.nocow(f"{mnt}/nocow")
    files.write(f"{mnt}/nocow", text(rng, 200_000), sync=True)
    files.write(f"{mnt}/plus-m", b"")
    chattr(f"{mnt}/plus-m", NOCOMP)
    files.write(f"{mnt}/plus-m", text(rng, 200_000), sync=True)
    files.fallocate(f"{mnt}/prealloc", 0, 400_000)
    files.write(f"{mnt}/prealloc", text(rng, 200_000), sync=True)
    run("sync", "-f", mnt)
    found = {}
    for folder, _, names in os.walk(mnt):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, mnt)] = files.inode(path), lsattr(path)
    return found


def is_compressed(image, inode):
    return any(e.disk and e.ram > e.disk_bytes for e in dump.file_extents(image, inode))


@pytest.mark.parametrize("option", ["", "compress=zlib", "compress-force=zstd:5", "nodatacow,compress=lzo", "compress,nodatasum",
                                    "compress=zstd,compress=no"])
def test_content_is_judged_as_by_the_kernel(subject, scratch, image, option):
    reference = images.make(os.path.join(scratch, "reference"))
    with KernelMount(reference, option) as mnt:
        want = play_content(mnt)
    m = subject.mount(image, option)
    got = play_content(m.path)
    m.umount()
    told = {name: (flags, is_compressed(image, inode)) for name, (inode, flags) in got.items()}
    assert told == {name: (flags, is_compressed(reference, inode)) for name, (inode, flags) in want.items()}
    kinds = lambda path: {k.replace("inline ", "") for k in compressed_extents(path)}
    assert kinds(image) == kinds(reference)
    images.judge(image)


@pytest.mark.fuse_only
@pytest.mark.parametrize("option", ["compress=lz4", "compress=zstd:", "compress=lzo:3", "compress-force=zlib:x"])
def test_bad_option_is_refused(subject, image, option):
    with pytest.raises(MountRefused, match="bad value"):
        subject.mount(image, option)


@pytest.mark.fuse_only
def test_file_that_ends_in_a_compressed_inline_extent(subject, image, kernel):
    """Cut, grown and continued: the content stays what it should be, here and in the kernel."""
    m = subject.mount(image, "compress-force=zstd")
    line = text(random.Random(3), 4096)
    want = {}
    for i, (size, cut, grow) in enumerate([(4096, 4096, 9000), (4096, 1000, 1000), (3000, 500, 20_000), (4096, 4000, 4096)]):
        path = m.join(f"f{i}")
        files.write(path, line[:size], sync=True)
        os.truncate(path, cut)
        os.truncate(path, grow)
        want[f"f{i}"] = line[:cut] + bytes(grow - cut)
    files.write(m.join("grown"), line, sync=True)
    files.write(m.join("grown"), b"more" * 2000, 4096)
    want["grown"] = line + b"more" * 2000
    assert {n: files.read(m.join(n)) for n in want} == want
    m.umount()
    images.judge(image)
    with kernel(image, "ro") as mnt:
        assert {n: files.read(f"{mnt}/{n}") for n in want} == want
