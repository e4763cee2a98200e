"""The crash campaign: a workload under the recorder, what it was promised and when, and the judge of one crash state."""
import os
import random
import threading
import time
from concurrent.futures import ProcessPoolExecutor

from harness import blocks, files, image as images, ioctls, recorder, superblock
from harness.kernel import KernelMount
from harness.subject import Subject


class Promises:
    """What fsync promised: (size of the log when it returned, what has to be there from then on)."""

    def __init__(self, log_path):
        self.log_path, self.lock = log_path, threading.Lock()
        self.block_files = {}          # name -> BlockFile
        self.synced = []               # (log size, name, versions)
        self.whole = []                # (log size from, log size until or None, name, content)

    def now(self):
        return os.path.getsize(self.log_path)

    def block_file(self, name, count):
        f = blocks.BlockFile(len(self.block_files) + 1, count)
        self.block_files[name] = f
        return f

    def synced_blocks(self, name, versions):
        with self.lock:
            self.synced.append((self.now(), name, versions))

    def exists(self, name, content):
        with self.lock:
            self.whole.append([self.now(), None, name, content])

    def may_go(self, name):
        with self.lock:
            for w in self.whole:
                if w[2] == name:
                    w[1] = self.now()

    def in_copies_between(self, start, end):
        """Whether an fsync of something that lives by its pointers (not in place) returned in this stretch of the log."""
        return any(start <= w[0] < end and (w[1] is None or w[1] > end) for w in self.whole)

    def at(self, size):
        """(lowest versions per block file, files that must be whole) for a crash when the log was @size long."""
        low = {}
        for when, name, versions in self.synced:
            if when <= size:
                low[name] = [max(a, b) for a, b in zip(low.get(name, versions), versions)]
        must = {name: content for start, end, name, content in self.whole
                if start <= size and (end is None or end > size)}
        return low, must


BLOCK_FILES = {"nocow": 256, "prealloc": 256, "cow": 128}


def prepare(mnt, promises):
    """Files with one fsynced version of each block; the preallocated one half written."""
    for name, count in BLOCK_FILES.items():
        path = os.path.join(mnt, name)
        f = promises.block_file(name, count)
        if name == "nocow":
            files.nocow(path)
        if name == "prealloc":
            files.fallocate(path, 0, count * blocks.SIZE)
            continue
        files.write(path, f.next(0, 0, count), sync=True)
        f.ack(0, count)
        promises.synced_blocks(name, list(f.acked))
    os.mkdir(os.path.join(mnt, "names"))


def write_blocks(mnt, promises, name, rng, rounds, stop):
    """Random O_DIRECT overwrites, an fsync every few."""
    f, d = promises.block_files[name], blocks.DirectFile(os.path.join(mnt, name))
    try:
        for n in range(rounds):
            if stop.is_set():
                break
            count = rng.choice((1, 1, 2, 4))
            at = rng.randrange(f.blocks - count + 1)
            d.write(f.next(at, 0, count), at * blocks.SIZE)
            f.ack(at, count)
            if n % 5 == 4:
                before = list(f.acked)
                os.fsync(d.fd)
                promises.synced_blocks(name, before)
    finally:
        d.close()


def write_names(mnt, promises, rng, rounds, stop):
    """Small files come and go, some fsynced, which takes a log; their folder now and then, which takes a commit."""
    here = []
    for n in range(rounds):
        if stop.is_set():
            break
        name = f"names/f{n}"
        content = rng.randbytes(rng.choice((10, 1500, 5000, 40_000)))
        files.write(os.path.join(mnt, name), content, sync=n % 2 == 0)
        if n % 2 == 0:
            promises.exists(name, content)
        here.append(name)
        if len(here) > 12:
            gone = here.pop(rng.randrange(len(here)))
            promises.may_go(gone)
            os.unlink(os.path.join(mnt, gone))
        if n % 4 == 3:
            files.commit(os.path.join(mnt, "names"))


class Churn:
    """Names come, move and go without any fsync: changes that belong to whatever transaction runs."""

    def __init__(self, mnt, rng, stop):
        self.folder, self.rng, self.stop, self.steps = os.path.join(mnt, "churn"), rng, stop, 0
        os.mkdir(self.folder)

    def __call__(self):
        here = []
        while not self.stop.is_set():
            name = os.path.join(self.folder, f"f{self.steps}")
            files.write(name, self.rng.randbytes(self.rng.choice((10, 3000, 20_000))))
            os.rename(name, name + "x")
            here.append(name + "x")
            if len(here) > 30:
                os.unlink(here.pop(self.rng.randrange(len(here))))
            self.steps += 1


