"""The stage of the race rows: an image with a file in a block group of its own, a writer W and a relocation R that a test
moves step by step, and the verdict: what was acknowledged has to be there, here and for the kernel, and the image clean.

Each row is played twice. With its guard on no oracle may object. With its guard off one of the oracles that the row names
must: a row that passes without its guard proves nothing. The oracles: content (here), kernel (content as the kernel sees
it, its complaints, scrub), check (btrfs check), place (where dump-tree says things are), time (what must not wait).
"""
import errno
import mmap
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from harness import blocks, dump, files, image as images, ioctls
from harness.hooks import HookError
from harness.kernel import KernelMount
from harness.shell import CommandFailed, run
from harness.subject import MountRefused

BLOCKS = 512            # 2 MiB
PATIENCE = 0.5          # how long somebody who may not go on is watched


def both_ways(guard):
    """Runs a test with guard=(name, True) and (name, False)."""
    return pytest.mark.parametrize("guard", [(guard, True), (guard, False)], ids=[f"{guard}-on", f"{guard}-off"])


class Verdict:
    """What the oracles object to: kind -> words."""

    def __init__(self):
        self.objections = {}

    @contextmanager
    def oracle(self, kind):
        try:
            yield
        except (AssertionError, OSError, CommandFailed, MountRefused) as e:
            self.objections.setdefault(kind, f"{type(e).__name__}: {e}")

    def __str__(self):
        return "\n".join(f"{kind}: {words}" for kind, words in self.objections.items())


class Act(threading.Thread):
    """Something one actor does; join() hands its exception on."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.error, self.value = call, args, None, None
        self.start()

    def run(self):
        try:
            self.value = self.call(*self.args)
        except BaseException as e:
            self.error = e

    def end(self, timeout=20):
        self.join(timeout)
        assert not self.is_alive(), "an actor did not end: deadlock"
        if self.error:
            raise self.error
        return self.value


@dataclass
class Place:
    inode: int
    disk: int
    group: int


def content(file_id, first, count, seq=1):
    return b"".join(blocks.make(file_id, b, seq) for b in range(first, first + count))


HALF = BLOCKS // 2


def cow(mnt):
    files.write(f"{mnt}/file", content(1, 0, BLOCKS), sync=True)


def nocow(mnt):
    files.nocow(f"{mnt}/file")
    cow(mnt)


def prealloc(mnt):
    files.fallocate(f"{mnt}/file", 0, BLOCKS * blocks.SIZE)


def two_extents(mnt):
    """Both halves of the file are extents of their own, in one group."""
    files.nocow(f"{mnt}/file")
    files.write(f"{mnt}/file", content(1, 0, HALF), sync=True)
    files.write(f"{mnt}/between", os.urandom(1 << 16), sync=True)
    files.write(f"{mnt}/file", content(1, HALF, HALF), HALF * blocks.SIZE, sync=True)


def two_groups(mnt):
    """Each half of the file in a group of its own."""
    files.nocow(f"{mnt}/file")
    files.write(f"{mnt}/file", content(1, 0, HALF), sync=True)
    files.fallocate(f"{mnt}/filler2", 0, (8 << 20) - HALF * blocks.SIZE)
    files.write(f"{mnt}/file", content(1, HALF, HALF), HALF * blocks.SIZE, sync=True)


def beyond(mnt):
    """Preallocated behind the end of an empty nodatacow file, where another file's bytes still are on the device."""
    files.write(f"{mnt}/before", content(9, 0, BLOCKS), sync=True)
    os.unlink(f"{mnt}/before")
    run("btrfs", "filesystem", "sync", mnt)
    files.nocow(f"{mnt}/file")
    files.fallocate(f"{mnt}/file", 0, BLOCKS * blocks.SIZE, files.KEEP_SIZE)


def halves(mnt):
    """Preallocated, and every other block of the first half written: many items for one extent."""
    prealloc(mnt)
    for b in range(0, HALF, 2):
        files.write(f"{mnt}/file", content(1, b, 1), b * blocks.SIZE, sync=b % 64 == 0)


def cloned(mnt):
    """`clone` shares the extent of `file`; a snapshot that was there before is deleted."""
    run("btrfs", "subvolume", "snapshot", mnt, f"{mnt}/snap")
    nocow(mnt)
    files.nocow(f"{mnt}/clone")
    run("cp", "--reflink=always", f"{mnt}/file", f"{mnt}/clone")
    run("btrfs", "subvolume", "delete", f"{mnt}/snap")
    run("btrfs", "subvolume", "sync", mnt)


