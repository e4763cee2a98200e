"""Writer processes on files of several kinds; every acknowledgement is kept in shared memory."""
import mmap
import os
import random
import struct
import time

from harness import blocks, files


class SharedCounters:
    """An array of u64 in memory shared with child processes."""

    def __init__(self, count):
        self.map = mmap.mmap(-1, max(8 * count, 4096))

    def __getitem__(self, i):
        return struct.unpack_from("<Q", self.map, 8 * i)[0]

    def __setitem__(self, i, value):
        struct.pack_into("<Q", self.map, 8 * i, value)


class BufferedFile:
    """Through the page cache, an fsync now and then."""

    def __init__(self, path, fsync_every=64):
        self.fd, self.left, self.every = os.open(path, os.O_RDWR), fsync_every, fsync_every

    def write(self, data, offset):
        os.pwrite(self.fd, data, offset)
        self.left -= 1
        if not self.left:
            os.fsync(self.fd)
            self.left = self.every


class Writers:
    """@count writers, one file each, of these kinds in turn:
    nocow (nodatacow, O_DIRECT), prealloc (preallocated, O_DIRECT), cow (checksummed, O_DIRECT), buffered (the same through
    the page cache)."""

    def __init__(self, folder, count=4, file_blocks=1024, seed=1, kinds=("nocow", "prealloc")):
        self.folder, self.count, self.blocks, self.seed = folder, count, file_blocks, seed
        self.kinds = [kinds[n % len(kinds)] for n in range(count)]
        self.issued = [SharedCounters(file_blocks) for _ in range(count)]
        self.acked = [SharedCounters(file_blocks) for _ in range(count)]
        self.seconds = [SharedCounters(1000) for _ in range(count)]
        self.pids = []

    def path(self, n, folder=None):
        return os.path.join(folder or self.folder, f"writer{n}")

    def prepare(self):
        for n in range(self.count):
            if self.kinds[n] == "prealloc":
                files.fallocate(self.path(n), 0, self.blocks * blocks.SIZE)
                continue
            if self.kinds[n] == "nocow":
                files.nocow(self.path(n))
            data = b"".join(blocks.make(n, b, 1, n) for b in range(self.blocks))
            files.write(self.path(n), data, sync=True)
            for b in range(self.blocks):
                self.issued[n][b] = self.acked[n][b] = 1

    def start(self, seconds):
        self.duration, self.begin = seconds, time.monotonic()
        for n in range(self.count):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    self._write(n)
                    code = 0
                except BaseException as e:
                    print(f"writer {n}: {e!r}", flush=True)
                finally:
                    os._exit(code)
            self.pids.append(pid)

    def _write(self, n):
        rng = random.Random(self.seed * 1000 + n)
        f = (BufferedFile if self.kinds[n] == "buffered" else blocks.DirectFile)(self.path(n))
        while (elapsed := time.monotonic() - self.begin) < self.duration:
            count = rng.choice((1, 1, 1, 2, 8))
            at = rng.randrange(self.blocks - count + 1)
            pieces = []
            for b in range(at, at + count):
                self.issued[n][b] += 1
                pieces.append(blocks.make(n, b, self.issued[n][b], n))
            f.write(b"".join(pieces), at * blocks.SIZE)
            for b in range(at, at + count):
                self.acked[n][b] = self.issued[n][b]
            self.seconds[n][int(elapsed)] += 1

    def running(self):
        return time.monotonic() - self.begin < self.duration

    def finish(self):
        """Waits; returns the number of acknowledged writes and how many there were in each second."""
        for pid in self.pids:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status == 0, "a writer failed"
        per_second = [sum(s[i] for s in self.seconds) for i in range(int(self.duration))]
        return sum(per_second), per_second

    def verify(self, folder):
        for n in range(self.count):
            f = blocks.BlockFile(n, self.blocks)
            f.acked = [self.acked[n][b] for b in range(self.blocks)]
            f.issued = [self.issued[n][b] for b in range(self.blocks)]
            f.verify(self.path(n, folder))
