"""Editing superblocks: every copy gets the change and its checksum."""
import os
import struct

from .crc32c import crc32c

MAGIC = b"_BHRfS_M"
OFFSETS = (64 << 10, 64 << 20, 256 << 30)
FLAGS, GENERATION, TREE_ROOT, CHUNK_ROOT, LOG_ROOT = 56, 72, 80, 88, 96
TOTAL_BYTES, BYTES_USED, NUM_DEVICES = 112, 120, 136
SECTORSIZE, NODESIZE = 144, 148
COMPAT, COMPAT_RO, INCOMPAT = 172, 180, 188
FREE_SPACE_TREE, FREE_SPACE_TREE_VALID = 1, 2
CHANGING_FSID_V2, METADATA_UUID, METADATA_UUID_AT = 1 << 36, 1 << 10, 571


class Superblock:
    def __init__(self, data):
        self.data = bytearray(data)

    def u64(self, at):
        return struct.unpack_from("<Q", self.data, at)[0]

    def u32(self, at):
        return struct.unpack_from("<I", self.data, at)[0]

    def put_u64(self, at, value):
        struct.pack_into("<Q", self.data, at, value & (1 << 64) - 1)

    def and_u64(self, at, mask):
        self.put_u64(at, self.u64(at) & mask)

    def or_u64(self, at, bits):
        self.put_u64(at, self.u64(at) | bits)

    def seal(self):
        self.data[:4] = struct.pack("<I", crc32c(bytes(self.data[32:4096])))


def read(path, copy=0):
    with open(path, "rb") as f:
        return Superblock(os.pread(f.fileno(), 4096, OFFSETS[copy]))


def edit(path, change):
    """change(Superblock) on each copy that is there; crc32c images only."""
    with open(path, "r+b") as f:
        for offset in OFFSETS:
            data = os.pread(f.fileno(), 4096, offset)
            if data[64:72] != MAGIC:
                continue
            sb = Superblock(data)
            change(sb)
            sb.seal()
            os.pwrite(f.fileno(), sb.data, offset)
