"""Random operations, played on two trees at once: the subject's mount and a kernel btrfs. Every call must have the same
result or the same errno on both."""
import mmap
import os
import random
import stat

from harness import blocks, files, ioctls

NAMES = [f"n{i}" for i in range(24)]
PAGE = 4096


class Divergence(AssertionError):
    pass


def outcome(call):
    """('ok', value) or ('error', errno)."""
    try:
        return "ok", call()
    except OSError as e:
        return "error", e.errno


class Player:
    """Plays the same random operations on every root; roots[0] is the subject."""

    def __init__(self, roots, seed):
        self.roots, self.rng, self.step = roots, random.Random(seed), 0
        self.folders = ["."]
        self.log = []
        self.synced = {}           # path -> (inode, content at its last fsync), until it is touched again
        self.time = 1_600_000_000

    # --- choosing ---

    def folder(self):
        return self.rng.choice(self.folders)

    def name(self):
        return os.path.join(self.folder(), self.rng.choice(NAMES))

    def size(self):
        return self.rng.choice((1, 100, 2000, 4096, 5000, 16_384, 70_000, 300_000))

    def existing(self, test=os.path.isfile):
        """A path below some folder for which test() holds; falls back to any name."""
        found = []
        for folder in self.folders:
            base = os.path.join(self.roots[0], folder)
            if os.path.isdir(base):
                found += [os.path.join(folder, n) for n in sorted(os.listdir(base))
                          if test(os.path.join(base, n)) and not os.path.islink(os.path.join(base, n))]
        return self.rng.choice(found) if found else self.name()

    def plain(self, path):
        """A regular file or nothing: opening a fifo would wait for its other end."""
        full = os.path.join(self.roots[0], path)
        return not os.path.lexists(full) or os.path.isfile(full) or os.path.isdir(full)

    # --- playing ---

    def run(self, count):
        for _ in range(count):
            self.once()

    def once(self):
        kind = self.rng.choices(*zip(*OPERATIONS))[0]
        self.step += 1
        prepared = getattr(self, "op_" + kind)()
        if prepared is None:
            return
        text, call = prepared
        self.log.append(f"{self.step}: {kind} {text}")
        results = [outcome(lambda root=root: call(root)) for root in self.roots]
        if any(r != results[0] for r in results):
            raise Divergence(f"step {self.step}: {kind} {text}: subject {short(results[0])}, kernel {short(results[1])}\n"
                             + "\n".join(self.log[-15:]))

    def touch(self, *paths):
        """These are no longer what they were at their fsync; with a folder, all below it; with a file, all its links."""
        for p in map(os.path.normpath, paths):
            full = os.path.join(self.roots[0], p)
            inode = os.lstat(full).st_ino if os.path.lexists(full) else None
            for s in [s for s, (i, _) in self.synced.items() if i == inode or s == p or s.startswith(p + "/")]:
                del self.synced[s]

    def timed(self, call, *paths):
        """call(root), then fixed times on what it touched: what the clock gave differs between the two."""
        stamp = self.time = self.time + 10

        def play(root):
            try:
                return call(root)
            finally:
                for p in paths:
                    for q in (p, os.path.dirname(p) or "."):
                        full = os.path.join(root, q)
                        if os.path.lexists(full):
                            os.utime(full, (stamp, stamp), follow_symlinks=False)
        return play

    def op_write(self):
        path, n, at = self.existing() if self.rng.random() < 0.6 else self.name(), self.size(), self.offset()
        if not self.plain(path):
            return None
        data, flags = self.rng.randbytes(n), os.O_CREAT | os.O_WRONLY | self.rng.choice((0, 0, 0, os.O_SYNC))
        self.touch(path)
        return f"{path} {n}@{at}", self.timed(lambda r: files.write(os.path.join(r, path), data, at, flags), path)

    def offset(self):
        return self.rng.choice((0, 0, 10, 4096, 8192, 20_000, 65_536, 100_001, 500_000))

    def op_append(self):
        path, data = self.existing(), self.rng.randbytes(self.size())
        if not self.plain(path):
            return None

        def call(r):
            fd = os.open(os.path.join(r, path), os.O_WRONLY | os.O_APPEND)
            try:
                return os.write(fd, data)
            finally:
                os.close(fd)
        self.touch(path)
        return f"{path} {len(data)}", self.timed(call, path)

    def op_direct(self):
        path, at, count = self.existing(), PAGE * self.rng.randrange(64), self.rng.choice((1, 1, 2, 8, 32))
        if not self.plain(path):
            return None
        data = self.rng.randbytes(PAGE * count)

        def call(r):
            f = blocks.DirectFile(os.path.join(r, path))
            try:
                f.write(data, at)
            finally:
                f.close()
        self.touch(path)
        return f"{path} {len(data)}@{at}", self.timed(call, path)

    def op_mmap(self):
        path, data = self.existing(), self.rng.randbytes(3000)
        if not self.plain(path):
            return None

        def call(r):
            fd = os.open(os.path.join(r, path), os.O_RDWR)
            try:
                size = os.fstat(fd).st_size
                if size < 5000:
                    return None
                with mmap.mmap(fd, size, mmap.MAP_SHARED) as m:
                    m[1500:4500] = data
                    m.flush()
                return size
            finally:
                os.close(fd)
        self.touch(path)
        return path, self.timed(call, path)

    def op_truncate(self):
        path, size = self.existing(), self.rng.choice((0, 1, 50, 2048, 4096, 10_000, 65_536, 200_000, 1_000_000))
        self.touch(path)
        return f"{path} {size}", self.timed(lambda r: os.truncate(os.path.join(r, path), size), path)

    def op_fallocate(self):
        path, mode = self.existing(), self.rng.choice((0, files.KEEP_SIZE))
        at, n = PAGE * self.rng.randrange(100), PAGE * self.rng.choice((1, 16, 64, 256))
        if not self.present(path):
            return None
        self.touch(path)
        return f"{path} mode {mode} {n}@{at}", self.timed(lambda r: files.fallocate(os.path.join(r, path), at, n, mode), path)

    def op_punch(self):
        path, at, n = self.existing(), self.offset(), self.rng.choice((100, 4096, 10_000, 131_072))
        if not self.present(path):
            return None
        self.touch(path)
        return f"{path} {n}@{at}", self.timed(
            lambda r: files.fallocate(os.path.join(r, path), at, n, files.PUNCH_HOLE | files.KEEP_SIZE), path)

    def present(self, path):
        return os.path.isfile(os.path.join(self.roots[0], path))

    def op_read(self):
        path, at, n = self.existing(), self.offset(), self.size()
        if not self.plain(path):
            return None

        def call(r):
            with open(os.path.join(r, path), "rb", buffering=0) as f:
                return os.pread(f.fileno(), n, at)
        return f"{path} {n}@{at}", call

    def op_fsync(self):
        path = self.existing()
        if not self.plain(path):
            return None

        def call(r):
            fd = os.open(os.path.join(r, path), os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            if r == self.roots[0] and stat.S_ISREG(os.stat(os.path.join(r, path)).st_mode):
                full = os.path.join(r, path)
                self.synced[os.path.normpath(path)] = os.stat(full).st_ino, files.read(full)
        return path, call

    def op_nocow(self):
        path = self.name()

        def call(r):
            files.nocow(os.path.join(r, path))
        return path, self.timed(call, path)

    def op_mkdir(self):
        path = os.path.normpath(self.name())

        def call(r):
            os.mkdir(os.path.join(r, path), 0o755)
            if r == self.roots[0] and len(self.folders) < 25:
                self.folders.append(path)
        return path, self.timed(call, path)

    def op_rmdir(self):
        path = self.existing(os.path.isdir)

        def call(r):
            os.rmdir(os.path.join(r, path))
            if r == self.roots[0]:
                self.folders = [f for f in self.folders if f != os.path.normpath(path)]
        return path, self.timed(call, path)

    def op_unlink(self):
        path = self.existing(lambda p: not os.path.isdir(p))
        self.touch(path)
        return path, self.timed(lambda r: os.unlink(os.path.join(r, path)), path)

    def op_rename(self):
        old, new = self.existing(lambda p: True), os.path.normpath(self.name())

        def call(r):
            os.rename(os.path.join(r, old), os.path.join(r, new))
            if r == self.roots[0]:
                self.moved(os.path.normpath(old), new)
        self.touch(old, new)
        return f"{old} {new}", self.timed(call, old, new)

    def moved(self, old, new):
        self.folders = sorted({new + f[len(old):] if f == old or f.startswith(old + "/") else f for f in self.folders})

    def op_link(self):
        old, new = self.existing(), self.name()
        return f"{old} {new}", self.timed(lambda r: os.link(os.path.join(r, old), os.path.join(r, new)), old, new)

    def op_symlink(self):
        target, path = "t" * self.rng.choice((1, 30, 500)), self.name()
        return path, self.timed(lambda r: os.symlink(target, os.path.join(r, path)), path)

    def op_mknod(self):
        path, kind = self.name(), self.rng.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK))
        return path, self.timed(lambda r: os.mknod(os.path.join(r, path), kind | 0o644, os.makedev(1, 5)), path)

    def op_chmod(self):
        path, mode = self.existing(lambda p: True), self.rng.choice((0o600, 0o644, 0o755, 0o4711, 0o2775, 0o1777))
        return f"{path} {mode:o}", self.timed(lambda r: os.chmod(os.path.join(r, path), mode), path)

    def op_chown(self):
        path, who = self.existing(lambda p: True), self.rng.choice((0, 1000, 65534))
        return f"{path} {who}", self.timed(lambda r: os.chown(os.path.join(r, path), who, who), path)

    def op_setxattr(self):
        path, name = self.existing(lambda p: True), f"user.{self.rng.choice('abcde')}"
        value, flags = self.rng.randbytes(self.rng.choice((0, 10, 300, 3000))), self.rng.choice((0, 0, 1, 2))
        return f"{path} {name} {flags}", self.timed(lambda r: os.setxattr(os.path.join(r, path), name, value, flags), path)

    def op_removexattr(self):
        path, name = self.existing(lambda p: True), f"user.{self.rng.choice('abcde')}"
        return f"{path} {name}", self.timed(lambda r: os.removexattr(os.path.join(r, path), name), path)

    def op_sync(self):
        return "", lambda r: ioctls.sync_fs(r)

    def op_readdir(self):
        path = self.folder()
        return path, lambda r: sorted(os.listdir(os.path.join(r, path)))

    def op_stat(self):
        path = self.existing(lambda p: True)

        def call(r):
            st = os.lstat(os.path.join(r, path))
            return st.st_mode, st.st_size, st.st_nlink if not stat.S_ISDIR(st.st_mode) else 1, st.st_uid, st.st_mtime_ns
        return path, call


OPERATIONS = [("write", 24), ("append", 6), ("direct", 10), ("mmap", 4), ("truncate", 8), ("fallocate", 5), ("punch", 5),
              ("read", 6), ("fsync", 4), ("nocow", 4), ("mkdir", 4), ("rmdir", 2), ("unlink", 7), ("rename", 7), ("link", 4),
              ("symlink", 3), ("mknod", 1), ("chmod", 3), ("chown", 2), ("setxattr", 4), ("removexattr", 2), ("sync", 1),
              ("readdir", 2), ("stat", 4)]


def short(result):
    text = repr(result)
    return text if len(text) < 200 else text[:200] + "..."
