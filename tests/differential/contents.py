"""Operations on what is in files: writes of every kind, truncate, fallocate, reads, seeks, fsync; by name and by open handle."""
import errno
import mmap
import os

from harness import ioctls

from .operation import Operation
from .side import AsUser, fallocate

KEEP_SIZE, PUNCH_HOLE = 1, 2
FALLOCATE_MODES = (0, 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE)
BLOCK = 4096


def random_size(rng):
    kind = rng.random()
    if kind < 0.3:
        return rng.randrange(1, 3000)
    if kind < 0.6:
        return BLOCK * rng.randrange(1, 9)
    if kind < 0.95:
        return rng.randrange(1, 120_000)
    return rng.randrange(1, 1_500_000)


def random_offset(rng, far=True):
    kind = rng.random()
    if kind < 0.3:
        return 0
    if kind < 0.6:
        return BLOCK * rng.randrange(64)
    if kind < 0.97 or not far:
        return rng.randrange(400_000)
    return rng.choice((1 << 30, (1 << 32) - 100, 1 << 40)) + rng.randrange(10_000)


def random_data(rng, size):
    """Noise, or words that compress well; sometimes zeros, which must not become holes."""
    kind = rng.random()
    if kind < 0.05:
        return bytes(size)
    if kind < 0.6:
        return rng.randbytes(size)
    word = rng.randbytes(40)
    return b"".join(word + b"%d" % i for i in range(size // 40 + 1))[:size]


class Target:
    """The file that an operation works on: an open handle, or a path that is opened for it."""

    def __init__(self, world, rng, flags=os.O_RDWR, users=(0,)):
        self.handle = rng.choice(sorted(world.handles)) if world.handles and rng.random() < 0.3 else 0
        self.path = world.handles[self.handle] if self.handle else world.some(rng, "file")
        self.flags, self.uid = flags, rng.choice(users)

    def __bool__(self):
        return self.path is not None

    def __str__(self):
        return f"handle {self.handle} ({self.path!r})" if self.handle else f"{self.path!r} as {self.uid}"

    def use(self, side, work):
        if self.handle:
            return work(side.fds[self.handle])
        with AsUser(self.uid):
            fd = os.open(side.path(self.path), self.flags)
            try:
                return work(fd)
            finally:
                os.close(fd)

    def operation(self, name, work, **kw):
        return Operation(f"{name} {self}", lambda side: self.use(side, work), (self.path,), handle=self.handle, **kw)


def write(world, rng):
    on = Target(world, rng, users=(0, 0, 0, 1000))
    data, offset = random_data(rng, random_size(rng)), random_offset(rng)
    return on and on.operation(f"write {offset}+{len(data)}", lambda fd: os.pwrite(fd, data, offset))


def write_pieces(world, rng):
    """Many small pieces, as a program with a small buffer writes them, not in order."""
    on, base, step = Target(world, rng), random_offset(rng, far=False), rng.choice((512, 700, BLOCK, 10_000))
    pieces = [(base + i * step, rng.randbytes(rng.randrange(1, step + 1))) for i in range(rng.randrange(2, 12))]
    rng.shuffle(pieces)

    def work(fd):
        return [os.pwrite(fd, data, at) for at, data in pieces]
    return on and on.operation(f"pieces {base} step {step} x{len(pieces)}", work)


def append(world, rng):
    path, data = world.some(rng, "file"), random_data(rng, random_size(rng))

    def call(side):
        fd = os.open(side.path(path), os.O_WRONLY | os.O_APPEND)
        try:
            return os.write(fd, data), os.lseek(fd, 0, os.SEEK_CUR)
        finally:
            os.close(fd)
    return path and Operation(f"append {len(data)} {path!r}", call, (path,))


def direct_write(world, rng):
    path = world.some(rng, "file")
    odd = rng.choice((0, 0, 0, 512, 100))
    offset, size = BLOCK * rng.randrange(100) + odd, BLOCK * rng.choice((1, 1, 2, 5, 32, 200)) + rng.choice((0, odd))
    data, sync = rng.randbytes(size), rng.choice((0, 0, os.O_DSYNC))
    return path and direct(f"direct write {offset}+{size} sync {sync:#o}", path, os.O_RDWR | sync, data,
                           lambda fd, buf: os.pwrite(fd, buf, offset))


def direct_read(world, rng):
    path, offset, size = world.some(rng, "file"), BLOCK * rng.randrange(100), BLOCK * rng.choice((1, 4, 64))

    def work(fd, buf):
        return bytes(buf[:os.preadv(fd, [buf], offset)])
    return path and direct(f"direct read {offset}+{size}", path, os.O_RDONLY, bytes(size), work)


def direct(name, path, flags, data, work):
    def call(side):
        fd = os.open(side.path(path), flags | os.O_DIRECT)
        buf = mmap.mmap(-1, len(data))
        try:
            buf[:] = data
            return work(fd, memoryview(buf))
        finally:
            os.close(fd)
    return Operation(f"{name} {path!r}", call, (path,))


def mapped_write(world, rng):
    """Stores through a shared mapping, inside the size; msync, so that both have it."""
    on, where, data = Target(world, rng), rng.random(), rng.randbytes(rng.randrange(1, 30_000))

    def work(fd):
        size = os.fstat(fd).st_size
        if not size or size > 1 << 30:
            return size
        at = int(where * size)
        piece = data[:size - at]
        with mmap.mmap(fd, size) as m:
            m[at:at + len(piece)] = piece
            m.flush()
        return at, len(piece)
    return on and on.operation(f"mmap write {where:.3f}+{len(data)}", work)


def mapped_read(world, rng):
    on = Target(world, rng)

    def work(fd):
        size = os.fstat(fd).st_size
        if not size or size > 4 << 20:
            return size
        with mmap.mmap(fd, size, prot=mmap.PROT_READ) as m:
            return m[:]
    return on and on.operation("mmap read", work)


def truncate(world, rng):
    on = Target(world, rng, users=(0, 0, 1000))
    size = rng.choice((0, 1, 100, 2047, 2048, 2049, BLOCK, random_offset(rng), rng.randrange(300_000)))
    return on and on.operation(f"truncate {size}", lambda fd: os.ftruncate(fd, size))


def allocate(world, rng):
    on, mode = Target(world, rng), rng.choice(FALLOCATE_MODES)
    offset, size = random_offset(rng, far=bool(mode & PUNCH_HOLE)), random_size(rng)
    if mode & PUNCH_HOLE:
        # The kernel looks for an existing hole over a length rounded without its offset: with other sizes than this it
        # misses some, changes the mtime for nothing, and writes zeros into holes.
        size += 1 + BLOCK - size % BLOCK
    return on and on.operation(f"fallocate {mode} {offset}+{size}", lambda fd: fallocate(fd, mode, offset, size))


def read(world, rng):
    on, offset, size = Target(world, rng, users=(0, 0, 1000)), random_offset(rng), random_size(rng)
    return on and on.operation(f"read {offset}+{size}", lambda fd: os.pread(fd, size, offset))


def seek(world, rng):
    on, offset, whence = Target(world, rng), random_offset(rng), rng.choice((os.SEEK_DATA, os.SEEK_HOLE))
    return on and on.operation(f"seek {whence} {offset}", lambda fd: os.lseek(fd, offset, whence))


def fsync(world, rng):
    on = Target(world, rng)
    if not on:
        return None
    made = on.operation("fsync", rng.choice((os.fsync, os.fdatasync)))
    made.touches, made.promises = (), "" if on.handle else on.path
    return made


def sync(world, rng):
    return Operation("syncfs", lambda side: ioctls.sync_fs(side.root), promises="*")


def open_handle(world, rng):
    path, flags = world.some(rng, "file"), rng.choice((os.O_RDWR, os.O_RDWR, os.O_RDWR | os.O_APPEND))
    if not path or len(world.handles) >= 8:
        return None
    number = world._next_handle + 1

    def call(side):
        side.fds[number] = os.open(side.path(path), flags)
    return Operation(f"open {path!r} {flags:#o} as handle {number}", call, done=lambda _: world.opened(path))


def close_handle(world, rng):
    number = rng.choice(sorted(world.handles)) if world.handles else 0
    return number and Operation(f"close handle {number}", lambda side: os.close(side.fds.pop(number)),
                                done=lambda _: world.handles.pop(number))


def new_file(world, rng):
    """A file written at birth: nodatacow, preallocated, sparse or plain."""
    path, kind, data = world.new_name(rng), rng.choice(("nocow", "prealloc", "sparse", "plain")), \
        random_data(rng, random_size(rng))
    offset = random_offset(rng) if kind == "sparse" else 0

    def call(side):
        fd = os.open(side.path(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            if kind == "nocow":
                ioctls.set_nocow(side.path(path))
            if kind == "prealloc":
                fallocate(fd, 0, 0, len(data) * 2)
            return os.pwrite(fd, data, offset)
        finally:
            os.close(fd)
    return Operation(f"new {kind} {path!r} {offset}+{len(data)}", call, (path,), lambda _: world.born(path, "file"))


def write_closed_for_reading(world, rng):
    """Refused alike: a write through a descriptor for reading."""
    path = world.some(rng, "file")

    def call(side):
        fd = os.open(side.path(path), os.O_RDONLY)
        try:
            os.pwrite(fd, b"x", 0)
        except OSError as e:
            assert e.errno == errno.EBADF
            raise
        finally:
            os.close(fd)
    return path and Operation(f"write to O_RDONLY {path!r}", call)


ALL = ((write, 16), (write_pieces, 5), (append, 6), (direct_write, 8), (direct_read, 2), (mapped_write, 5), (mapped_read, 1),
       (truncate, 6), (allocate, 7), (read, 5), (seek, 3), (fsync, 5), (sync, 0.5), (open_handle, 3), (close_handle, 2),
       (new_file, 8), (write_closed_for_reading, 0.3))
