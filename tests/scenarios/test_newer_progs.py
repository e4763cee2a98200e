"""What btrfs-progs 6.14 makes and 6.2 cannot, read and written by us, judged by 6.14's check and by the kernel."""
import os

import pytest

from harness import files, image as images, ioctls
from harness.kernel import KernelMount

MIB = 1 << 20
FORMS = {
    "block-group-tree": ["-O", "block-group-tree"],
    "block-group-tree, small nodes": ["-O", "block-group-tree", "-n", "4096", "--csum", "blake2"],
    "default": [],
}


def make(progs, path, *options):
    with open(path, "wb") as f:
        f.truncate(512 * MIB)
    progs.run("mkfs.btrfs", "-q", "-f", *options, path)
    return path


def check(progs, image):
    out = progs.run("btrfs", "check", "--check-data-csum", image).out
    assert "no error found" in out and "WARNING" not in out and "ERROR" not in out, out


@pytest.mark.parametrize("form", FORMS)
def test_made_by_mkfs(subject, scratch, progs, form):
    """Written by us, moved by a balance, written by the kernel, and by us again."""
    image = make(progs, os.path.join(scratch, "img"), *FORMS[form])
    data = {}

    def add(root, prefix):
        for n in range(12):
            data[f"{prefix}{n}"] = os.urandom(n * 100_000 + 10)
            files.write(os.path.join(root, f"{prefix}{n}"), data[f"{prefix}{n}"])

    def same(root):
        assert {n: files.read(os.path.join(root, n)) for n in os.listdir(root)} == data
    m = subject.mount(image)
    add(m.path, "ours")
    ioctls.sync_fs(m.path)
    assert ioctls.balance(m.path, data={}, metadata={}, system={}).error == 0
    same(m.path)
    m.umount()
    check(progs, image)
    with KernelMount(image) as mnt:
        same(mnt)
        add(mnt, "kernel's")
    m = subject.mount(image)
    same(m.path)
    for name in sorted(data)[::2]:
        os.unlink(m.join(name))
        del data[name]
    ioctls.sync_fs(m.path)
    assert ioctls.balance(m.path, data={"usage": 80}, metadata={}).error == 0
    m.umount()
    check(progs, image)
    with KernelMount(image) as mnt:
        same(mnt)
        images.scrub(mnt)


def test_tree_filled_by_mkfs(subject, scratch, progs):
    """--rootdir with compression: extents and subvolumes that no kernel has written."""
    root = os.path.join(scratch, "root")
    os.makedirs(root + "/sub/in")
    content = {"text": b"compressible " * 20_000, "sub/in/inline": b"tiny", "sub/random": os.urandom(300_000)}
    for name, data in content.items():
        files.write(os.path.join(root, name), data)
    os.symlink("text", root + "/link")
    os.link(root + "/text", root + "/sub/hard")
    image = make(progs, os.path.join(scratch, "img"), "--rootdir", root, "--compress", "zstd", "--subvol", "sub")
    m = subject.mount(image)
    for name, data in content.items():
        assert files.read(m.join(name)) == data
    files.write(m.join("text"), b"changed", 5000)
    files.write(m.join("sub/new"), b"new" * 10_000)
    ioctls.sync_fs(m.path)
    assert ioctls.balance(m.path, data={}, metadata={}).error == 0
    m.umount()
    check(progs, image)
    with KernelMount(image) as mnt:
        assert files.read(f"{mnt}/sub/random") == content["sub/random"]
        assert files.read(f"{mnt}/text")[5000:5007] == b"changed"


@pytest.mark.fuse_only
def test_converted_to_a_block_group_tree(subject, scratch, progs):
    """btrfstune moves the group items to a tree of their own, and back, on images that we have written."""
    image = images.make(os.path.join(scratch, "img"))
    for step in ("--convert-to-block-group-tree", "--convert-from-block-group-tree"):
        m = subject.mount(image)
        files.write(m.join(step[2:]), os.urandom(3 * MIB))
        m.umount()
        progs.run("btrfstune", step, image, timeout=120)
        check(progs, image)
        m = subject.mount(image)
        assert len(files.read(m.join(step[2:]))) == 3 * MIB
        assert ioctls.balance(m.path, data={}, metadata={}).error == 0
        m.umount()
        check(progs, image)
    images.judge(image)
