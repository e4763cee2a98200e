"""Quotas: what an image says on disk, what the kernel says when it has mounted it, and what its rescan finds."""
import os
import re
import struct

from . import dump
from . import image as images
from .crc32c import crc32c
from .kernel import KernelMount
from .shell import output, run

ON, RESCAN, INCONSISTENT, SIMPLE = 1, 2, 4, 8
STATUS_KEY, INFO_KEY, LIMIT_KEY = 240, 242, 244
FLAG_NAMES = {"ON": ON, "SCANNING": RESCAN, "INCONSISTENT": INCONSISTENT, "SIMPLE_MODE": SIMPLE}


class OnDisk:
    """The quota tree as the last commit left it: sums[group] = (referenced, exclusive), flags, generation, scan."""

    def __init__(self, image):
        text = images.dump_tree(image, "-t", "8")
        self.sums = {}
        for group, rfer, excl in re.findall(
                r"key \(0 QGROUP_INFO (\d+/\d+)\).*?referenced (\d+) .*?exclusive (\d+) ", text, re.S):
            self.sums[group] = (int(rfer), int(excl))
        status = re.search(r"version \d+ generation (\d+) flags (\S+)(?: \((.*?)\))? scan (\d+)", text) or \
            re.search(r"version \d+ generation (\d+) flags (\S+) scan (\d+)", text)
        assert status, text
        self.generation, self.scan = int(status.group(1)), int(status.groups()[-1])
        self.flags = sum(FLAG_NAMES[n] for n in status.group(2).split("|") if n in FLAG_NAMES)

    def __repr__(self):
        return f"<quotas flags {self.flags} {self.sums}>"


def shown(mnt):
    """`btrfs qgroup show` of a kernel mount."""
    text = output("btrfs", "qgroup", "show", "--raw", mnt)
    return {m[0]: (int(m[1]), int(m[2])) for m in re.findall(r"^(\d+/\d+)\s+(\d+)\s+(\d+)", text, re.M)}


def rescan(mnt):
    run("btrfs", "quota", "rescan", "-w", mnt, timeout=120)


def verify(image, exact=True):
    """Sums on disk are complete and right: `btrfs check` counts the same, the kernel takes them as they are, and its
    rescan changes nothing."""
    found = OnDisk(image)
    assert found.generation == int(images.super_field(image, "generation")), "the status item did not follow the commit"
    assert found.flags == ON, found
    said = images.check(image)
    assert "Counts for qgroup" not in said and "inconsistent" not in said.lower(), said
    twin = images.copy(image, image + ".quota")
    with KernelMount(twin, "noatime") as mnt:
        kept = shown(mnt)
        rescan(mnt)
        counted = shown(mnt)
    assert counted == found.sums, difference(found.sums, counted)
    assert kept == found.sums, difference(found.sums, kept)
    return found


def difference(ours, theirs):
    return "\n".join(f"{g}: on disk {ours.get(g)}, counted {theirs.get(g)}"
                     for g in sorted(set(ours) | set(theirs)) if ours.get(g) != theirs.get(g))


def begin_rescan(image):
    """As a kernel leaves the image that has begun a rescan and got nowhere: all sums zero, the scan at the beginning."""
    patch(image, scanning(0), no_sums)


def patch(image, *changes):
    """Each of @changes gets every item of the quota tree, which is one leaf: leaf, kind, group, where its key and data are."""
    leaf = int(re.search(r"^leaf (\d+) items", images.dump_tree(image, "-t", "8"), re.M).group(1))
    nodesize = int(images.super_field(image, "nodesize"))
    with open(image, "r+b") as f:
        for at in dump.physical(image, leaf):
            node = bytearray(os.pread(f.fileno(), nodesize, at))
            change_items(node, changes)
            struct.pack_into("<I", node, 0, crc32c(bytes(node[32:])))
            os.pwrite(f.fileno(), node, at)


def change_items(leaf, changes):
    """Header 101 bytes, then items of 25: key (17), place from the header's end, size."""
    count, = struct.unpack_from("<I", leaf, 96)
    for i in range(count):
        _, kind, group, place, _ = struct.unpack_from("<QBQII", leaf, 101 + 25 * i)
        for change in changes:
            change(leaf, kind, group, 101 + 25 * i, 101 + place)


def scanning(cursor, generation=None):
    """A rescan that has come to @cursor."""
    def change(leaf, kind, group, key, data):
        if kind == STATUS_KEY:
            if generation is not None:
                struct.pack_into("<Q", leaf, data + 8, generation)
            flags, = struct.unpack_from("<Q", leaf, data + 16)
            struct.pack_into("<QQ", leaf, data + 16, flags | RESCAN, cursor)
    return change


def no_sums(leaf, kind, group, key, data):
    if kind == INFO_KEY:
        struct.pack_into("<QQQQ", leaf, data + 8, 0, 0, 0, 0)


def without(unwanted, of):
    """The item becomes one of a kind that nobody knows. For the last INFO item and the first LIMIT item, which keeps the order."""
    def change(leaf, kind, group, key, data):
        if (kind, group) == (unwanted, of):
            leaf[key + 8] = INFO_KEY + 1
    return change


def relations(image):
    """(child, parent) of every membership."""
    found = re.findall(r"key \((\d+/\d+) QGROUP_RELATION (\d+/\d+)\)", images.dump_tree(image, "-t", "8"))
    return {pair for pair in found if int(pair[0].split("/")[0]) < int(pair[1].split("/")[0])}
