"""The workload of row 70: actors of every kind on a small, rather full file system with balances, while the daemon's scheduler
lets its threads go on one at a time, by chance from a seed (disk/base/sync_schedule.c). The oracles then say whether all is well.

Each actor is a process of its own (a page fault of a mapped file stops all threads of an interpreter). What the seed decides beside
the order: which actors there are, what they do, whether calls fail, whether the power is cut. It is the same for all guards.
"""
import errno
import json
import mmap
import os
import random
import re
import time

from crash import campaign
from harness import blocks, dump, files, image as images, ioctls, recorder
from harness.hooks import HookError, Hooks
from harness.kernel import KernelMount
from harness.shell import CommandFailed, output, run
from harness.subject import MountRefused

from .race import Act, Verdict, content, fill_up, forget_pages
from .workload import SharedCounters

# file -> blocks; "one" and "two" share their extent at first
FILES = {"nocow": 64, "prealloc": 64, "cow": 64, "mapped": 32, "one": 64, "two": 64, "other": 64}
IDS = {"nocow": 1, "prealloc": 2, "cow": 3, "mapped": 4, "one": 5, "two": 5, "other": 6}
FIRST_VERSION = {"two": 1000}       # so that what is written to one is not mistaken for what is written to the other
CUT, CUT_BLOCKS = 7, 32
LAST = 8                            # blocks at the end of nocow and other that nobody writes before the end
GROUP, HOLE = 8 << 20, 512 << 10
OPERATIONS = 12
STILL_SECONDS = 5                   # nobody has done anything for so long: a deadlock
WAITING_PICKS = 120                 # so many others went first: a request that needs nobody was not served
BUSY = (errno.ECANCELED, errno.ENOTCONN, errno.EINPROGRESS)


def make_stage(path):
    """All but `other` in the first data group; it and the second are full but for half a MiB each, so that what is freed is soon
    used again."""
    images.make(path, 112, "-m", "single")
    with KernelMount(path, "nodiscard,commit=1") as mnt:
        files.write(f"{mnt}/before", content(99, 0, 128), sync=True)
        os.unlink(f"{mnt}/before")
        run("btrfs", "filesystem", "sync", mnt)
        files.fallocate(f"{mnt}/prealloc", 0, 64 * blocks.SIZE)     # where `before` was
        for b in range(0, 32, 2):
            files.write(f"{mnt}/prealloc", content(2, b, 1), b * blocks.SIZE, sync=b == 30)
        for name in ("nocow", "mapped", "one", "other"):
            files.nocow(f"{mnt}/{name}")
        for half in (0, 32):                                        # two extents
            files.write(f"{mnt}/nocow", content(1, half, 32), half * blocks.SIZE, sync=True)
            files.write(f"{mnt}/between{half}", content(98, 0, 8), sync=True)
        for name in ("cow", "mapped", "one"):
            files.write(f"{mnt}/{name}", content(IDS[name], 0, FILES[name]), sync=True)
        files.nocow(f"{mnt}/two")
        run("cp", "--reflink=always", f"{mnt}/one", f"{mnt}/two")
        files.nocow(f"{mnt}/cut")
        used = sum(FILES[name] for name in ("prealloc", "nocow", "cow", "mapped", "one")) + 16
        files.fallocate(f"{mnt}/filler", 0, GROUP - used * blocks.SIZE)
        files.write(f"{mnt}/other", content(6, 0, 64), sync=True)
        for at in range(0, free_for_data(mnt) - HOLE, 1 << 20):     # in pieces that fit anywhere
            files.fallocate(f"{mnt}/filler2", at, min(1 << 20, free_for_data(mnt) - HOLE))
        files.fallocate(f"{mnt}/filler", GROUP - used * blocks.SIZE - HOLE, HOLE, files.PUNCH_HOLE | files.KEEP_SIZE)


def free_for_data(mnt):
    total, used = re.search(r"^Data, single: total=(\d+), used=(\d+)", output("btrfs", "filesystem", "df", "--raw", mnt), re.M).groups()
    return int(total) - int(used)


