"""Nodes of a log, read and changed in an image (one device, crc32c): how logs come about that this kernel does not write."""
import os
import struct
from dataclasses import dataclass

from harness import dump, superblock
from harness.crc32c import crc32c

HEADER, ITEM, POINTER = 101, 25, 33
TREE_LOG = (1 << 64) - 6
ROOT_ITEM, DIR_LOG_ITEM, DIR_LOG_INDEX, DIR_ITEM, DIR_INDEX, EXTENT_DATA = 132, 60, 72, 84, 96, 108


@dataclass
class Item:
    key: tuple          # objectid, type, offset
    data: bytes


class Node:
    def __init__(self, image, logical):
        self.image, self.logical = image, logical
        with open(image, "rb") as f:
            self.size = superblock.read(image).u32(superblock.NODESIZE)
            self.places = dump.physical(image, logical)
            self.raw = bytearray(os.pread(f.fileno(), self.size, self.places[0]))
        self.count, self.level = struct.unpack_from("<IB", self.raw, 96)

    def pointers(self):
        return [struct.unpack_from("<Q", self.raw, HEADER + n * POINTER + 17)[0] for n in range(self.count)]

    def items(self):
        found = []
        for n in range(self.count):
            *key, offset, size = struct.unpack_from("<QBQII", self.raw, HEADER + n * ITEM)
            found.append(Item(tuple(key), bytes(self.raw[HEADER + offset:HEADER + offset + size])))
        return found

    def put_items(self, items):
        """The leaf with these items instead."""
        items = sorted(items, key=lambda i: i.key)
        end, body = self.size - HEADER, bytearray(self.size - HEADER)
        for n, item in enumerate(items):
            end -= len(item.data)
            struct.pack_into("<QBQII", body, n * ITEM, *item.key, end, len(item.data))
            body[end:end + len(item.data)] = item.data
        assert end >= len(items) * ITEM, "the leaf is full"
        self.raw[HEADER:] = body
        struct.pack_into("<I", self.raw, 96, len(items))

    def write(self, seal=True):
        if seal:
            self.raw[:4] = struct.pack("<I", crc32c(bytes(self.raw[32:])))
        with open(self.image, "r+b") as f:
            for place in self.places:
                os.pwrite(f.fileno(), self.raw, place)


def whole_tree(image, logical):
    node = Node(image, logical)
    below = node.pointers() if node.level else []
    return [node, *(n for child in below for n in whole_tree(image, child))]


def leaves(image, logical):
    return [n for n in whole_tree(image, logical) if n.level == 0]


def tree(image, root_id):
    """The leaves of a tree as it was committed."""
    for leaf in leaves(image, superblock.read(image).u64(superblock.TREE_ROOT)):
        for item in leaf.items():
            if item.key[:2] == (root_id, ROOT_ITEM):
                return leaves(image, struct.unpack_from("<Q", item.data, 176)[0])
    raise LookupError(f"no tree {root_id}")


def log_roots(image):
    """{subvolume: address of its log}."""
    return {item.key[2]: struct.unpack_from("<Q", item.data, 176)[0]
            for leaf in leaves(image, superblock.read(image).u64(superblock.LOG_ROOT)) for item in leaf.items()
            if item.key[:2] == (TREE_LOG, ROOT_ITEM)}


def logs(image):
    """{subvolume: leaves of its log}."""
    return {root: leaves(image, at) for root, at in log_roots(image).items()}


def places(image):
    """(start, length) on the device of every node of a log and every extent that one names."""
    found = []
    for root in (superblock.read(image).u64(superblock.LOG_ROOT), *log_roots(image).values()):
        for node in whole_tree(image, root):
            found += [(place, node.size) for place in node.places]
            for item in node.items() if node.level == 0 else []:
                if item.key[1] == EXTENT_DATA and item.data[20] and any(item.data[21:29]):
                    disk, length = struct.unpack_from("<QQ", item.data, 21)
                    found += [(place, length) for place in dump.physical(image, disk)]
    return found
