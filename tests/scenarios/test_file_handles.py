"""A file handle (NFS, backup programs) leads to its file as long as that exists, even when the kernel has forgotten the inode."""
import ctypes
import errno
import os

import pytest

from harness.shell import run

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


class Handle(ctypes.Structure):
    _fields_ = [("handle_bytes", ctypes.c_uint), ("handle_type", ctypes.c_int), ("f_handle", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount_id = Handle(128, 0), ctypes.c_int()
    assert libc.name_to_handle_at(AT_FDCWD, path.encode(), ctypes.byref(handle), ctypes.byref(mount_id), 0) == 0
    return handle


def open_handle(mount_fd, handle, flags=os.O_RDONLY):
    fd = libc.open_by_handle_at(mount_fd, ctypes.byref(handle), flags)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return fd


def forget():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")


def test_handle_outlives_forgetting(mounted):
    os.makedirs(mounted.join("d/e"))
    with open(mounted.join("d/e/f"), "w") as f:
        f.write("found again")
    handles = {name: handle_of(mounted.join(name)) for name in ("d/e/f", "d/e")}
    root = os.open(mounted.path, os.O_RDONLY)
    for _ in range(2):
        forget()
        fd = open_handle(root, handles["d/e/f"])
        assert os.read(fd, 100) == b"found again"
        os.close(fd)
        fd = open_handle(root, handles["d/e"], os.O_RDONLY | os.O_DIRECTORY)
        assert os.listdir(fd) == ["f"]
        os.close(fd)
    os.close(root)


def test_handle_of_a_deleted_file_is_stale(mounted):
    open(mounted.join("f"), "w").close()
    handle = handle_of(mounted.join("f"))
    root = os.open(mounted.path, os.O_RDONLY)
    os.unlink(mounted.join("f"))
    forget()
    with pytest.raises(OSError) as e:
        os.close(open_handle(root, handle))
    assert e.value.errno == errno.ESTALE
    os.close(root)


def test_numbers_are_unique_across_subvolumes(subject, image, kernel):
    with kernel(image) as k:
        run("btrfs", "subvolume", "create", f"{k}/s")
        open(f"{k}/s/f", "w").close()
        run("btrfs", "subvolume", "snapshot", f"{k}/s", f"{k}/t")
    m = subject.mount(image)
    root = os.open(m.path, os.O_RDONLY)
    for name in ("s/f", "t/f"):
        want, handle = os.stat(m.join(name)), handle_of(m.join(name))
        forget()
        fd = open_handle(root, handle)
        assert os.fstat(fd).st_ino == want.st_ino
        os.close(fd)
    os.close(root)
    m.umount()
