"""The differential campaign: the same random operations on a btrfuse mount and on the kernel's mount of a copy of the image, balances
running on the btrfuse side; then what three lookers see must be the same: btrfuse live, btrfuse after a remount, the kernel.

Without a reference (`Plan.reference` false: near ENOSPC the two may rightly differ) only the views of the one image are compared.
"""
import errno
import os
import random
import stat
import threading
import time
from dataclasses import dataclass, replace

from harness import image as images, ioctls, treeview
from harness.kernel import KernelMount

from . import attributes, contents, names
from .promises import Promises
from .side import Side
from .world import World

OPERATIONS = names.ALL + contents.ALL + attributes.ALL
DEAD = (errno.ENOTCONN, errno.ECONNABORTED)
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Plan:
    seed: int
    operations: int = 1500
    options: str = ""                   # mount options of btrfuse
    reference: bool = True              # compare each answer with the kernel's
    kill: bool = False                  # SIGKILL somewhere on the way instead of unmounting
    balance: bool = True
    env: dict = None
    ballast_leaves: int = 0             # a file fills the rest of the image but for this many bytes


class Mismatch(AssertionError):
    pass


class Balances(threading.Thread):
    """Balances through the real ioctl, one after the other, of one kind or of all."""
    KINDS = ({"data": {}}, {"metadata": {}}, {"data": {}, "metadata": {}, "system": {}}, {"system": {}},
             {"data": {"usage": 50}}, {"metadata": {"usage": 90}}, {"data": {"limit": 1}, "metadata": {"limit": 1}})

    def __init__(self, root, seed, allowed=()):
        super().__init__(daemon=True)
        self.root, self.rng, self.stopping = root, random.Random(seed), threading.Event()
        self.allowed, self.completed, self.error = allowed, 0, 0
        self.start()

    def run(self):
        while not self.stopping.wait(self.rng.random() * 0.2):
            try:
                result = ioctls.balance(self.root, **self.rng.choice(self.KINDS))
            except OSError as e:        # the mount is dead
                self.error = e.errno
                return
            self.completed += result.completed
            if result.error and result.error not in self.allowed:
                self.error = result.error
                return

    def finish(self):
        self.stopping.set()
        self.join(120)
        assert not self.is_alive(), "a balance does not end"


