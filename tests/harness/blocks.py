"""The block oracle: every 4 KiB block says which file, block, sequence and writer it is, and carries a crc.

A block may hold any version from the last acknowledged to the last issued (after a crash: from the last fsynced). A block
of another file or another place is a misdirected write; a broken crc is a torn one.
"""
import mmap
import os
import struct
import zlib

SIZE = 4096
_HEAD = struct.Struct("<8sIQQII")      # magic, file, block, seq, writer, crc
MAGIC = b"BLOCKorc"


def make(file_id, block, seq, writer=0):
    head = _HEAD.pack(MAGIC, file_id, block, seq, writer, 0)
    body = (head * (SIZE // len(head) + 1))[:SIZE]
    crc = zlib.crc32(body)
    return _HEAD.pack(MAGIC, file_id, block, seq, writer, crc) + body[len(head):]


class BadBlock(AssertionError):
    pass


def parse(data, file_id, block):
    """The (seq, writer) in a block; zeros are version 0; anything else is a failure that says what was found."""
    if not any(data):
        return 0, 0
    magic, got_file, got_block, seq, writer, crc = _HEAD.unpack_from(data)
    where = f"file {file_id} block {block}"
    if magic != MAGIC:
        raise BadBlock(f"{where}: foreign content {data[:16].hex()}")
    if (got_file, got_block) != (file_id, block):
        raise BadBlock(f"{where}: holds file {got_file} block {got_block} seq {seq}: misdirected")
    if data != make(file_id, block, seq, writer):
        raise BadBlock(f"{where}: torn, seq {seq}, crc {crc:#x}")
    return seq, writer


def aligned(size):
    """A page-aligned buffer for O_DIRECT."""
    return mmap.mmap(-1, size)


class DirectFile:
    """One O_DIRECT descriptor with an aligned buffer."""

    def __init__(self, path, flags=os.O_RDWR, size=1 << 20):
        self.fd = os.open(path, flags | os.O_DIRECT)
        self.buffer = aligned(size)

    def write(self, data, offset):
        self.buffer[:len(data)] = data
        done = os.pwrite(self.fd, memoryview(self.buffer)[:len(data)], offset)
        if done != len(data):
            raise OSError(0, f"short write: {done} of {len(data)}")

    def read(self, length, offset):
        done = os.preadv(self.fd, [memoryview(self.buffer)[:length]], offset)
        return bytes(self.buffer[:done])

    def close(self):
        os.close(self.fd)


class BlockFile:
    """What one file must hold: per block the versions that are allowed."""

    def __init__(self, file_id, blocks):
        self.file_id, self.blocks = file_id, blocks
        self.issued = [0] * blocks
        self.acked = [0] * blocks
        self.synced = [0] * blocks

    def next(self, block, writer=0, count=1):
        """Data for a write of @count blocks from @block; the versions count as issued."""
        pieces = []
        for b in range(block, block + count):
            self.issued[b] += 1
            pieces.append(make(self.file_id, b, self.issued[b], writer))
        return b"".join(pieces)

    def ack(self, block, count=1):
        for b in range(block, block + count):
            self.acked[b] = self.issued[b]

    def sync(self):
        self.synced = list(self.acked)

    def verify(self, path, crashed=False, limit=10):
        """Every block of the file at @path is an allowed version."""
        low = self.synced if crashed else self.acked
        bad = []
        with open(path, "rb", buffering=0) as f:
            for b in range(self.blocks):
                data = f.read(SIZE)
                data = data + bytes(SIZE - len(data))
                try:
                    seq, _ = parse(data, self.file_id, b)
                    if not low[b] <= seq <= self.issued[b]:
                        bad.append(f"file {self.file_id} block {b}: version {seq}, allowed {low[b]}..{self.issued[b]}: "
                                   + ("lost write" if seq < low[b] else "from the future"))
                except BadBlock as e:
                    bad.append(str(e))
                if len(bad) >= limit:
                    break
        assert not bad, f"{path}:\n" + "\n".join(bad)