def brimful(mnt):
    cow(mnt)


def fill_up(mnt):
    """No space is left on the device outside of data groups, and none inside: `full` has it all."""
    size, step = 0, 16 << 20
    while step >= blocks.SIZE:
        try:
            files.fallocate(f"{mnt}/full", size, step)
            size += step
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
            step //= 2


WRITTEN = {"prealloc": (), "beyond": (), "halves": range(0, HALF, 2)}      # blocks with content; otherwise all


def make_stage(path, kind):
    """An image with `file`, first in the first data group, and, in another data group, `other` (nodatacow)."""
    images.make(path, 512)
    with KernelMount(path, "nodiscard,commit=1") as mnt:
        globals()[kind](mnt)
        files.fallocate(f"{mnt}/filler", 0, (8 << 20) - BLOCKS * blocks.SIZE)      # the rest of the first group
        files.nocow(f"{mnt}/other")
        files.write(f"{mnt}/other", content(2, 0, BLOCKS), sync=True)
        if kind == "brimful":
            fill_up(mnt)


def locate(path, inode):
    extent = dump.file_extents(path, inode)[0]
    for chunk in dump.chunks(path):
        if chunk.logical <= extent.disk < chunk.logical + chunk.length:
            return Place(inode, extent.disk, chunk.logical)
    raise LookupError(extent)


def write_direct(path, data, offset):
    f = blocks.DirectFile(path, size=len(data))
    try:
        f.write(data, offset)
    finally:
        f.close()


def write_buffered(path, data, offset):
    files.write(path, data, offset, flags=os.O_WRONLY, sync=True)


def write_mapped(path, data, offset):
    fd = os.open(path, os.O_RDWR)
    try:
        with mmap.mmap(fd, 0) as pages:
            pages[offset:offset + len(data)] = data
            os.fsync(fd)                    # not flush(): that keeps the interpreter's lock
    finally:
        os.close(fd)


WRITE = {"direct": write_direct, "serial": write_direct, "buffered": write_buffered, "mmap": write_mapped}


