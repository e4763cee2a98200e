"""A file's size on disk is no smaller than what had arrived, or been set, before the commit that writes its item."""
import os
import threading

import pytest

from harness import files, image as images, ioctls
from harness.blocks import DirectFile
from harness.kernel import KernelMount

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
BLOCK = 4096


class Committing:
    """BTRFS_IOC_SYNC, parked at a sync point."""

    def __init__(self, m, point, **keys):
        self.m, self.error = m, None
        m.hooks.arm(point, **keys)
        self.thread = threading.Thread(target=self.body)
        self.thread.start()
        m.hooks.wait(point)

    def body(self):
        try:
            ioctls.sync_fs(self.m.path)
        except BaseException as e:
            self.error = e

    def finish(self):
        self.m.hooks.release("all")
        self.thread.join(20)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error


def after_a_kill(m, image):
    """Size and content of f as the kernel sees them."""
    m.kill()
    images.check(image)
    with KernelMount(image) as mnt:
        return os.stat(os.path.join(mnt, "f")).st_size, files.read(os.path.join(mnt, "f"))


@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
def test_start_overwritten_in_memory_during_a_commit(subject, image, direct):
    m = subject.mount(image, "commit=300", hooks=True)
    data = b"a" * (BLOCK * 16)
    if direct:
        f = DirectFile(m.join("f"), os.O_CREAT | os.O_RDWR)
        f.write(data, 0)
        f.close()
    else:
        files.write(m.join("f"), data)
    commit = Committing(m, "tx.delrefs")
    files.write(m.join("f"), b"b" * BLOCK, 0)
    commit.finish()
    assert after_a_kill(m, image)[1][BLOCK:] == data[BLOCK:]


def test_appended_during_a_commit(subject, image):
    """The sector that the old end is in becomes dirty again: the size stays behind what was flushed of it."""
    m = subject.mount(image, "commit=300", hooks=True)
    data = b"a" * (BLOCK * 16 + 1000)
    files.write(m.join("f"), data)
    commit = Committing(m, "tx.delrefs")
    files.write(m.join("f"), b"b" * 100, len(data))
    commit.finish()
    size, content = after_a_kill(m, image)
    assert size >= len(data) and content[:len(data)] == data


def test_size_set_before_a_commit(subject, image):
    """Nothing was written but zeros that are a hole; the first sector becomes dirty meanwhile."""
    m = subject.mount(image, "commit=300", hooks=True)
    with open(m.join("f"), "w") as f:
        f.truncate(BLOCK * 16)
    commit = Committing(m, "tx.delrefs")
    files.write(m.join("f"), b"b" * BLOCK, 0)
    commit.finish()
    assert after_a_kill(m, image)[0] == BLOCK * 16


def test_size_set_while_the_item_is_written(subject, image):
    """What is not in the item any more is in the next one."""
    m = subject.mount(image, "commit=300", hooks=True)
    files.write(m.join("f"), b"a" * BLOCK)
    ioctls.sync_fs(m.path)
    with open(m.join("f"), "r+") as f:
        os.ftruncate(f.fileno(), BLOCK * 2)
        commit = Committing(m, "in.item", ino=files.inode(m.join("f")))
        os.ftruncate(f.fileno(), BLOCK * 3)
        commit.finish()
        os.fsync(f.fileno())
    assert after_a_kill(m, image)[0] == BLOCK * 3


def test_nothing_forgotten_by_an_unmount(subject, image):
    m = subject.mount(image, "commit=300", hooks=True)
    with open(m.join("f"), "w") as f:
        os.ftruncate(f.fileno(), BLOCK)
        commit = Committing(m, "in.item", ino=files.inode(m.join("f")))
        os.ftruncate(f.fileno(), BLOCK * 3)
        commit.finish()
    m.umount()
    with KernelMount(image) as mnt:
        assert os.stat(os.path.join(mnt, "f")).st_size == BLOCK * 3
    images.judge(image)
