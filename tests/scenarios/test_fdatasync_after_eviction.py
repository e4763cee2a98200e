"""A change whose item was written, and whose inode then left the memory, still waits for a commit: fdatasync knows."""
import os
import threading

import pytest

from harness import files, ioctls
from harness.blocks import DirectFile

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
MANY = 2500     # inodes: more than may be idle


def forget_all():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3\n")


def push_inodes_out(folder):
    """Who is idle before the many is not in memory afterwards."""
    forget_all()
    for n in range(MANY):
        os.stat(os.path.join(folder, str(n)))
    forget_all()


def test_fdatasync_of_an_evicted_file(subject, image):
    m = subject.mount(image, "commit=300", hooks=True)
    os.mkdir(m.join("d"))
    for n in range(MANY):
        os.mknod(m.join("d", str(n)))
    data = b"a" * 16384
    files.write(m.join("f"), data)
    ioctls.sync_fs(m.path)
    direct = DirectFile(m.join("f"))
    direct.write(data, len(data))
    direct.close()
    m.hooks.arm("tx.super_pre")
    commit = threading.Thread(target=ioctls.sync_fs, args=(m.path,))
    commit.start()
    m.hooks.wait("tx.super_pre")
    push_inodes_out(m.join("d"))
    fd = os.open(m.join("f"), os.O_RDWR)
    os.pread(fd, 1, 0)
    fdatasync = threading.Thread(target=os.fdatasync, args=(fd,))
    fdatasync.start()
    fdatasync.join(0.3)
    assert fdatasync.is_alive(), "fdatasync did not wait for the commit that makes the size durable"
    m.hooks.release("all")
    commit.join(10)
    fdatasync.join(10)
    os.close(fd)
    m.umount()
