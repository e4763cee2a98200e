"""TREE_SEARCH and INO_LOOKUP give what the kernel gives on a copy of the image: programs that know the format need nothing else."""
import fcntl
import os
import struct

import pytest

from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run
from harness.tree_items import search

INO_LOOKUP = 0xd0009412


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