class Race:
    def __init__(self, subject, image_cache, scratch, guard, kind="nocow", env=None, options="", how="direct"):
        self.image = image_cache(f"race-{kind}", lambda p: make_stage(p, kind), os.path.join(scratch, "stage"))
        self.subject, (self.guard, self.on), self.how = subject, guard, how
        self.file, self.other = self._places()
        self.moving = self.file.group
        self.mounted = subject.mount(self.image, options, hooks=True, env=env)
        self.hooks = self.mounted.hooks
        self.hooks.guard(self.guard, self.on)
        if how == "serial":
            self.hooks.fail("op.parallel", "EAGAIN", 1 << 20)       # nobody gets the flag for parallel direct writes
        self.want = self._expect(1, WRITTEN.get(kind, range(BLOCKS)))
        self.want_other = self._expect(2, range(BLOCKS))
        self.wanted = {"file": self.want, "other": self.want_other}
        self.relocation = None
        self.refused = None         # a write that failed

    def _places(self):
        with KernelMount(images.copy(self.image, self.image + ".look"), "ro") as mnt:
            inodes = [files.inode(f"{mnt}/{n}") for n in ("file", "other")]
        file, other = (locate(self.image, inode) for inode in inodes)
        assert file.group != other.group, "the stage is wrong: both files in one group"
        return file, other

    @staticmethod
    def _expect(file_id, written, count=BLOCKS):
        want = blocks.BlockFile(file_id, count)
        for b in written:
            want.issued[b] = 1
            want.ack(b)
        want.sync()
        return want

    # --- actors ---

    def _write(self, name, want, block, count, how="direct"):
        WRITE[how](self.mounted.join(name), want.next(block, 0, count), block * blocks.SIZE)
        want.ack(block, count)

    def writer(self, block, count=1):
        """W: one write to the file that is on the device when it ends."""
        return Act(self._write, "file", self.want, block, count, self.how)

    def stranger(self, count=64):
        """Another file's O_DIRECT write, durable: it takes the lowest free place in the first group if there is one."""
        self.wanted["stranger"] = want = blocks.BlockFile(77, count)
        files.write(self.mounted.join("stranger"), b"")
        for at in range(0, count, 64):
            self._write("stranger", want, at, min(64, count - at))

    def relocate(self):
        """R: a balance of one block group alone, the file's."""
        g = self.moving
        self.relocation = ioctls.BalanceThread(self.mounted.path, data=dict(vrange=(g, g + 1)))
        return self.relocation

    def finish(self, writer):
        """The writer comes to its end; a failure is for the verdict."""
        try:
            writer.end()
        except OSError as e:
            self.refused = e

    def others_go_on(self):
        """A writer in another group, a create and a commit: one second for all, whoever is parked."""
        begin = time.monotonic()
        act = Act(self._elsewhere)
        act.join(2)
        took = time.monotonic() - begin
        assert not act.is_alive() and took < 1, f"writer, create and commit elsewhere took {took:.1f} s"
        act.end()

    def _elsewhere(self):
        self._write("other", self.want_other, 7, 1)
        files.write(self.mounted.join("created"), b"created while somebody was parked", sync=True)
        files.commit(self.mounted.path)

    # --- steps ---

    def arm(self, *points, **keys):
        for p in points:
            self.hooks.arm(p, **keys)

    def parked(self, point, timeout=8):
        """True when a thread is parked at the point."""
        return self.hooks.is_parked(point, timeout)

    def must_park(self, point, timeout=8):
        try:
            self.hooks.wait(point, timeout)
        except HookError:
            raise RuntimeError(f"nobody came to {point}: {self.hooks.threads()}\n{self.mounted.stderr()}") from None

    def release(self, *points):
        for p in points or ("all",):
            self.hooks.release(p)

    # --- the verdict ---

    def verdict(self, moved=True, patience=20):
        """Content here, in the kernel, check, and that the group is gone. Who does not end within @patience s is killed."""
        v = Verdict()
        if self.relocation:
            self.relocation.join(patience)
            with v.oracle("time"):
                assert not self.relocation.is_alive(), f"relocation does not end: {self.hooks.threads()}"
            if "time" in v.objections:
                self.mounted.kill()
                return v
            with v.oracle("result"):
                result = self.relocation.result
                assert result and result.error == 0 and result.completed >= 1, f"{result}\n{self.mounted.stderr()}"
        with v.oracle("content"):
            if self.refused:
                raise self.refused
        self._content(v, "content", self.mounted.path)
        assert "watchdog=0" in self.hooks.threads(), f"a parked thread was never released:\n{self.mounted.stderr()}"
        with v.oracle("exit"):
            self.mounted.umount(timeout=30)
        with v.oracle("check"):
            images.check(self.image, what=self.guard)
        twin = images.copy(self.image, self.image + ".judged")
        with v.oracle("kernel"), KernelMount(twin) as mnt:
            self._content(v, "kernel", mnt)
            images.scrub(mnt)
            files.write(f"{mnt}/by the kernel", b"it can write, too", sync=True)
        with v.oracle("kernel"):
            images.check(twin, csums=False, what="after the kernel's mount")
        with v.oracle("place"):
            assert not (moved and self.relocation) or self.moving not in self.groups(), "the group still exists"
        return v

    def power_cut(self):
        """SIGKILL, and what is left: check, the kernel and we ourselves find all that was synced."""
        self.mounted.kill()
        v = Verdict()
        with v.oracle("check"):
            images.check(self.image, what="after the power cut")
        with v.oracle("kernel"), KernelMount(self.image, "ro") as mnt:
            self._content(v, "kernel", mnt, crashed=True)
        with v.oracle("content"):
            m = self.subject.mount(self.image)
            self._content(v, "content", m.path, crashed=True)
            m.umount()
        return v

    def groups(self):
        return {c.logical for c in dump.chunks(self.image)}

    def _content(self, v, kind, folder, crashed=False):
        for name, want in self.wanted.items():
            path = os.path.join(folder, name)
            with v.oracle(kind):
                forget_pages(path)
                want.verify(path, crashed=crashed)

    def conclude(self, verdict, *teeth):
        """Guard on: nobody objects. Guard off: one of the oracles named in @teeth does."""
        if self.on:
            assert not verdict.objections, f"{verdict}"
            return
        print(f"guard {self.guard} off:\n{verdict}")
        assert set(teeth) & set(verdict.objections), \
            f"guard {self.guard} is off and none of {teeth} objects: the test has no teeth\n{verdict}"


def forget_pages(path):
    """What is read next comes from the daemon."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
