"""Copies of sparse files that read and write only what is there."""
import errno
import fcntl
import os

FICLONE = 0x40049409


def data_extents(fd):
    """(start, length) of each stretch that is not a hole."""
    end = os.fstat(fd).st_size
    at = 0
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:
                return
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at - start


def sparse_copy(source, target):
    with open(source, "rb") as src, open(target, "wb") as dst:
        dst.truncate(os.fstat(src.fileno()).st_size)
        try:
            fcntl.ioctl(dst.fileno(), FICLONE, src.fileno())
            return
        except OSError:
            pass
        for start, length in data_extents(src.fileno()):
            os.lseek(src.fileno(), start, os.SEEK_SET)
            os.lseek(dst.fileno(), start, os.SEEK_SET)
            left = length
            while left:
                done = os.sendfile(dst.fileno(), src.fileno(), None, left)
                if not done:
                    break
                left -= done
