"""Crash states after fsync: the kernel logs, its image is copied away from under it; and the judge of one."""
import ctypes
import fcntl
import os
import stat
import struct
import time
from dataclasses import replace

from harness import files, image as images, treeview
from harness.files import LIBC
from harness.kernel import KernelMount

OPTIONS = "commit=300"


def commit(mnt):
    """A transaction commit of this file system alone."""
    fd = os.open(mnt, os.O_RDONLY)
    try:
        if LIBC.syncfs(fd):
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(fd)


def fsync(path, data_only=False):
    fd = os.open(path, os.O_RDONLY)
    try:
        (os.fdatasync if data_only else os.fsync)(fd)
    finally:
        os.close(fd)


FICLONERANGE = 0x4020940D


def clone(source, offset, target, to, length):
    """Shares @length bytes (block aligned) of @source with @target, which is made if need be."""
    src, dst = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.ioctl(dst, FICLONERANGE, struct.pack("=qQQQ", src, offset, length, to))
    finally:
        os.close(src)
        os.close(dst)


def has_log(image):
    return images.super_field(image, "log_root") != "0"


def make_chunks(mnt):
    """Room for data that stays: a chunk that comes or goes would make the next fsync a commit."""
    path = os.path.join(mnt, ".chunks")
    files.fallocate(path + "-full", 0, 96 << 20)
    files.fallocate(path, 0, 4096)
    os.unlink(path + "-full")


def make(path, prepare, work, mkfs=(), options="", size_mib=1024):
    """An image that the kernel left with a log: prepare(mnt) is committed, work(mnt) is not, its fsyncs aside."""
    images.make(path, size_mib, *mkfs)
    base = path + ".base"
    os.rename(path, base)
    with KernelMount(base, ",".join(o for o in (OPTIONS, options) if o)) as mnt:
        make_chunks(mnt)
        prepare(mnt)
        commit(mnt)
        kept = work(mnt)
        images.copy(base, path)
        del kept
    os.unlink(base)
    return path


def look(mnt, since):
    """The tree below @mnt with the space that files take; times that a replay itself made are not compared."""
    view = {}
    for path, e in treeview.look(mnt).items():
        if stat.S_ISREG(int(e.type, 8)):
            e = replace(e, holes=(*e.holes, f"{os.lstat(os.path.join(mnt, path)).st_blocks} blocks"))
        view[path] = replace(e, mtime_ns=0) if e.mtime_ns >= since else e
    return view


def forgive(want, got):
    """Where the kernel's replay touched a time, ours keeps the one from before."""
    return {path: replace(e, mtime_ns=0) if path in want and want[path].mtime_ns == 0 else e for path, e in got.items()}


def kernel_view(image):
    """What the kernel shows after its replay; @image is not changed."""
    twin = images.copy(image, image + ".kernel")
    since = time.time_ns()
    try:
        with KernelMount(twin) as mnt:
            return look(mnt, since)
    finally:
        os.unlink(twin)


def judge(subject, image, options=""):
    """Replayed by the kernel and by what is under test the trees are equal; check and the kernel find nothing to say."""
    want = kernel_view(image)
    since = time.time_ns()
    m = subject.mount(image, options)
    got = look(m.path, since)
    m.umount()
    treeview.assert_same(want, forgive(want, got), ("kernel", "btrfuse"))
    assert not has_log(image), "the log is still there"
    images.check(image)
    with KernelMount(image) as mnt:
        again = look(mnt, since)
    treeview.assert_same(want, forgive(want, again), ("kernel", "kernel after btrfuse"))
    return want
