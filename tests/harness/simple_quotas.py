"""Simple quotas: switching them on as the kernel does, and counting anew, extent by extent, who owns what.

The count reads the extent tree through the kernel's mount and the owners of nodes from the image itself; it shares nothing
with what is tested. Old btrfs programs refuse such images, so the kernel is the judge.
"""
import fcntl
import os
import re
import struct

from . import image as images
from .kernel import KernelMount
from .shell import output
from .tree_items import search

QUOTA_CTL, ENABLE_SIMPLE = 0xC0109428, 4
EXTENT_ITEM, METADATA_ITEM, OWNER_REF, CHUNK_ITEM = 168, 169, 172, 228
STATUS, INFO, RELATION = 240, 242, 246
FLAG_DATA = 1
ON, INCONSISTENT, SIMPLE = 1, 4, 8
NODE_OWNER_AT = 88


def enable(mnt):
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, QUOTA_CTL, struct.pack("<QQ", ENABLE_SIMPLE, 0))
    finally:
        os.close(fd)


def is_subvolume(ident):
    return ident == 5 or 256 <= ident < 1 << 48


class Counted:
    """flags, enable_gen and sums as the quota tree has them; owned: counted from the extents."""

    def __init__(self, image):
        twin = images.copy(image, image + ".counted")
        with KernelMount(twin, "ro") as mnt:
            fd = os.open(mnt, os.O_RDONLY)
            try:
                self.quota, self.chunks = search(fd, 8), search(fd, 3)
                self.extents = search(fd, 2)
            finally:
                os.close(fd)
            self.read_quota()
            with open(twin, "rb") as f:
                self.count(f)
        os.unlink(twin)

    def read_quota(self):
        self.sums, self.parents = {}, {}
        for (objectid, kind, offset), data in self.quota:
            if kind == STATUS:
                _, self.generation, self.flags, _, self.enable_gen = struct.unpack_from("<QQQQQ", data)
            elif kind == INFO:
                _, rfer, _, excl, _ = struct.unpack_from("<QQQQQ", data)
                self.sums[offset] = (rfer, excl)
            elif kind == RELATION and objectid < offset:
                self.parents.setdefault(objectid, []).append(offset)

    def physical(self, logical):
        for (_, kind, start), data in self.chunks:
            if kind == CHUNK_ITEM and start <= logical < start + struct.unpack_from("<Q", data)[0]:
                return struct.unpack_from("<Q", data, 48 + 8)[0] + logical - start
        raise LookupError(logical)

    def owner(self, f, logical, data):
        flags, = struct.unpack_from("<Q", data, 16)
        if flags & FLAG_DATA:
            return struct.unpack_from("<Q", data, 25)[0] if data[24] == OWNER_REF else 0
        return struct.unpack("<Q", os.pread(f.fileno(), 8, self.physical(logical) + NODE_OWNER_AT))[0]

    def above(self, group):
        """The group and all above it."""
        found, todo = set(), [group]
        while todo:
            group = todo.pop()
            if group not in found:
                found.add(group)
                todo += self.parents.get(group, [])
        return found

    def count(self, f):
        nodesize = struct.unpack("<I", os.pread(f.fileno(), 4, 65536 + 148))[0]
        self.owned = dict.fromkeys(self.sums, 0)
        for (logical, kind, offset), data in self.extents:
            if kind not in (EXTENT_ITEM, METADATA_ITEM) or struct.unpack_from("<Q", data, 8)[0] < self.enable_gen:
                continue
            owner = self.owner(f, logical, data)
            for group in self.above(owner) if is_subvolume(owner) else ():
                if group in self.owned:
                    self.owned[group] += offset if kind == EXTENT_ITEM else nodesize


def name(group):
    return f"{group >> 48}/{group & (1 << 48) - 1}"


def verify(image):
    """Sums are what the extents say, and the kernel, and newer btrfs programs, find nothing to object to."""
    found = Counted(image)
    assert found.flags == ON | SIMPLE, found.flags
    wrong = {name(g): (s, found.owned[g]) for g, s in found.sums.items() if s != (found.owned[g], found.owned[g])}
    assert not wrong, f"group: (on disk, counted) {wrong}"
    twin = images.copy(image, image + ".simple")
    with KernelMount(twin, "noatime") as mnt:
        images.read_everything(mnt)
        images.scrub(mnt)
    os.unlink(twin)
    if programs_know_simple_quotas():
        images.check(image)
    return {name(g): s[0] for g, s in found.sums.items()}


def programs_know_simple_quotas():
    return tuple(map(int, re.search(r"v(\d+)\.(\d+)", output("btrfs", "--version")).groups())) >= (6, 7)
