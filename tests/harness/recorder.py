"""The recorder's log (told in disk/device/device.h) and the device states that a power cut could leave behind.

A flush makes durable the writes that were completed before it was issued, and no others. At a crash position everything
durable is there; of the rest each 4 KiB piece may or may not be. Discards are only hints and are not replayed.
"""
import bisect
import hashlib
import mmap
import os
import random
import struct
from dataclasses import dataclass, field

from . import copying

_RECORD = struct.Struct("<IIQQQQ")
_TIME_AT = 32            # in a record: nanoseconds of the monotonic clock
MAGIC = 0x43455242
WRITE, WRITE_DONE, FLUSH, FLUSH_DONE, DISCARD, DISCARD_DONE, FAILED, MARK = range(1, 9)
PIECE = 4096
SUPERBLOCKS = (65536, 64 << 20, 256 << 30)


@dataclass
class Event:
    type: int
    id: int
    off: int
    len: int
    at: int           # where in the log the record begins
    end: int          # and ends
    data: int = 0     # where its data begins


class Log:
    def __init__(self, path):
        self.file = open(path, "rb")
        size = os.path.getsize(path)
        self.map = mmap.mmap(self.file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        self.events = list(self._parse(size))

    def _parse(self, size):
        at = 0
        while at + _RECORD.size <= size:
            magic, kind, ident, off, length, _ = _RECORD.unpack_from(self.map, at)
            assert magic == MAGIC, f"bad record at {at}"
            data = at + _RECORD.size
            end = data + (length if kind == WRITE else 0)
            if end > size:
                break                      # the daemon was killed while it wrote this record
            yield Event(kind, ident, off, length, at, end, data)
            at = end

    def data(self, event):
        return self.map[event.data:event.data + event.len]

    def time(self, event):
        return struct.unpack_from("<Q", self.map, event.at + _TIME_AT)[0]

    def time_at(self, position):
        """Of the latest event before @position: what was begun or promised after it does not count for a crash there."""
        return max(map(self.time, self.events[:position]), default=0)

    def position_at(self, when):
        """Behind the last event before the first that is younger."""
        for i, e in enumerate(self.events):
            if self.time(e) > when:
                return i
        return len(self.events)

    def flushes(self):
        """Indices of FLUSH events that completed."""
        done = {e.id for e in self.events if e.type == FLUSH_DONE}
        return [i for i, e in enumerate(self.events) if e.type == FLUSH and e.id in done]

    def without_flush(self, *indices):
        """The same log as if these flushes had never been issued."""
        other = object.__new__(Log)
        other.file, other.map = self.file, self.map
        gone = {self.events[i].id for i in indices}
        other.events = [e for e in self.events if not (e.type in (FLUSH, FLUSH_DONE) and e.id in gone)]
        return other

    def commit_flushes(self):
        """Flushes that surround a primary superblock write: [(index before, index after)]."""
        flushes, found = self.flushes(), []
        for i, e in enumerate(self.events):
            if e.type == WRITE and e.off == SUPERBLOCKS[0]:
                k = bisect.bisect(flushes, i)
                if 0 < k < len(flushes):
                    found.append((flushes[k - 1], flushes[k]))
        return found


@dataclass
class State:
    """A crash at event index @position with the pieces @kept of what was not durable."""
    position: int
    kept: list = field(default_factory=list)       # (event index, first byte, last byte) in order
    missing_writes: int = 0
    kind: str = "boundary"
    digest: int = 0

    def __str__(self):
        return f"{self.kind} at event {self.position}, {self.missing_writes} writes missing"


def _hash(block, data):
    return int.from_bytes(hashlib.blake2b(block.to_bytes(8, "little") + data, digest_size=12).digest(), "little")


class Walker:
    """Walks through the log once, keeping an image of what is durable; states must be asked for in rising position."""

    def __init__(self, log, base, path):
        self.log, self.path, self.position = log, path, 0
        copying.sparse_copy(base, path)
        self.fd = os.open(path, os.O_RDWR)
        self.pending, self.completed, self.flush_covers = {}, set(), {}
        self.blocks, self.sum = {}, 0

    def advance(self, position):
        while self.position < position:
            e = self.log.events[self.position]
            if e.type == WRITE:
                self.pending[e.id] = self.position
            elif e.type == WRITE_DONE:
                self.completed.add(e.id)
            elif e.type == FLUSH:
                self.flush_covers[e.id] = [i for i in self.pending if i in self.completed]
            elif e.type == FLUSH_DONE:
                for ident in self.flush_covers.pop(e.id, []):
                    if ident in self.pending:
                        self._make_durable(self.pending.pop(ident))
            self.position += 1

    def _make_durable(self, index):
        e = self.log.events[index]
        data = self.log.data(e)
        os.pwrite(self.fd, data, e.off)
        for n in range(0, len(data), PIECE):
            block = (e.off + n) // PIECE
            new = _hash(block, data[n:n + PIECE])
            self.sum ^= self.blocks.get(block, 0) ^ new
            self.blocks[block] = new

    def digest(self, kept):
        """A name for the content: states of equal content have equal names."""
        total, changed = self.sum, {}
        for index, first, last in kept:
            e = self.log.events[index]
            block = (e.off + first) // PIECE
            new = _hash(block, self.log.map[e.data + first:e.data + last])
            total ^= changed.get(block, self.blocks.get(block, 0)) ^ new
            changed[block] = new
        return total

    def build(self, state, path):
        copying.sparse_copy(self.path, path)
        fd = os.open(path, os.O_RDWR)
        for index, first, last in state.kept:
            e = self.log.events[index]
            os.pwrite(fd, self.log.map[e.data + first:e.data + last], e.off + first)
        os.close(fd)
        return path

    def pieces(self):
        """Per pending write, in order of issue: the event index and its 4 KiB pieces."""
        for index in self.pending.values():
            length = self.log.events[index].len
            yield index, [(index, n, min(n + PIECE, length)) for n in range(0, length, PIECE)]

    def boundary(self):
        """Everything issued so far is there."""
        kept = [p for _, pieces in self.pieces() for p in pieces]
        return self._state(kept, 0, "boundary")

    def subset(self, rng, how):
        """Some of what was in flight is missing."""
        writes = list(self.pieces())
        kept, missing = [], 0
        lost = self._choose_lost(writes, rng, how)
        for n, (_, pieces) in enumerate(writes):
            if n not in lost:
                kept += pieces
                continue
            missing += 1
            if len(pieces) > 1 and rng.random() < 0.3:      # torn
                kept += [p for p in pieces if rng.random() < 0.5]
        return self._state(kept, missing, how)

    @staticmethod
    def _choose_lost(writes, rng, how):
        count = len(writes)
        if how == "only the last":
            return set(range(count - 1))
        if how == "all but two":
            return set(rng.sample(range(count), min(2, count)))
        if how == "none":
            return set(range(count))
        if how == "all but one":
            return {rng.randrange(count)}
        share = rng.choice((0.2, 0.5, 0.8))
        lost = {n for n in range(count) if rng.random() < share}
        return lost if len(lost) > 1 else set(rng.sample(range(count), min(2, count)))

    def _state(self, kept, missing, kind):
        return State(self.position, kept, missing, kind, self.digest(kept))

    def close(self):
        os.close(self.fd)
        if os.path.exists(self.path):
            os.unlink(self.path)


HOWS = ("random", "only the last", "all but two", "random", "none", "random", "all but one")


def plan_positions(log, wanted, rng):
    """Sorted crash positions: about a third just after completed flushes, the rest inside epochs with several writes in
    flight. Returns [(position, 'boundary' | how)]."""
    boundaries = [i + 1 for i, e in enumerate(log.events) if e.type == FLUSH_DONE]
    inside = positions_inside(log)
    few = rng.sample(boundaries, min(len(boundaries), max(1, wanted // 3)))
    plan = [(p, "boundary") for p in few]
    while inside and len(plan) < wanted:
        plan.append((rng.choice(inside), HOWS[len(plan) % len(HOWS)]))
    return sorted(plan)


def positions_inside(log):
    """Positions with at least three writes issued since the last flush."""
    found, since = [], 0
    for i, e in enumerate(log.events):
        if e.type == WRITE:
            since += 1
        elif e.type == FLUSH_DONE:
            since = 0
        if since >= 3 and e.type in (WRITE, WRITE_DONE):
            found.append(i + 1)
    return found


def plan_around(log, start, stop):
    """Every position in a stretch of the log, each with every way of losing writes: for looking closely at one commit."""
    return [(position, how) for position in range(start, stop + 1) for how in dict.fromkeys(HOWS)]


def states(log, base, scratch, wanted, seed=1, plan=None):
    """Yields (state, build) with states distinct by content, from all over the log; build(path) makes the image of the one
    just yielded. At most two in five miss fewer than two writes. A given @plan is followed as it is, once."""
    rng, seen, easy = random.Random(seed), set(), 0
    for _ in range(1 if plan else 6):
        missing = wanted - len(seen)
        walker = Walker(log, base, os.path.join(scratch, "durable"))
        try:
            for position, how in plan or plan_positions(log, missing + missing // 8 + 1, rng):
                walker.advance(position)
                if not walker.pending and how != "boundary":
                    continue
                state = walker.boundary() if how == "boundary" else walker.subset(rng, how)
                if state.digest in seen or (not plan and state.missing_writes < 2 and easy >= wanted * 2 // 5):
                    continue
                seen.add(state.digest)
                easy += state.missing_writes < 2
                yield state, lambda path, s=state: walker.build(s, path)
        finally:
            walker.close()
        if len(seen) >= wanted:
            return
