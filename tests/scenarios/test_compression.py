"""Compressed files: the kernel's are read, ours are read by the kernel, and who compresses what is decided alike."""
import os
import random
import re

import pytest

from harness import dump, files, image as images, treeview
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


def compressed_extents(image, tree=5):
    """How many file extents each compression has, inline ones apart: {"zlib": n, "inline zlib": n, "none": n ...}."""
    found = {}
    for (_, kind, _), lines in dump.items(image, tree):
        if kind == "EXTENT_DATA":
            words = " ".join(lines)
            name = re.search(r"compression \d+ \((\w+)\)|extent compression \d+ \((\w+)\)", words)
            name = (name.group(1) or name.group(2)) if name else "none"
            name = ("inline " if "(inline)" in words else "") + name
            found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.parametrize("option", ["compress-force=zlib:9", "compress-force=lzo", "compress-force=zstd:-15", "compress=zstd"])
def test_ours_are_read_by_the_kernel(subject, scratch, option):
    image = images.make(os.path.join(scratch, "img"), 256)
    kind = re.search(r"=(\w+)", option).group(1)
    m = subject.mount(image, option)
    populate(m.path, 2)
    want = treeview.look(m.path)
    m.umount()
    found = compressed_extents(image)
    assert found.get(kind, 0) > 60 and found.get(f"inline {kind}", 0) > 5, found
    bits = int(images.super_field(image, "incompat_flags"), 16)
    assert bits >> 3 & 3 == {"zlib": 0, "lzo": 1, "zstd": 2}[kind]
    images.judge(image)
    with KernelMount(image) as mnt:
        treeview.assert_same(want, treeview.look(mnt), ("ours", "kernel"))
        for name in ("text9", "mix11", "zero10"):
            files.write(f"{mnt}/{name}", b"z" * 10_001, 3333)
        want = treeview.look(mnt)
    m = subject.mount(image, option)
    treeview.assert_same(treeview.look(m.path), want, ("ours", "kernel"))
    m.umount()
