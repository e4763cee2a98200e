"""The uuid tree: brought up to date at the first writable mount of an image that mkfs made or somebody changed who does not keep it, so
that the kernel need not do it at a mount where there is no space left."""
import errno
import fcntl
import os
import struct

import pytest

from harness import dump, files, image as images, superblock
from harness.kernel import KernelMount
from harness.shell import run
from log.nodes import Node

UUID_TREE_GENERATION = superblock.METADATA_UUID_AT - 8
SET_RECEIVED_SUBVOL = 0xc0c89425        # _IOWR(0x94, 37, 200)
NOBODY = 4711


def follows(image):
    sb = superblock.read(image)
    return sb.u64(UUID_TREE_GENERATION) == sb.u64(superblock.GENERATION)


def entries(image):
    return [(key, [l for l in lines if l.startswith("subvol_id")]) for key, lines in dump.items(image, "uuid")]


def fill_with(make):
    """How many there are before there is no space for another."""
    for i in range(200_000):
        try:
            make(i)
        except OSError as e:
            assert e.errno == errno.ENOSPC
            return i
    raise AssertionError("it is never full")


def fill(mnt):
    assert fill_with(lambda i: files.write(f"{mnt}/big{i}", os.urandom(1 << 18))) > 10
    assert fill_with(lambda i: os.setxattr(f"{mnt}/big0", f"user.{i}", b"x" * 12_000)) > 1000      # a leaf each


@pytest.mark.fuse_only
def test_the_kernel_has_nothing_to_do_on_an_image_that_is_full(subject, scratch):
    path = images.make(os.path.join(scratch, "img"), 112)
    m = subject.mount(path)
    fill(m.path)
    m.umount()
    assert follows(path)
    with KernelMount(path):     # whose complaints are a failure
        pass


def set_received(subvolume):
    fd = os.open(subvolume, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SET_RECEIVED_SUBVOL, bytearray(bytes(range(1, 17)) + bytes(184)))
    finally:
        os.close(fd)


def make_subvolumes(path):
    images.make(path, 256)
    with KernelMount(path) as mnt:
        for i in range(5):
            run("btrfs", "subvolume", "create", f"{mnt}/s{i}")
        for i in range(2):      # two with one received uuid
            run("btrfs", "subvolume", "snapshot", "-r", f"{mnt}/s{i}", f"{mnt}/r{i}")
            run("btrfs", "property", "set", "-f", "-ts", f"{mnt}/r{i}", "ro", "false")
            set_received(f"{mnt}/r{i}")
        run("btrfs", "subvolume", "snapshot", f"{mnt}/s0", f"{mnt}/w0")


def uuid_leaf(image):
    for key, lines in dump.items(image, "root"):
        if key[:2] == ("UUID_TREE", "ROOT_ITEM"):
            return Node(image, int(" ".join(lines).split("bytenr ")[1].split()[0]))
    raise LookupError("no uuid tree")


def spoil(path):
    """One entry speaks of a subvolume that is not there instead of its own, one of somebody else's, one is gone, and a double one has
    an untrue third."""
    leaf = uuid_leaf(path)
    items = leaf.items()
    singles = [i for i in items if len(i.data) == 8]
    double, = (i for i in items if len(i.data) == 16)
    singles[0].data, singles[1].data = struct.pack("<Q", NOBODY), singles[2].data
    double.data += next(i.data for i in singles if i.data not in (double.data[:8], double.data[8:]))
    leaf.put_items([i for i in items if i is not singles[4]])
    leaf.write()
    superblock.edit(path, lambda sb: sb.put_u64(UUID_TREE_GENERATION, 0))


@pytest.mark.fuse_only
def test_untrue_entries_go_and_missing_ones_come(subject, scratch):
    path = os.path.join(scratch, "img")
    make_subvolumes(path)
    before = entries(path)
    spoil(path)
    assert entries(path) != before and not follows(path)
    subject.mount(path).umount()
    assert entries(path) == before and follows(path)
    images.judge(path)
    assert entries(path) == before


@pytest.mark.fuse_only
def test_a_readonly_mount_leaves_it(subject, scratch):
    path = images.make(os.path.join(scratch, "img"), 256)
    digest = images.sha256(path)
    subject.mount(path, "ro").umount()
    assert images.sha256(path) == digest and not follows(path)