class SlowCommits:
    """Holds commits up on their way to the device, at one step or another, until the churn has gone some steps further: the
    next transaction has changes then. `busy` counts those commits."""

    POINTS = ("tx.frozen", "tx.flushed", "tx.super_pre", "tx.super_post")

    def __init__(self, hooks, churn, rng, stop):
        self.hooks, self.churn, self.rng, self.stop, self.busy = hooks, churn, rng, stop, 0

    def __call__(self):
        while not self.stop.is_set():
            point = self.rng.choice(self.POINTS)
            self.hooks.arm(point)
            if self.hooks.is_parked(point, 1):
                self._hold()
            self.hooks.release(point)

    def _hold(self):
        before, end = self.churn.steps, time.monotonic() + 0.2
        while self.churn.steps < before + 3 and time.monotonic() < end and not self.stop.is_set():
            time.sleep(0.002)
        self.busy += self.churn.steps > before


def run_workload(mnt, promises, seed, rounds=60, balances=3, hooks=None):
    """Writers and balances at once; with @hooks also names without promises, and commits that take a while. Returns the
    number of relocated groups and that of commits during which the next transaction changed something."""
    rng = random.Random(seed)
    stop, errors = threading.Event(), []
    over = threading.Event()

    def guarded(call, *args):
        def body():
            try:
                call(*args)
            except BaseException as e:
                errors.append(e)
                stop.set()
        return threading.Thread(target=body)

    prepare(mnt, promises)
    threads = [guarded(write_blocks, mnt, promises, name, random.Random(rng.random()), rounds, stop) for name in BLOCK_FILES]
    threads.append(guarded(write_names, mnt, promises, random.Random(rng.random()), rounds, stop))
    besides, slow = [], None
    if hooks:
        churn = Churn(mnt, random.Random(rng.random()), over)
        slow = SlowCommits(hooks, churn, random.Random(rng.random()), over)
        besides = [guarded(churn), guarded(slow)]
    for t in threads + besides:
        t.start()
    relocated = 0
    try:
        for _ in range(balances):
            r = ioctls.balance(mnt, data={}, metadata={}, system={})
            assert r.error == 0, r
            relocated += r.completed
    finally:
        for t in threads:
            t.join(120)
        over.set()
        for t in besides:
            t.join(20)
    if errors:
        raise errors[0]
    return relocated, slow.busy if slow else 0


class Judge:
    """Judges crash states; small enough to be sent to a worker process."""

    def __init__(self, kind, build, versions_issued, file_ids, ours=True):
        self.kind, self.build, self.issued, self.file_ids, self.ours = kind, build, versions_issued, file_ids, ours

    def content(self, mnt, low, must):
        for name, versions in low.items():
            f = blocks.BlockFile(self.file_ids[name], len(versions))
            f.synced, f.issued = versions, self.issued[name]
            f.verify(os.path.join(mnt, name), crashed=True)
        for name, content in must.items():
            path = os.path.join(mnt, name)
            assert os.path.exists(path), f"{name}: fsynced, and gone"
            assert files.read(path) == content, f"{name}: fsynced, and changed"

    def __call__(self, path, low, must):
        """None if the state is good, else what is wrong with it."""
        try:
            images.check(path, csums=True)
            self._mount_kernel(path, low, must)
            if self.ours:
                self._mount_ours(path, low, must)
            return None
        except Exception as e:
            return f"{type(e).__name__}: {e}"
        finally:
            for p in (path, path + ".replayed"):
                if os.path.exists(p):
                    os.unlink(p)

    def _mount_kernel(self, path, low, must):
        """Where there is a log the kernel replays it, which writes: to a copy."""
        logged = superblock.read(path).u64(superblock.LOG_ROOT) != 0
        if logged:
            path = images.copy(path, path + ".replayed")
        with KernelMount(path, "" if logged else "ro") as mnt:
            self.content(mnt, low, must)
        if logged:
            images.check(path, csums=True, what="after the kernel's replay")

    def _mount_ours(self, path, low, must):
        subject = Subject(self.kind, self.build)
        try:
            m = subject.mount(path)
            self.content(m.path, low, must)
            m.umount()
            images.check(path, csums=False, what="after our mount")
        finally:
            subject.close_all()


def judge_states(judge, promises, log, base, scratch, wanted, seed, parallel=2, stop_at_first=False, plan=None):
    """Judges @wanted distinct states; returns (states, failures in words)."""
    done, failures, waiting = [], [], []

    def collect(everything):
        while waiting and (everything or len(waiting) >= 2 * parallel):
            state, result = waiting.pop(0)
            why = result.result(300)
            if why:
                failures.append(f"{state}: {why}")

    with ProcessPoolExecutor(parallel) as pool:
        for n, (state, build) in enumerate(recorder.states(log, base, scratch, wanted, seed, plan)):
            path = build(os.path.join(scratch, f"state{n}"))
            events = log.events
            size = events[state.position - 1].end if state.position else 0
            low, must = promises.at(size)
            waiting.append((state, pool.submit(judge, path, low, must)))
            done.append(state)
            collect(False)
            if failures and stop_at_first:
                break
        collect(True)
    return done, failures
