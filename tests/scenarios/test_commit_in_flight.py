"""What changes while a commit is on its way to the device belongs to the next one, and fsync waits for that."""
import os
import mmap
import threading

import pytest

from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
BLOCK = 4096


def nodatacow_file(path, blocks=16):
    """A written nodatacow file, so that what follows happens in place and joins no transaction."""
    open(path, "w").close()
    run("chattr", "+C", path)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, blocks * BLOCK)
    buffer.write(b"a" * (blocks * BLOCK))
    os.pwrite(fd, buffer, 0)
    os.fsync(fd)
    return fd


def overwrite(fd, byte):
    buffer = mmap.mmap(-1, BLOCK)
    buffer.write(byte * BLOCK)
    assert os.pwrite(fd, buffer, 0) == BLOCK


def test_fsync_of_a_change_during_a_commit(subject, image):
    m = subject.mount(image, "commit=300", hooks=True)
    fd = nodatacow_file(m.join("f"))
    os.mkdir(m.join("something to commit"))
    m.hooks.arm("tx.super_pre")
    sync = threading.Thread(target=lambda: run("sync", "-f", m.path))
    sync.start()
    m.hooks.wait("tx.super_pre")
    overwrite(fd, b"b")
    changed = os.fstat(fd).st_mtime_ns
    fsync = threading.Thread(target=os.fsync, args=(fd,))
    fsync.start()
    fsync.join(0.3)
    assert fsync.is_alive(), "fsync did not wait for a commit that holds the change"
    m.hooks.release("all")
    sync.join(10)
    fsync.join(10)
    os.close(fd)
    m.kill()
    images.check(image)
    with KernelMount(image) as mnt:
        assert os.stat(os.path.join(mnt, "f")).st_mtime_ns == changed