def make_full(path):
    """The same, and no space anywhere but a few blocks: what is freed is used again at once."""
    make_stage(path)
    with KernelMount(path, "nodiscard,commit=1") as mnt:
        fill_up(mnt)
        files.fallocate(f"{mnt}/full", 0, HOLE // 2, files.PUNCH_HOLE | files.KEEP_SIZE)


class Versions:
    """What a file must hold, in memory that the actors share."""

    def __init__(self, name):
        self.name, self.file_id, self.blocks = name, IDS[name], FILES[name]
        self.issued, self.acked = SharedCounters(self.blocks), SharedCounters(self.blocks)
        for b in range(self.blocks):
            written = b < 32 and b % 2 == 0 if name == "prealloc" else True
            self.issued[b] = self.acked[b] = int(written)

    def next(self, at, count):
        pieces = []
        for b in range(at, at + count):
            self.issued[b] = max(self.issued[b], FIRST_VERSION.get(self.name, 0)) + 1
            pieces.append(blocks.make(self.file_id, b, self.issued[b]))
        return b"".join(pieces)

    def ack(self, at, count):
        for b in range(at, at + count):
            self.acked[b] = self.issued[b]

    def snapshot(self):
        return [self.acked[b] for b in range(self.blocks)]

    def as_file(self):
        f = blocks.BlockFile(self.file_id, self.blocks)
        f.acked, f.issued = self.snapshot(), [self.issued[b] for b in range(self.blocks)]
        return f


class Profile:
    """What the seed decides about a run as a whole."""

    def __init__(self, seed):
        rng = random.Random(f"profile {seed}")
        kind = seed % 5
        self.seed = seed
        self.crash = kind in (1, 3)
        self.full = kind == 3
        self.faults = kind == 2
        self.few = kind == 4 and seed % 2 == 0      # as few threads as those who may wait, and one
        self.damaged = kind == 4 and seed % 2 == 1
        self.cancels = not self.crash and rng.random() < 0.4
        self.second = not self.crash and rng.random() < 0.4
        self.buffered = not self.full and (self.crash or rng.random() < 0.5)


class Actor:
    """One process. What it has to say when it ends: objections, and what fsync promised."""

    def __init__(self, chance, name, call):
        self.chance, self.name, self.call = chance, name, call
        self.rng = random.Random(f"{name} {chance.profile.seed}")
        self.objections, self.promises = [], []
        self.done = SharedCounters(1)
        self.report = os.path.join(chance.scratch, f"report.{name}")

    def start(self):
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._run()
            finally:
                os._exit(0)
        return self

    def _run(self):
        try:
            self.call(self)
        except (OSError, AssertionError) as e:
            self.objections.append(["content", f"{self.name}: {type(e).__name__}: {e}"])
        except BaseException as e:
            self.objections.append(["broken", f"{self.name}: {type(e).__name__}: {e}"])
        with open(self.report + ".new", "w") as f:
            json.dump([self.objections, self.promises], f)
        os.rename(self.report + ".new", self.report)

    def turns(self, count=OPERATIONS):
        for n in range(count):
            self.done[0] = n + 1
            yield n

    def promised(self, versions, low):
        if self.chance.record:
            self.promises.append([os.path.getsize(self.chance.record), versions.name, low])

    def may_fail(self, error):
        """A fault that was injected, or no space where there is none (errno 0: a short write); otherwise every failure counts."""
        p = self.chance.profile
        if not (p.faults and error.errno in (errno.EIO, errno.ENOSPC, 0) or p.full and error.errno in (errno.ENOSPC, 0)):
            raise error

    def over(self):
        return os.waitpid(self.pid, os.WNOHANG)[0] != 0


# ---- what actors do ----

def pick_range(rng, count):
    n = rng.choice((1, 1, 2, 4, 8))
    return rng.randrange(count - n + 1), n


def direct_writer(name, leave=0):
    def call(me):
        v, path = me.chance.versions[name], me.chance.path(name)
        f = blocks.DirectFile(path)
        for n in me.turns(2 * OPERATIONS):
            at, count = pick_range(me.rng, v.blocks - leave)
            try:
                f.write(v.next(at, count), at * blocks.SIZE)
                v.ack(at, count)
                if n % 10 == 9:
                    low = v.snapshot()
                    os.fsync(f.fd)
                    me.promised(v, low)
            except OSError as e:
                me.may_fail(e)
    return call


def buffered_writer(name):
    def call(me):
        v = me.chance.versions[name]
        fd = os.open(me.chance.path(name), os.O_RDWR)
        for _ in me.turns():
            at, count = pick_range(me.rng, v.blocks)
            try:
                os.pwrite(fd, v.next(at, count), at * blocks.SIZE)
                time.sleep(me.rng.choice((0, 0.01, 0.03)))      # somebody else may begin to write it back
                os.fsync(fd)
                v.ack(at, count)
                me.promised(v, v.snapshot())
            except OSError as e:
                me.may_fail(e)
    return call


def mapped_writer(me):
    v = me.chance.versions["mapped"]
    fd = os.open(me.chance.path("mapped"), os.O_RDWR)
    with mmap.mmap(fd, v.blocks * blocks.SIZE) as pages:
        for _ in me.turns(OPERATIONS // 2):
            at, count = pick_range(me.rng, v.blocks)
            try:
                data = v.next(at, count)
                pages[at * blocks.SIZE:(at + count) * blocks.SIZE] = data
                os.fsync(fd)
                v.ack(at, count)
                me.promised(v, v.snapshot())
            except OSError as e:
                me.may_fail(e)


def cloner(me):
    """Writes to files that share an extent, and shares it with more."""
    fds = {name: blocks.DirectFile(me.chance.path(name)) for name in ("one", "two")}
    for n in me.turns():
        name = me.rng.choice(("one", "two"))
        v = me.chance.versions[name]
        at, count = me.rng.randrange(v.blocks), 1       # so that most stays shared
        try:
            if n % 5 == 4:
                share(me, n, me.chance.versions["one"], fds["one"].fd)
                continue
            fds[name].write(v.next(at, count), at * blocks.SIZE)
            v.ack(at, count)
        except OSError as e:
            me.may_fail(e)


def share(me, n, v, fd):
    """A clone of `one` holds what `one` holds now, whatever is written to `one` or to it."""
    path = me.chance.path(f"clone{n}")
    files.nocow(path)
    to = os.open(path, os.O_RDWR)
    wanted = v.as_file()
    length = v.blocks * blocks.SIZE
    assert os.copy_file_range(fd, to, length, 0, 0) == length
    os.close(to)
    f = blocks.DirectFile(path)
    f.write(blocks.make(v.file_id, 3, 5000 + n), 3 * blocks.SIZE)
    wanted.acked[3] = wanted.issued[3] = 5000 + n
    wanted.verify(path)
    v.as_file().verify(me.chance.path("one"))


def cutter(me):
    """Writes, and takes it all away again while somebody writes it back: to new places, or in place."""
    path, size = me.chance.path("cut"), CUT_BLOCKS * blocks.SIZE
    data = b"".join(blocks.make(CUT, b, 1) for b in range(CUT_BLOCKS))
    fd = os.open(path, os.O_RDWR)
    for n in me.turns(OPERATIONS // 3):
        try:
            os.pwrite(fd, data, 0)
            if me.rng.random() < 0.5:
                os.fsync(fd)
                os.pwrite(fd, data[:8 * blocks.SIZE], 0)
            sync = Act(ioctls.sync_fs, me.chance.mnt)
            time.sleep(me.rng.choice((0, 0.003, 0.01)))
            if n % 2:
                files.fallocate(path, 0, size, files.PUNCH_HOLE | files.KEEP_SIZE)
            else:
                os.ftruncate(fd, 0)
                os.ftruncate(fd, size)
            sync.end()
        except OSError as e:
            me.may_fail(e)
            continue
        forget_pages(path)
        assert not any(os.pread(fd, size, 0)), "cut: there is something where nothing can be"


def stranger(me):
    """Files come and go, and everything is synced now and then."""
    here = []
    for n in me.turns():
        path, count = me.chance.path(f"s{n}"), me.rng.choice((4, 16, 32, 64))
        data = b"".join(blocks.make(100 + n, b, 1) for b in range(count))
        try:
            files.write(path, data, sync=me.rng.random() < 0.5)
            here.append((path, n, count))
            if me.rng.random() < 0.5:
                ioctls.sync_fs(me.chance.mnt)
            if len(here) > 3:
                path, old, count = here.pop(0)
                if not me.chance.profile.faults and not me.chance.profile.full:
                    look_at_stranger(path, old, count)
                os.unlink(path)
        except OSError as e:
            me.may_fail(e)
    if not me.chance.profile.faults and not me.chance.profile.full:
        for one in here:
            look_at_stranger(*one)


def look_at_stranger(path, n, count):
    forget_pages(path)
    f = blocks.BlockFile(100 + n, count)
    f.acked = f.issued = [1] * count
    f.verify(path)


def reader(me):
    """Reads that must see what was acknowledged before, and nothing that was not issued by then."""
    names = ("nocow", "prealloc", "cow", "one", "two", "other")
    fds = {name: blocks.DirectFile(me.chance.path(name), os.O_RDONLY) for name in names}
    for _ in me.turns(2 * OPERATIONS):
        name = me.rng.choice(names)
        v = me.chance.versions[name]
        at, count = pick_range(me.rng, v.blocks)
        low = v.snapshot()
        data = fds[name].read(count * blocks.SIZE, at * blocks.SIZE)
        for b in range(at, at + count):
            seq, _ = blocks.parse(data[(b - at) * blocks.SIZE:][:blocks.SIZE], v.file_id, b)
            if not low[b] <= seq <= v.issued[b]:
                raise blocks.BadBlock(f"{name} block {b}: read version {seq}, allowed {low[b]}..{v.issued[b]}")


def relocator(me):
    """Balances: the first group, the nodes, what has come to lie behind the second group."""
    first, second = me.chance.groups
    everything = {"first": dict(data=dict(vrange=(first, first + 1))), "nodes": dict(metadata={}),
                  "behind": dict(data=dict(vrange=(second + 1, 1 << 62)))}
    steps = ["first", *(me.rng.choice(("nodes", "behind", "behind")) for _ in range(2))]
    for n in me.turns(len(steps)):
        r = ioctls.balance(me.chance.mnt, **everything[steps[n]])
        if r.error and not me.chance.balance_may_fail(r.error):
            me.objections.append(["place", f"balance {steps[n]}: {r}"])


def meddler(me):
    """Requests that need nobody, and such that meddle with the balance."""
    hooks, p = Hooks(me.chance.hooks_path), me.chance.profile
    for _ in me.turns(2 * OPERATIONS):
        before = int(hooks.command("schedule"))
        began = time.monotonic()
        os.statvfs(me.chance.mnt)
        waited = int(hooks.command("schedule")) - before
        if p.few and waited > WAITING_PICKS:
            me.objections.append(["time", f"a request waited for {waited} others, {time.monotonic() - began:.2f} s"])
        time.sleep(me.rng.random() * 0.03)
        if p.second and me.rng.random() < 0.2:
            ioctls.balance(me.chance.mnt, data=dict(vrange=(0, 1)))
        if p.cancels and me.rng.random() < 0.12:
            ioctls.balance_cancel(me.chance.mnt)


# ---- a run ----

class Chance:
    """One seed, one guard (or none) off, up to the verdict."""

    def __init__(self, subject, image_cache, scratch, seed, guard=None):
        self.profile, self.scratch, self.subject, self.guard = Profile(seed), scratch, subject, guard
        stage = ("chance-full", make_full) if self.profile.full else ("chance", make_stage)
        self.image = image_cache(*stage, os.path.join(scratch, "stage"))
        self.versions = {name: Versions(name) for name in FILES}
        self.verdict, self.times = Verdict(), -1
        self.groups = sorted(c.logical for c in dump.chunks(self.image) if c.type.startswith("DATA"))[:2]
        self.record = os.path.join(scratch, "record") if self.profile.crash else None
        self.base = images.copy(self.image, self.image + ".base") if self.profile.crash else None
        self.repair = self._damage() if self.profile.damaged else None
        self.mounted = subject.mount(self.image, "threads=3" if self.profile.few else "", hooks=True,
                                     env={"BTRFUSE_RECORD": self.record} if self.record else None)
        self.mnt, self.hooks, self.hooks_path = self.mounted.path, self.mounted.hooks, self.mounted.hooks.path
        if guard:
            self.hooks.guard(guard, False)

    def path(self, name):
        return os.path.join(self.mnt, name)

    def _damage(self):
        """One block of filler2's neighbour `cow`, in its only copy; (inode, disk, physical, good bytes)."""
        with KernelMount(images.copy(self.image, self.image + ".look"), "ro") as mnt:
            inode = files.inode(f"{mnt}/cow")
        extent = dump.file_extents(self.image, inode)[0]
        at, = dump.physical(self.image, extent.disk + 63 * blocks.SIZE)
        fd = os.open(self.image, os.O_RDWR)
        good = os.pread(fd, blocks.SIZE, at)
        os.pwrite(fd, os.urandom(blocks.SIZE), at)
        os.close(fd)
        return inode, extent.disk, at, good

    def balance_may_fail(self, error):
        p = self.profile
        return error in BUSY and (p.cancels or p.second) or p.faults and error in (errno.ENOSPC, errno.EIO) or \
            p.damaged and error == errno.EIO or p.full and error == errno.ENOSPC

    def actors(self):
        calls = {"nocow": direct_writer("nocow", LAST), "prealloc": direct_writer("prealloc"), "relocator": relocator,
                 "meddler": meddler}
        if not self.profile.few:
            calls |= {"cow": (buffered_writer if self.profile.buffered else direct_writer)("cow"), "mapped": mapped_writer,
                      "cloner": cloner, "cutter": cutter, "stranger": stranger, "reader": reader}
        if self.profile.damaged:
            for name in ("cow", "reader"):
                calls.pop(name)
        return [Actor(self, name, call) for name, call in calls.items()]

    def play(self):
        """Everybody acts; False if that came to no end."""
        self.hooks.command(f"schedule {self.profile.seed}{' faults' if self.profile.faults else ''}")
        actors = sorted(self.actors(), key=lambda a: a.name != "relocator")
        actors[0].start()
        time.sleep(0.02)                    # it has the longest way
        for a in actors[1:]:
            a.start()
        running, last, since = list(actors), None, time.monotonic()
        while running:
            time.sleep(0.02)
            running = [a for a in running if not a.over()]
            now = [a.done[0] for a in actors], len(running), self._picks()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > STILL_SECONDS:
                self.verdict.objections["time"] = f"nothing moves: {[a.name for a in running]}"
                break
        self._hear(actors)
        return not running

    def _picks(self):
        try:
            return self.hooks.command("schedule")
        except (HookError, OSError):
            return None

    def _hear(self, actors):
        self.promises = []
        for a in actors:
            if os.path.exists(a.report):
                with open(a.report) as f:
                    objections, promises = json.load(f)
                for kind, words in objections:
                    assert kind != "broken", words
                    self.verdict.objections.setdefault(kind, words)
                self.promises += promises

    def judge(self):
        """The verdict; stops at the first objection where a guard is off."""
        if not self.play():
            self.mounted.kill()
            return self.verdict
        self.hooks.command("schedule off")
        for step in (self._in_place, self._afterwards, self._resumed, self._in_place, self._content, self._unmounted,
                     self._in_the_kernel, self._power_cuts):
            if not (self.guard and self.verdict.objections):
                step()
        return self.verdict

    def _afterwards(self):
        """Without chance: nothing is in the way of moving everything once more."""
        act = Act(ioctls.balance, self.mnt, {}, {})
        act.join(15)
        with self.verdict.oracle("time"):
            assert not act.is_alive(), "the last balance does not end"
        if act.is_alive():
            self.mounted.kill()
            return
        with self.verdict.oracle("place"):
            r = act.end()
            assert not r.error or self.profile.damaged and r.error == errno.EIO or self.profile.full and r.error == errno.ENOSPC, \
                f"the last balance: {r}"

    def _resumed(self):
        """A conversion that is paused after its first group and resumed leaves that one alone."""
        if self.profile.crash or self.profile.damaged or self.mounted.killed:
            return
        kw = dict(metadata=dict(convert=ioctls.DUP), system=dict(convert=ioctls.DUP))
        self.hooks.arm("rl.ro_pre", 2)
        balance = ioctls.BalanceThread(self.mnt, **kw)
        if not self.hooks.is_parked("rl.ro_pre", 3):
            self.hooks.release("all")       # there is no second one, or no space for the first
            balance.finish(15)
            return
        pause = Act(ioctls.balance_pause, self.mnt)
        while ioctls.balance_progress(self.mnt).state & ioctls.STATE_PAUSE_REQ == 0 and pause.is_alive():
            pass
        self.hooks.release("all")
        pause.end()
        balance.finish(15)
        before = self._converted()
        ioctls.balance(self.mnt, flags=ioctls.RESUME)
        with self.verdict.oracle("place"):
            assert before <= self._converted(), "what was converted has been converted again"

    def _converted(self):
        ioctls.sync_fs(self.mnt)
        return {c.logical for c in dump.chunks(self.image) if "DUP" in c.type}

    def _in_place(self):
        """Blocks of nodatacow files that nobody has written are overwritten where they are."""
        with self.verdict.oracle("place"):
            names = ("nocow", "other")
            inodes = [files.inode(self.path(name)) for name in names]
            before = self._extents(inodes)
            self.times += 1
            for name in names:
                v = self.versions[name]
                f = blocks.DirectFile(self.path(name))
                for at in range(v.blocks - LAST + self.times, v.blocks, 2):
                    f.write(v.next(at, 1), at * blocks.SIZE)
                    v.ack(at, 1)
                f.close()
            assert self._extents(inodes) == before, "an overwrite was copied"

    def _extents(self, inodes):
        ioctls.sync_fs(self.mnt)
        return [dump.file_extents(self.image, inode) for inode in inodes]

    def _content(self):
        self._look(self.mnt, "content")

    def _look(self, folder, kind):
        for name, v in self.versions.items():
            if self.profile.damaged and name == "cow":
                continue
            with self.verdict.oracle(kind):
                path = os.path.join(folder, name)
                forget_pages(path)
                v.as_file().verify(path)

    def _unmounted(self):
        if self.mounted.killed:
            return
        with self.verdict.oracle("exit"):
            self.mounted.umount(timeout=20)
        if self.repair:
            self._mend()
        with self.verdict.oracle("check"):
            images.check(self.image, what=str(self.guard))

    def _mend(self):
        """The bytes come back, if that is still where they belong."""
        inode, disk, at, good = self.repair
        if dump.file_extents(self.image, inode)[0].disk == disk:
            fd = os.open(self.image, os.O_RDWR)
            os.pwrite(fd, good, at)
            os.close(fd)

    def _in_the_kernel(self):
        with self.verdict.oracle("kernel"), KernelMount(self.image, "ro") as mnt:
            self._look(mnt, "kernel")

    # ---- power cuts ----

    def _power_cuts(self):
        if not self.record:
            return
        log = recorder.Log(self.record)
        issued = {name: v.as_file().issued for name, v in self.versions.items()}
        judge = campaign.Judge("btrfuse", self.subject.build, issued, IDS, ours=False)
        for n, (state, build) in enumerate(recorder.states(log, self.base, self.scratch, 9, plan=self._plan(log))):
            path = build(os.path.join(self.scratch, f"state{n}"))
            why = judge(path, self._low(log.events[state.position - 1].end if state.position else 0), {})
            if why:
                self.verdict.objections.setdefault("crash", f"{state.kind} at {state.position}: {why}")
                break

    def _plan(self, log):
        """Right after promises, with all lost that may be; right after superblocks, with nothing else of what was in flight; right
        before them, with everything, best where somebody else has written meanwhile."""
        rng = random.Random(f"cuts {self.profile.seed}")
        ends = [e.end for e in log.events]
        promised = [sum(end <= size for end in ends) for size, *_ in rng.sample(self.promises, min(3, len(self.promises)))]
        supers = [n + 1 for n, e in enumerate(log.events) if e.type == recorder.WRITE and e.off == recorder.SUPERBLOCKS[0]]
        plan = [(at, "none") for at in promised] + [(at, "only the last") for at in rng.sample(supers, min(2, len(supers)))]
        busy = [at for at in supers if self._written_meanwhile(log, at - 1)] or supers
        plan += [(at - 1, "boundary") for at in rng.sample(busy, min(4, len(busy)))]
        return sorted(plan)

    @staticmethod
    def _written_meanwhile(log, at):
        """Between the last flush and the superblock, which is event @at."""
        flushed = max(n for n in [-1, *log.flushes()] if n < at)
        return any(e.type == recorder.WRITE for e in log.events[flushed + 1:at])

    def _low(self, size):
        low = {}
        for when, name, versions in self.promises:
            if when <= size:
                low[name] = [max(a, b) for a, b in zip(low.get(name, versions), versions)]
        return low


def found(chance):
    """The objections of a run; whatever breaks the judge itself while a guard is off is one, too."""
    try:
        return chance.judge().objections
    except (CommandFailed, MountRefused, HookError, OSError, AssertionError) as e:
        if not chance.guard:
            raise
        return {"exit": f"{type(e).__name__}: {e}"}
