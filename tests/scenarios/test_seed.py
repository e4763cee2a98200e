"""Seed devices: read for ever, written never; what is new goes to the sprout, and a balance moves off the seed what is there."""
import os
import random

import pytest

from harness import devices, files, image as images, ioctls, treeview
from harness.kernel import KernelMount
from harness.shell import run
from harness.subject import MountRefused

pytestmark = pytest.mark.fuse_only


def fill(root, prefix, count):
    for n in range(count):
        files.write(f"{root}/{prefix}{n}", random.Random(f"{prefix}{n}").randbytes(40_000 * (n % 7) + 100 * n + 1))


@pytest.fixture
def seed(scratch):
    path = images.make(os.path.join(scratch, "seed"), 200)
    with KernelMount(path) as mnt:
        fill(mnt, "old", 40)
        files.nocow(f"{mnt}/nocow")
        files.write(f"{mnt}/nocow", bytes(200_000))
        files.fallocate(f"{mnt}/prealloc", 0, 200_000)
    run("btrfstune", "-S", "1", path)
    return path


@pytest.fixture
def sprouted(scratch, seed):
    """The seed and the sprout that the kernel has put on it."""
    sprout = os.path.join(scratch, "sprout")
    with open(sprout, "wb") as f:
        f.truncate(400 << 20)
    with devices.Loops([sprout]) as loops, KernelMount(seed, "ro") as mnt:
        run("btrfs", "device", "add", "-f", loops[0], mnt)
        run("mount", "-o", "remount,rw", mnt)
        fill(mnt, "kernel", 10)
        run("btrfs", "filesystem", "sync", mnt)
    return [sprout, seed]


def test_alone_is_readonly(subject, seed):
    before = images.sha256(seed)
    m = subject.mount(seed)
    assert os.statvfs(m.path).f_flag & os.ST_RDONLY
    with pytest.raises(OSError):
        files.write(m.join("new"), b"new")
    view = treeview.look(m.path)
    m.umount()
    assert images.sha256(seed) == before
    with KernelMount(seed, "ro") as mnt:
        treeview.assert_same(view, treeview.look(mnt))


def test_sprout_is_written(subject, sprouted):
    """Files of the seed are changed, in place ones too: the seed stays as it is."""
    sprout, seed = sprouted
    before = images.sha256(seed)
    m = subject.mount(sprout, f"device={seed}")
    fill(m.path, "ours", 30)
    for name in ("old3", "nocow", "prealloc"):
        files.write(m.join(name), b"changed" * 999, 8192)
    os.unlink(m.join("old5"))
    view = treeview.look(m.path, mtimes=False)
    m.umount()
    assert images.sha256(seed) == before
    devices.check(sprouted)
    with devices.KernelDevices(sprouted) as mnt:
        treeview.assert_same(view, treeview.look(mnt, mtimes=False), ("btrfuse", "kernel"))


def test_balance_leaves_the_seed(subject, sprouted):
    sprout, seed = sprouted
    before = images.sha256(seed)
    m = subject.mount(sprout, f"device={seed}")
    view = treeview.look(m.path, mtimes=False)
    result = ioctls.balance(m.path, data={}, metadata={}, system={})
    assert result.error == 0, result
    fill(m.path, "late", 5)
    for n in range(5):
        os.unlink(m.join(f"late{n}"))
    treeview.assert_same(view, treeview.look(m.path, mtimes=False))
    m.umount()
    assert images.sha256(seed) == before
    devices.check(sprouted)
    with devices.KernelDevices(sprouted) as mnt:
        run("btrfs", "device", "remove", "1", mnt)      # nothing of it is in use
        treeview.assert_same(view, treeview.look(mnt, mtimes=False))
    images.judge(sprout)
    subject.mount(sprout).umount()


def test_seed_is_found(subject, scratch, sprouted):
    """In a folder, among others; without it the mount is refused by name."""
    sprout, seed = sprouted
    os.mkdir(os.path.join(scratch, "other"))
    stranger = images.make(os.path.join(scratch, "other", "stranger"), 200)
    run("btrfstune", "-S", "1", stranger)
    m = subject.mount(sprout, f"scan={scratch},scan={scratch}/other")
    assert files.read(m.join("old4")) == random.Random("old4").randbytes(40_000 * 4 + 401)
    m.umount()
    with pytest.raises(MountRefused) as refused:
        subject.mount(sprout)
    assert "2 devices" in str(refused.value)
    with pytest.raises(MountRefused) as refused:
        subject.mount(sprout, f"device={stranger}")
    assert "missing" in str(refused.value)


def test_seeds_of_others_are_in_nobodys_way(subject, scratch, sprouted):
    """One that the kernel has mounted, and one of which there are two copies."""
    folder = os.path.join(scratch, "other")
    os.mkdir(folder)
    strangers = [images.make(os.path.join(folder, name), 200) for name in ("busy", "double")]
    for path in strangers:
        run("btrfstune", "-S", "1", path)
    images.copy(strangers[1], os.path.join(folder, "double.copy"))
    with KernelMount(strangers[0], "ro"):
        m = subject.mount(sprouted[0], f"scan={folder},scan={scratch}")
        assert files.read(m.join("old4")) == random.Random("old4").randbytes(40_000 * 4 + 401)
        m.umount()


def test_two_sprouts_on_one_seed(subject, scratch, sprouted):
    sprout, seed = sprouted
    second = images.copy(sprout, os.path.join(scratch, "second"))
    one = subject.mount(sprout, f"device={seed}")
    two = subject.mount(second, f"device={seed}")
    fill(one.path, "one", 3)
    fill(two.path, "two", 3)
    one.umount()
    two.umount()
    devices.check([sprout, seed])
    devices.check([second, seed])
