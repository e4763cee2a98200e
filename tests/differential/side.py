"""One of the mounts that are compared: paths, open handles, and the calls that Python does not have."""
import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


class Side:
    def __init__(self, name, root):
        self.name, self.root, self.fds = name, root, {}

    def path(self, relative):
        return os.path.join(self.root, relative)

    def attempt(self, operation):
        """What the operation returns, or the errno it fails with."""
        try:
            return "ok", operation.call(self)
        except OSError as e:
            return "errno", e.errno

    def close_handles(self):
        for fd in self.fds.values():
            try:
                os.close(fd)
            except OSError:
                pass                    # of a mount that was killed
        self.fds.clear()


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def fallocate(fd, mode, offset, length):
    checked(LIBC.fallocate(fd, mode, offset, length))


def renameat2(old, new, flags):
    checked(LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


class AsUser:
    """File system accesses of this thread, and only of this thread, as another user (setfsuid drops the rights with it)."""

    def __init__(self, uid):
        self.uid = uid

    def __enter__(self):
        if self.uid:
            LIBC.setfsgid(self.uid)
            LIBC.setfsuid(self.uid)

    def __exit__(self, *_):
        if self.uid:
            LIBC.setfsuid(0)
            LIBC.setfsgid(0)