class Campaign:
    def __init__(self, subject, image, plan):
        self.subject, self.image, self.plan = subject, image, plan
        self.rng, self.log, self.started = random.Random(plan.seed), [], time.time_ns()
        self.twin = KernelMount(images.copy(image, image + ".twin")) if plan.reference else None
        self.mounted, self.promises, self.answers = None, Promises(), {"ok": 0, "errno": 0, "full": 0}

    # ---- the run ----

    def run(self):
        try:
            self.mounted = self.subject.mount(self.image, self.plan.options, env=self.plan.env)
            self.side = Side("btrfuse", self.mounted.path)
            self.other = Side("kernel", self.twin.mount().path) if self.twin else None
            self.world = World(self.side.root)
            if self.plan.ballast_leaves:
                self.add_ballast()
            self.operate()
            return self.judge_killed() if self.plan.kill else self.judge()
        except BaseException as e:
            tail = "\n".join(self.log[-12:])
            raise Mismatch(f"{self.plan}: after {len(self.log)} operations: {e}\nlast operations:\n{tail}") from e
        finally:
            self.close()

    def add_ballast(self):
        free = os.statvfs(self.side.root)
        with open(self.side.path("ballast"), "wb") as f:
            for _ in range((free.f_bavail * free.f_frsize - self.plan.ballast_leaves) >> 20):
                f.write(os.urandom(1 << 20))

    def operate(self):
        balances = Balances(self.side.root, self.plan.seed, self.allowed()) if self.plan.balance else None
        killer = self.arm_killer() if self.plan.kill else None
        look_at = self.rng.randrange(self.plan.operations)
        try:
            for n in range(self.plan.operations):
                if not self.one():
                    break
                if n == look_at and not self.plan.kill:
                    self.compare_live()
        finally:
            if killer:
                killer.join()
            if balances:
                balances.finish()
        if balances and not self.plan.kill:
            assert not balances.error, f"balance: {errno.errorcode[balances.error]}"
            assert balances.completed or self.plan.ballast_leaves or self.plan.operations < 500, "no group was relocated in the whole run"

    def allowed(self):
        return () if self.plan.reference and not self.plan.kill else FULL + DEAD

    def choose(self):
        # stores into a mapping that find no space stay in the page cache, in the kernel's own file systems too
        makers, weights = zip(*(o for o in OPERATIONS if not self.plan.ballast_leaves or o[0] is not contents.mapped_write))
        while True:
            operation = self.rng.choices(makers, weights)[0](self.world, self.rng)
            if operation:
                return operation

    def one(self):
        """One operation on each side; False once the mount is dead."""
        operation = self.choose()
        self.log.append(f"{len(self.log)}: {operation}")
        self.promises.broken_by(operation, self.side)
        ours = self.side.attempt(operation)
        if self.plan.kill and not os.path.exists(f"/proc/{self.mounted.pid}/fd/0"):
            return False
        theirs = self.other.attempt(operation) if self.other else ours
        self.log[-1] += f" -> {short(ours)}"
        if ours != theirs and not refused_both(ours, theirs):
            raise Mismatch(f"{operation}: btrfuse {short(ours)}, kernel {short(theirs)}")
        if ours[0] == "errno" and ours[1] in (errno.EIO, errno.EUCLEAN):
            raise Mismatch(f"{operation}: {short(ours)}")
        self.answers["full" if ours[1] == errno.ENOSPC else ours[0]] += 1
        if ours[0] == "ok":
            operation.done(ours[1])
            return not self.plan.kill or self.keep_promise(operation)
        if self.other is None:
            self.look_again(operation)
        return True

    def keep_promise(self, operation):
        try:
            self.promises.made_by(operation, self.side)
        except OSError as e:
            if e.errno not in DEAD:
                raise
            return False
        return True

    def look_again(self, operation):
        """Near ENOSPC an operation of several steps may have failed half way: the world is what is there."""
        for path in operation.touches:
            if os.path.lexists(self.side.path(path)):
                self.world.born(path, "dir" if os.path.isdir(self.side.path(path)) else "file")

    def arm_killer(self):
        when = self.rng.random()

        def kill():
            while len(self.log) < when * self.plan.operations:
                time.sleep(0.001)
            time.sleep(when * 7 % 0.05)
            self.mounted.process.kill()
            self.mounted.process.wait(30)
        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        return thread

    # ---- the views ----

    def compare_live(self):
        if self.other:
            treeview.assert_same(self.timeless(treeview.look(self.side.root)), self.timeless(treeview.look(self.other.root)),
                                 ("btrfuse live", "kernel reference"))

    def timeless(self, view):
        """Times of the clock differ between the sides, those set by utimes (or by who made the image) must not. Nor do we
        know all groups of a writer, who for the kernel decide about a set-group-id bit without group execution."""
        return {path: replace(e, mtime_ns="now" if self.started <= e.mtime_ns <= time.time_ns() else e.mtime_ns,
                              mode=e.mode if e.mode & stat.S_IXGRP else e.mode & ~stat.S_ISGID)
                for path, e in view.items()}

    def judge(self):
        self.compare_live()
        self.side.close_handles()
        live = treeview.look(self.side.root)
        if self.other:
            reference = self.timeless(treeview.look(self.other.root))
            self.other.close_handles()
            treeview.assert_same(self.timeless(live), reference, ("btrfuse live", "kernel reference"))
            self.twin.umount()
        self.mounted.umount()
        images.check(self.image)
        treeview.assert_same(self.view_again(), live, ("btrfuse remounted", "btrfuse live"))
        treeview.assert_same(self.kernel_view(), live, ("kernel", "btrfuse live"))
        images.judge(self.image)

    def view_again(self):
        again = self.subject.mount(self.image, self.plan.options, env=self.plan.env)
        view = treeview.look(again.path)
        again.umount()
        return view

    def kernel_view(self):
        twin = images.copy(self.image, self.image + ".view")
        try:
            with KernelMount(twin, "noatime") as mnt:
                return treeview.look(mnt)
        finally:
            os.unlink(twin)

    def judge_killed(self):
        """SIGKILL: nothing that fsync promised is lost, and everybody accepts what is there."""
        self.side.close_handles()
        self.mounted.kill()
        if self.other:
            self.other.close_handles()
            self.twin.umount()
        images.check(self.image)
        view = self.kernel_view()
        self.promises.verify(view)
        images.judge(self.image)
        treeview.assert_same(self.view_again(), view, ("btrfuse after SIGKILL", "kernel"))
        images.judge(self.image)

    def close(self):
        for side in (getattr(self, "side", None), getattr(self, "other", None)):
            if side:
                side.close_handles()
        if self.twin:
            self.twin.close()
        if self.mounted:
            self.mounted.close()


def refused_both(ours, theirs):
    """In a read-only subvolume it is chance which of its reasons to refuse each side names first."""
    return ours[0] == theirs[0] == "errno" and errno.EROFS in (ours[1], theirs[1])


def short(answer):
    kind, value = answer
    if kind == "errno":
        return errno.errorcode.get(value, value)
    text = repr(value)
    return text if len(text) < 100 else f"{text[:60]}... ({len(text)})"
