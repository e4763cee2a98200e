"""Compressed files: the kernel's are read, ours are read by the kernel, and who compresses what is decided alike."""
import os
import random

import pytest

from harness import files, image as images, treeview
from harness.kernel import KernelMount
from harness.shell import run

pytestmark = pytest.mark.needs_kernel
KINDS = ["zlib", "lzo", "zstd"]
WORDS = [w.encode() for w in "the quick brown fox jumps over a lazy dog while nobody looks at all".split()]


def text(rng, size):
    out = bytearray()
    while len(out) < size:
        out += b"%d " % rng.randrange(1000) + b" ".join(rng.choices(WORDS, k=20)) + b"\n"
    return bytes(out[:size])


def mixture(rng, size):
    """Stretches of text, zeroes and noise of all lengths."""
    out = bytearray()
    while len(out) < size:
        part = rng.choice((100, 4000, 4096, 20_000, 131_072, 200_000))
        out += rng.choice((text, lambda r, n: r.randbytes(n), lambda r, n: bytes(n)))(rng, part)
    return bytes(out[:size])


def populate(mnt, seed):
    """Sizes around every border, overwritten parts, clones, cut and punched files."""
    rng = random.Random(seed)
    sizes = [1, 60, 2000, 2049, 4000, 4095, 4096, 4097, 8192, 131_071, 131_072, 131_073, 262_144, 500_000, 1_500_000]
    for i, size in enumerate(sizes):
        files.write(f"{mnt}/text{i}", text(rng, size))
        files.write(f"{mnt}/mix{i}", mixture(rng, size))
        files.write(f"{mnt}/zero{i}", bytes(size))
    run("sync", "-f", mnt)
    for i in range(0, len(sizes), 2):
        files.write(f"{mnt}/text{i}", text(rng, 5000), rng.randrange(sizes[i] + 1))
    for i in range(1, len(sizes), 2):
        os.truncate(f"{mnt}/mix{i}", rng.randrange(sizes[i]))
    run("sync", "-f", mnt)
    for i in range(8, len(sizes)):
        files.fallocate(f"{mnt}/zero{i}", 4096 * rng.randrange(10), 4096 * 5, files.KEEP_SIZE | files.PUNCH_HOLE)
        os.truncate(f"{mnt}/text{i}", sizes[i] // 2)
        os.truncate(f"{mnt}/text{i}", sizes[i])
    files.write(f"{mnt}/sparse", text(rng, 10_000), 5_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_files_are_read(subject, scratch, kind):
    image = images.make(os.path.join(scratch, "img"), 256)
    with KernelMount(image, f"compress-force={kind}") as mnt:
        populate(mnt, 1)
        run("cp", "--reflink=always", f"{mnt}/mix13", f"{mnt}/clone")
        files.write(f"{mnt}/clone", b"x" * 5000, 70_000)
        run("btrfs", "subvolume", "snapshot", mnt, f"{mnt}/snap")
        files.write(f"{mnt}/snap/text12", b"y" * 9000, 12_345)
        want = treeview.look(mnt)
    m = subject.mount(image)
    treeview.assert_same(treeview.look(m.path), want, ("ours", "kernel"))
    for name in ("text9", "mix11", "clone"):                  # parts of sectors and extents are replaced
        files.write(m.join(name), b"z" * 10_001, 3333)
    want = treeview.look(m.path)
    m.umount()
    images.judge(image)
    with KernelMount(image, "ro") as mnt:
        treeview.assert_same(want, treeview.look(mnt), ("ours", "kernel"))
