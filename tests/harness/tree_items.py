"""Items of a mounted file system, as programs read them that know the format: TREE_SEARCH."""
import fcntl
import struct

TREE_SEARCH = 0xd0009411
KEY = struct.Struct("=QQQQQQQIIIIQQQQ")
HEAD = struct.Struct("=QQQII")
LAST = (1 << 64) - 1


def search(fd, tree, first=(0, 0, 0), last=(LAST, 255, LAST)):
    """Every (key, data) of a tree, read as stock programs do: page by page."""
    at, found = first, []
    while True:
        key = KEY.pack(tree, at[0], last[0], at[2], last[2], 0, LAST, at[1], last[1], 4096, 0, 0, 0, 0, 0)
        raw = bytearray(key.ljust(4096, b"\0"))
        fcntl.ioctl(fd, TREE_SEARCH, raw)
        count, where = KEY.unpack_from(raw)[9], KEY.size
        if not count:
            return found
        for _ in range(count):
            _, objectid, offset, kind, length = HEAD.unpack_from(raw, where)
            found.append(((objectid, kind, offset), raw[where + HEAD.size:where + HEAD.size + length]))
            where += HEAD.size + length
        objectid, kind, offset = found[-1][0]
        if offset < LAST:
            at = (objectid, kind, offset + 1)
        elif kind < 255:
            at = (objectid, kind + 1, 0)
        else:
            at = (objectid + 1, 0, 0)
