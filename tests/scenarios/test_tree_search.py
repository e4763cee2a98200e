"""TREE_SEARCH and INO_LOOKUP give what the kernel gives on a copy of the image: programs that know the format need nothing else."""
import fcntl
import os
import struct

import pytest

from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

TREE_SEARCH, INO_LOOKUP = 0xd0009411, 0xd0009412
KEY = struct.Struct("=QQQQQQQIIIIQQQQ")
HEAD = struct.Struct("=QQQII")
LAST = (1 << 64) - 1


def search(fd, tree, first=(0, 0, 0), last=(LAST, 255, LAST)):
    """Every (key, data) of a tree, read as stock programs do: page by page."""
    at, found = first, []
    while True:
        key = KEY.pack(tree, at[0], last[0], at[2], last[2], 0, LAST, at[1], last[1], 4096, 0, 0, 0, 0, 0)
        raw = bytearray(key.ljust(4096, b"\0"))
        fcntl.ioctl(fd, TREE_SEARCH, raw)
        count, where = KEY.unpack_from(raw)[9], KEY.size
        if not count:
            return found
        for _ in range(count):
            _, objectid, offset, kind, length = HEAD.unpack_from(raw, where)
            found.append(((objectid, kind, offset), raw[where + HEAD.size:where + HEAD.size + length]))
            where += HEAD.size + length
        objectid, kind, offset = found[-1][0]
        if offset < LAST:
            at = (objectid, kind, offset + 1)
        elif kind < 255:
            at = (objectid, kind + 1, 0)
        else:
            at = (objectid + 1, 0, 0)


@pytest.fixture
def peopled(image, kernel):
    with kernel(image) as k:
        run("btrfs", "subvolume", "create", f"{k}/s")
        os.makedirs(f"{k}/s/d/e")
        for i in range(500):
            with open(f"{k}/s/d/f{i}", "w") as f:
                f.write("x" * i)
        run("btrfs", "subvolume", "snapshot", f"{k}/s", f"{k}/s/d/e/snap")
    return image


def test_same_items_as_the_kernel(subject, peopled):
    twin = images.copy(peopled)
    m = subject.mount(peopled, "ro")
    fd = os.open(m.path, os.O_RDONLY)
    ours = {tree: search(fd, tree) for tree in (1, 3, 5, 256)}
    os.close(fd)
    m.umount()
    with KernelMount(twin, "ro") as k:
        fd = os.open(k, os.O_RDONLY)
        theirs = {tree: search(fd, tree) for tree in (1, 3, 5, 256)}
        os.close(fd)
    for tree, items in theirs.items():
        assert [key for key, _ in ours[tree]] == [key for key, _ in items]
        assert ours[tree] == items


def test_path_of_an_inode(subject, peopled):
    m = subject.mount(peopled, "ro")
    fd = os.open(m.path, os.O_RDONLY)
    number = os.stat(m.join("s/d/e")).st_ino & ((1 << 48) - 1)
    raw = bytearray(struct.pack("=QQ", 256, number).ljust(4096, b"\0"))
    fcntl.ioctl(fd, INO_LOOKUP, raw)
    assert raw[16:].split(b"\0")[0] == b"d/e/"
    os.close(fd)
    m.umount()
