"""Small file helpers that scenarios share."""
import ctypes
import os

from . import ioctls

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


def write(path, data, offset=0, flags=os.O_CREAT | os.O_WRONLY, sync=False):
    fd = os.open(path, flags, 0o644)
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:done + (1 << 20)], offset + done)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def commit(mnt):
    """A commit that writes no content back: an fsync of a folder. (One of a file writes a log.)"""
    fd = os.open(mnt, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb", buffering=0) as f:
        return f.read()


def fallocate(path, offset, length, mode=0):
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(fd)


def nocow(path):
    """An empty nodatacow file."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))
    ioctls.set_nocow(path)
    return path


def inode(path):
    return os.stat(path).st_ino


def as_user(ids, call):
    """Runs call() in a child with another uid and gid; returns 0, or the errno of its OSError, 255 for anything else."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            os.setgroups([])
            os.setgid(ids[1])
            os.setuid(ids[0])
            call()
        except OSError as e:
            code = e.errno
        except BaseException:
            code = 255
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
