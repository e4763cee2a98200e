"""The stage of the race rows: an image with a file in a block group of its own, a writer W and a relocation R that a test
moves step by step, and the verdict: what was acknowledged has to be there, here and for the kernel, and the image clean.

Each row is played twice. With its guard on no oracle may object. With its guard off one of the oracles that the row names
must: a row that passes without its guard proves nothing. The oracles: content (here), kernel (content as the kernel sees
it, its complaints, scrub), check (btrfs check), place (where dump-tree says things are), time (what must not wait).
"""
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from harness import blocks, dump, files, image as images, ioctls
from harness.hooks import HookError
from harness.kernel import KernelMount

BLOCKS = 512            # 2 MiB
PATIENCE = 1.0          # how long somebody who may not go on is watched


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
        except (AssertionError, OSError) as e:
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


def make_stage(path, kind):
    """An image with `file` (nocow, prealloc or cow) and, in another data group, `other` (nodatacow)."""
    images.make(path, 512)
    with KernelMount(path) as mnt:
        name = f"{mnt}/file"
        if kind == "prealloc":
            files.fallocate(name, 0, BLOCKS * blocks.SIZE)
        else:
            if kind == "nocow":
                files.nocow(name)
            files.write(name, b"".join(blocks.make(1, b, 1) for b in range(BLOCKS)), sync=True)
        files.fallocate(f"{mnt}/filler", 0, (8 << 20) - BLOCKS * blocks.SIZE)      # the rest of the first group
        files.nocow(f"{mnt}/other")
        files.write(f"{mnt}/other", b"".join(blocks.make(2, b, 1) for b in range(BLOCKS)), sync=True)


def locate(path, inode):
    extent = dump.file_extents(path, inode)[0]
    for chunk in dump.chunks(path):
        if chunk.logical <= extent.disk < chunk.logical + chunk.length:
            return Place(inode, extent.disk, chunk.logical)
    raise LookupError(extent)


class Race:
    def __init__(self, subject, image_cache, scratch, guard, kind="nocow", env=None):
        self.image = image_cache(f"race-{kind}", lambda p: make_stage(p, kind), os.path.join(scratch, "stage"))
        self.guard, self.on = guard
        with KernelMount(images.copy(self.image, self.image + ".look"), "ro") as mnt:
            inodes = {n: files.inode(f"{mnt}/{n}") for n in ("file", "other")}
        self.file, self.other = (locate(self.image, inodes[n]) for n in ("file", "other"))
        assert self.file.group != self.other.group, "the stage is wrong: both files in one group"
        self.mounted = subject.mount(self.image, hooks=True, env=env)
        self.hooks = self.mounted.hooks
        self.hooks.guard(self.guard, self.on)
        self.want = blocks.BlockFile(1, BLOCKS)
        self.want_other = blocks.BlockFile(2, BLOCKS)
        self.want_other.issued = [1] * BLOCKS
        self.want_other.ack(0, BLOCKS)
        if kind != "prealloc":
            self.want.issued = [1] * BLOCKS
            self.want.ack(0, BLOCKS)
        self.relocation = None

    # --- actors ---

    def _write(self, name, want, block, count):
        f = blocks.DirectFile(self.mounted.join(name), size=count * blocks.SIZE)
        try:
            data = want.next(block, 0, count)
            f.write(data, block * blocks.SIZE)
            want.ack(block, count)
        finally:
            f.close()

    def writer(self, block, count=1):
        """W: one O_DIRECT write to the file."""
        return Act(self._write, "file", self.want, block, count)

    def relocate(self):
        """R: a balance of the file's block group alone."""
        g = self.file.group
        self.relocation = ioctls.BalanceThread(self.mounted.path, data=dict(vrange=(g, g + 1)))
        return self.relocation

    def others_go_on(self):
        """A writer in another group, a create and a commit: one second for all, whoever is parked."""
        begin = time.monotonic()
        act = Act(self._elsewhere)
        act.join(10)
        took = time.monotonic() - begin
        assert not act.is_alive() and took < 1, f"writer, create and commit elsewhere took {took:.1f} s"
        act.end()

    def _elsewhere(self):
        self._write("other", self.want_other, 7, 1)
        files.write(self.mounted.join("created"), b"created while somebody was parked")
        ioctls.sync_fs(self.mounted.path)

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

    def verdict(self, moved=True):
        """Content here, in the kernel, check, and that the group is gone."""
        v = Verdict()
        if self.relocation:
            self.relocation.join(20)
            with v.oracle("time"):
                assert not self.relocation.is_alive(), f"relocation does not end\n{self.hooks.threads()}"
            result = self.relocation.result
            with v.oracle("result"):
                assert result and result.error == 0 and result.completed >= 1, f"{result}\n{self.mounted.stderr()}"
        self._content(v, "content", self.mounted.path)
        assert "watchdog=0" in self.hooks.threads(), f"a parked thread was never released:\n{self.mounted.stderr()}"
        with v.oracle("exit"):
            self.mounted.umount(timeout=30)
        with v.oracle("check"):
            images.check(self.image, what=self.guard)
        with v.oracle("kernel"):
            images.judge(self.image, self.guard)
        with v.oracle("kernel"), KernelMount(self.image, "ro") as mnt:
            self._content(v, "kernel", mnt)
        with v.oracle("place"):
            assert not moved or self.file.group not in self.groups(), "the group still exists"
        return v

    def groups(self):
        return {c.logical for c in dump.chunks(self.image)}

    def _content(self, v, kind, folder):
        for name, want in (("file", self.want), ("other", self.want_other)):
            path = os.path.join(folder, name)
            with v.oracle(kind):
                forget_pages(path)
                want.verify(path)

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
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
