"""Random work on the kernel's mount, with fsyncs, and copies of the image taken in between: states with a log."""
import errno
import os
import random
import shutil

from harness import files, image as images
from harness.files import LIBC
from harness.kernel import KernelMount
from harness.shell import run

from . import states

FORMS = [((), ""), ((), "compress=zstd"), (("-O", "^no-holes"), ""), ((), "compress=lzo"), (("-n", "4096"), ""),
         (("--mixed",), "compress-force=zlib"), (("-R", "^free-space-tree"), ""), ((), "max_inline=0"),
         (("-O", "^extref"), "nodatacow"), (("--csum", "xxhash"), "autodefrag")]
TREES = ["", "s1", "s1/s2"]
FOLDERS = ["", "a", "b", "a/c", "a/c/d"]
NAMES = ["f", "g", "h", "a longer name", "n" * 200, "t"]
SHARED_ERRORS = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ELOOP,
                 errno.ENODATA, errno.EXDEV, errno.EPERM, errno.EBUSY, errno.EMLINK, errno.EOPNOTSUPP, errno.ENXIO,
                 errno.ETXTBSY)


class Work:
    """Operations on names of a small world, so that they often meet; most errors only mean that they did not."""

    def __init__(self, mnt, seed):
        self.mnt, self.rng = mnt, random.Random(seed)
        self.open_files = []
        self.ops = [getattr(self, n) for n in sorted(dir(self)) if n.startswith("op_")]
        self.syncs = [getattr(self, n) for n in sorted(dir(self)) if n.startswith("sync_")]

    def close(self):
        while self.open_files:
            os.close(self.open_files.pop())

    def prepare(self):
        for tree in TREES[1:]:
            run("btrfs", "subvolume", "create", os.path.join(self.mnt, tree))
        for tree in TREES:
            for folder in FOLDERS[1:]:
                os.makedirs(os.path.join(self.mnt, tree, folder), exist_ok=True)
        for _ in range(60):
            self.step(self.ops)

    def step(self, ops):
        try:
            self.rng.choice(ops)()
        except OSError as e:
            if e.errno not in SHARED_ERRORS:
                raise

    def folder(self):
        return os.path.join(self.mnt, self.rng.choice(TREES), self.rng.choice(FOLDERS))

    def name(self):
        return os.path.join(self.folder(), self.rng.choice(NAMES))

    def data(self):
        size = self.rng.choice([1, 100, 2000, 4096, 5000, 40_000, 150_000])
        unit = self.rng.randbytes(self.rng.choice([1, 13, 4096]))
        return (unit * (size // len(unit) + 1))[:size]

    def offset(self):
        return self.rng.choice([0, 1, 4096, 8192, 10_000, 65_536, 131_072, 300_000])

    def existing(self):
        """A random file that is there, if there is one in some folder tried."""
        for _ in range(8):
            path = self.name()
            if os.path.isfile(path) and not os.path.islink(path):
                return path
        raise FileNotFoundError(errno.ENOENT, "none")

    # ---- names ----

    def op_create(self):
        os.close(os.open(self.name(), os.O_CREAT | os.O_EXCL | os.O_WRONLY, self.rng.choice([0o600, 0o755])))

    def op_nocow(self):
        files.nocow(self.name())

    def op_mkdir(self):
        os.mkdir(self.name())

    def op_remake_folder(self):
        path = os.path.join(self.mnt, self.rng.choice(TREES), self.rng.choice(FOLDERS[1:]))
        os.makedirs(path, exist_ok=True)

    def op_unlink(self):
        os.unlink(self.name())

    def op_rmdir(self):
        os.rmdir(self.name())

    def op_remove_tree(self):
        if self.rng.random() < 0.2:
            path = os.path.join(self.folder(), "t")
            if os.path.isdir(path):
                shutil.rmtree(path)

    def op_rename(self):
        os.rename(self.name(), self.name())

    def op_rename_beside(self):
        folder = self.folder()
        os.rename(*(os.path.join(folder, n) for n in self.rng.sample(NAMES, 2)))

    def op_rename_folder(self):
        if self.rng.random() < 0.3:
            tree = os.path.join(self.mnt, self.rng.choice(TREES))
            os.rename(os.path.join(tree, self.rng.choice(FOLDERS[1:])), os.path.join(tree, self.rng.choice(["t", "b/t"])))

    def op_exchange(self):
        LIBC.renameat2(-100, self.name().encode(), -100, self.name().encode(), 2)

    def op_link(self):
        os.link(self.name(), self.name(), follow_symlinks=False)

    def op_symlink(self):
        os.symlink("to " * self.rng.randint(1, 300), self.name())

    def op_mknod(self):
        os.mknod(self.name(), self.rng.choice([0o010600, 0o020644, 0o060644, 0o140600]), os.makedev(3, 5))

    # ---- attributes ----

    def op_setxattr(self):
        os.setxattr(self.name(), f"user.{self.rng.randint(0, 5)}", self.rng.randbytes(self.rng.choice([0, 9, 300])),
                    follow_symlinks=False)

    def op_removexattr(self):
        os.removexattr(self.name(), f"user.{self.rng.randint(0, 5)}", follow_symlinks=False)

    def op_attributes(self):
        path = self.existing()
        os.chmod(path, self.rng.choice([0o600, 0o4711]))
        os.chown(path, self.rng.randint(0, 3), 5)
        os.utime(path, ns=(0, self.rng.randint(0, 10**18)))

    # ---- contents ----

    def op_write(self):
        files.write(self.existing(), self.data(), self.offset())

    op_write_more = op_write_again = op_write

    def op_append(self):
        path = self.existing()
        files.write(path, self.data(), os.path.getsize(path))

    def op_truncate(self):
        os.truncate(self.existing(), self.rng.choice([0, 10, 4096, 50_000, 200_000, 1_000_000]))

    def op_punch(self):
        files.fallocate(self.existing(), self.offset(), 30_000, files.PUNCH_HOLE | files.KEEP_SIZE)

    def op_allocate(self):
        files.fallocate(self.existing(), self.offset(), 100_000, self.rng.choice([0, files.KEEP_SIZE, 0x10]))

    def op_clone(self):
        length = self.rng.choice([4096, 8192, 65_536])
        states.clone(self.existing(), self.offset() & ~4095, self.existing(), self.offset() & ~4095, length)

    def op_direct(self):
        path = self.existing()
        fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
        try:
            buffer = files_buffer(8192, self.rng)
            os.pwrite(fd, buffer, self.offset() & ~4095)
        finally:
            os.close(fd)

    # ---- without a name ----

    def op_unlink_open(self):
        path = self.existing()
        fd = os.open(path, os.O_RDWR)
        self.open_files.append(fd)
        os.unlink(path)
        os.pwrite(fd, self.data(), 0)
        if self.rng.random() < 0.5:
            os.fsync(fd)

    def op_tmpfile(self):
        fd = os.open(self.folder(), os.O_TMPFILE | os.O_RDWR, 0o600)
        self.open_files.append(fd)
        os.write(fd, self.data())
        if self.rng.random() < 0.5:
            os.fsync(fd)
        if self.rng.random() < 0.6:
            os.link(f"/proc/self/fd/{fd}", self.name(), src_dir_fd=0, follow_symlinks=True)

    # ---- promises ----

    def sync_file(self):
        states.fsync(self.existing(), self.rng.random() < 0.4)

    sync_file_too = sync_file

    def sync_folder(self):
        states.fsync(self.folder())

    def sync_any(self):
        path = self.name()
        if os.path.isfile(path) or os.path.isdir(path):
            states.fsync(path)


def files_buffer(size, rng):
    from harness.blocks import aligned
    buffer = aligned(size)
    buffer[:] = rng.randbytes(size)
    return buffer


class States:
    """Works on the mount of an image and has its states judged, as long as they have a log."""

    def __init__(self, base, work, judge):
        self.base, self.work, self.judge = base, work, judge
        self.found = self.looked = 0

    def run(self, count):
        while self.found < count and self.looked < 20 * count:
            self.looked += 1
            for _ in range(self.work.rng.randint(1, 6)):
                for _ in range(self.work.rng.randint(0, 8)):
                    self.work.step(self.work.ops)
                self.work.step(self.work.syncs)
            state = images.copy(self.base, f"{self.base}.state{self.found}")
            if states.has_log(state):
                self.found += 1
                self.judge(state)
            elif self.work.rng.random() < 0.5:
                states.commit(self.work.mnt)
            os.unlink(state)


def run_states(scratch, seed, count, judge, writer=None):
    """Calls judge(image) for @count states with a log; how many states were looked at in all. The log is the kernel's, or
    that of the subject @writer."""
    mkfs, options = FORMS[seed % len(FORMS)]
    base = images.make(os.path.join(scratch, f"base{seed}"), 512, *mkfs)
    with KernelMount(base, ",".join(o for o in (states.OPTIONS, options) if o)) as mnt:
        work = Work(mnt, seed)
        it = States(base, work, judge)
        try:
            states.make_chunks(mnt)
            work.prepare()
            states.commit(mnt)
            if not writer:
                it.run(count)
        finally:
            work.close()
    if writer:
        run_on(writer, it, count)
    os.unlink(base)
    return it.found, it.looked


def run_on(writer, it, count):
    m = writer.mount(it.base, "commit=300")
    it.work.mnt = m.path
    try:
        it.run(count)
    finally:
        it.work.close()
    m.umount()
