"""Files that change in every way and are fsynced again and again: what each fsync promised, and the judge of one crash state.

Each file has a history of states. After a crash it may be anything between the state that was fsynced last and the last
one that was begun, sector by sector; if these are one state, it is exactly that.
"""
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from harness import devices, files, image as images, ioctls, quotas, simple_quotas
from harness.kernel import KernelMount
from harness.subject import Subject
from harness.superblock import LOG_ROOT, read as read_super

SECTOR = 4096
SIZE_MAX = 200_000


@dataclass
class State:
    content: bytes = b""
    mode: int = 0o644
    xattrs: dict = field(default_factory=dict)
    names: frozenset = frozenset()

    def sector(self, n):
        return self.content[n * SECTOR:(n + 1) * SECTOR].ljust(SECTOR, b"\0")


class History:
    """Of one file: [(when the change began, state)], and which of them were fsynced by when; nanoseconds of the clock that
    records have."""

    def __init__(self, at, state):
        self.states, self.synced, self.told = [(at, state)], [], ["create"]

    @property
    def last(self):
        return self.states[-1][1]

    def between(self, crash):
        """States that a crash may leave at that moment; None: nothing was promised."""
        low = max((n for when, n in self.synced if when <= crash), default=None)
        if low is None:
            return None
        return [s for i, (when, s) in enumerate(self.states) if i >= low and (i == low or when < crash)]


class Writer:
    """One thread with a folder of its own; older folders in it are left alone in a mount until it moves something out of one."""

    def __init__(self, mnt, folder, seed):
        self.mnt, self.folder = mnt, folder
        self.rng, self.histories, self.made = random.Random(seed), [], 0
        self.dirs, self.older = [folder], []

    @staticmethod
    def now():
        return time.monotonic_ns()

    def path(self, name):
        return os.path.join(self.mnt, name)

    def bytes(self, count):
        return self.rng.randbytes((count + 7) // 8 * 8)[:count] if self.rng.random() < 0.7 else bytes([self.made % 251 + 1]) * count

    # each change: what the state will be, then the system call

    def write(self, old, path, at=None, count=None):
        at = self.rng.randrange(SIZE_MAX) if at is None else at
        data = self.bytes(count or self.rng.choice((1, 100, 4096, 8192, 30_000)))
        content = old.content.ljust(at, b"\0")
        return {"content": content[:at] + data + content[at + len(data):]}, lambda: files.write(path, data, at)

    def append(self, old, path):
        return self.write(old, path, len(old.content))

    def aligned(self, old, path):
        return self.write(old, path, self.rng.randrange(SIZE_MAX // SECTOR) * SECTOR, SECTOR * self.rng.choice((1, 2, 5)))

    def truncate(self, old, path):
        size = self.rng.choice((0, self.rng.randrange(SIZE_MAX), len(old.content) // 2))
        return {"content": old.content[:size].ljust(size, b"\0")}, lambda: os.truncate(path, size)

    def shrink_and_grow(self, old, path):
        size = self.rng.randrange(len(old.content) + 1)
        content = old.content[:size].ljust(len(old.content) + 9000, b"\0")
        return ({"content": old.content[:size]}, lambda: os.truncate(path, size)), \
            ({"content": content}, lambda: os.truncate(path, len(content)))

    def punch(self, old, path):
        at, count = self.rng.randrange(SIZE_MAX), self.rng.choice((4096, 20_000))
        end = min(len(old.content), at + count)
        content = old.content[:at] + bytes(max(0, end - at)) + old.content[max(at, end):]
        return {"content": content}, lambda: files.fallocate(path, at, count, files.KEEP_SIZE | files.PUNCH_HOLE)

    def preallocate(self, old, path):
        at, count = self.rng.randrange(SIZE_MAX), self.rng.choice((4096, 60_000))
        return {}, lambda: files.fallocate(path, at, count, files.KEEP_SIZE)

    def allocate(self, old, path):
        at, count = self.rng.randrange(SIZE_MAX), self.rng.choice((100, 4096, 60_000))
        return {"content": old.content.ljust(at + count, b"\0")}, lambda: files.fallocate(path, at, count)

    def zero_range(self, old, path):
        at, count, keep = self.rng.randrange(SIZE_MAX), self.rng.choice((100, 9000, 60_000)), self.rng.choice((0, files.KEEP_SIZE))
        content = old.content if keep else old.content.ljust(at + count, b"\0")
        zeroes = bytes(max(0, min(count, len(content) - at)))
        return ({"content": content[:at] + zeroes + content[at + len(zeroes):]},
                lambda: files.fallocate(path, at, count, files.ZERO_RANGE | keep))

    def chmod(self, old, path):
        mode = self.rng.choice((0o600, 0o640, 0o755))
        return {"mode": mode}, lambda: os.chmod(path, mode)

    def set_xattr(self, old, path):
        name, value = f"user.x{self.rng.randrange(4)}", self.bytes(self.rng.choice((1, 50, 700)))
        return {"xattrs": {**old.xattrs, name: value}}, lambda: os.setxattr(path, name, value)

    def remove_xattr(self, old, path):
        if not old.xattrs:
            return self.set_xattr(old, path)
        name = self.rng.choice(sorted(old.xattrs))
        return {"xattrs": {k: v for k, v in old.xattrs.items() if k != name}}, lambda: os.removexattr(path, name)

    def link(self, old, path):
        name = self.new_name()
        return {"names": old.names | {name}}, lambda: os.link(path, self.path(name))

    def rename(self, old, path):
        name, gone = self.new_name(), self.rng.choice(sorted(old.names))
        return {"names": (old.names - {gone}) | {name}}, lambda: os.rename(self.path(gone), self.path(name))

    def unlink(self, old, path):
        if len(old.names) < 2:
            return self.link(old, path)
        gone = self.rng.choice(sorted(old.names))
        return {"names": old.names - {gone}}, lambda: os.unlink(self.path(gone))

    def clone(self, old, path):
        other = self.rng.choice(self.histories).last
        count = len(other.content) // SECTOR * SECTOR
        if not count or other is old:
            return self.append(old, path)
        source = self.path(sorted(other.names)[0])

        def call():
            src, dst, done = os.open(source, os.O_RDONLY), os.open(path, os.O_RDWR), 0
            try:
                while done < count:
                    done += os.copy_file_range(src, dst, count - done, done, done)
            finally:
                os.close(src)
                os.close(dst)
        return {"content": other.content[:count] + old.content[count:]}, call

    CHANGES = (["write", "append", "aligned"] * 4 + ["truncate", "shrink_and_grow", "punch", "preallocate", "allocate", "zero_range", "clone"] * 2 +
               ["chmod", "set_xattr", "remove_xattr", "link", "unlink", "rename"])

    def new_name(self):
        self.made += 1
        if self.rng.random() < 0.2:
            new = os.path.join(self.rng.choice(self.dirs), f"d{self.made}")
            os.mkdir(self.path(new))
            self.dirs.append(new)
        if self.rng.random() < 0.1:     # a name that stood for something else may come back
            used = os.path.join(self.folder, f"f{self.rng.randrange(self.made)}")
            if not os.path.lexists(self.path(used)):
                return used
        return os.path.join(self.rng.choice(self.dirs), f"f{self.made}")

    def prepare(self, count):
        """Folders with files, which an earlier mount made durable."""
        os.mkdir(self.path(self.folder))
        for n in range(count):
            older = os.path.join(self.folder, f"older{n}")
            os.mkdir(self.path(older))
            self.older.append(older)
            for name in ("first", "last"):
                state = State(content=self.bytes(30_000), names=frozenset({os.path.join(older, name)}))
                files.write(self.path(*state.names), state.content)
                self.histories.append(History(0, state))
                self.histories[-1].synced.append((0, 0))

    def move_out(self):
        """The last name of an older folder goes, then a new one comes there and is fsynced."""
        older = self.older.pop()
        last = os.path.join(older, "last")
        h = next((h for h in self.histories if last in h.last.names), None)
        if h:
            name = self.new_name()
            h.states.append((self.now(), State(**{**h.last.__dict__, "names": (h.last.names - {last}) | {name}})))
            h.told.append("move_out")
            os.rename(self.path(last), self.path(name))
        h = self.create(os.path.join(older, "new"))
        self.change(h)
        self.fsync(h)

    def create(self, name=None):
        name = name or self.new_name()
        h = History(self.now(), State(names=frozenset({name})))
        self.histories.append(h)
        os.close(os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        return h

    def change(self, h):
        old = h.last
        what = getattr(self, self.rng.choice(self.CHANGES))
        steps = what(old, self.path(sorted(old.names)[0]))
        for changed, call in steps if isinstance(steps[0], tuple) else [steps]:
            h.states.append((self.now(), State(**{**old.__dict__, **changed})))
            h.told.append(what.__name__)
            call()

    def fsync(self, h):
        n = len(h.states) - 1
        fd = os.open(self.path(sorted(h.last.names)[0]), os.O_RDWR)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        h.synced.append((self.now(), n))

    def begin(self):
        """The first new file of a mount: far from its start, so that what is before shows."""
        h = self.create()
        changed, call = self.write(h.last, self.path(*h.last.names), SIZE_MAX // 2, SECTOR)
        h.states.append((self.now(), State(**{**h.last.__dict__, **changed})))
        h.told.append("begin")
        call()
        self.fsync(h)

    def sync(self, h):
        """Everything; meanwhile the beginning of the file is written again and again, which must not cut what is behind it."""
        path, wanted = self.path(sorted(h.last.names)[0]), [(other, len(other.states) - 1) for other in self.histories]
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(ioctls.sync_fs, self.mnt)
            for _ in range(self.rng.choice((0, 1, 5))):
                if len(h.last.content) < SECTOR:
                    break
                changed, call = self.write(h.last, path, 0, self.rng.choice((1, 100, SECTOR)))
                h.states.append((self.now(), State(**{**h.last.__dict__, **changed})))
                h.told.append("again")
                call()
            done.result(300)
        for other, n in wanted:
            other.synced.append((self.now(), n))

    def run(self, rounds):
        for _ in range(rounds):
            if self.older and self.rng.random() < 0.1:
                self.move_out()
            if not self.histories or self.rng.random() < 0.15:
                self.create()
            h = self.rng.choice(self.histories)
            for _ in range(self.rng.choice((1, 1, 2, 4))):
                self.change(h)
            if self.rng.random() < 0.8:
                self.fsync(h)
            if self.rng.random() < 0.06:
                self.change(h)
                self.sync(h)


ORPHAN = "orphan"


def prepare(mnt, seed, writers=3, older=4):
    """The writers, and a file with the highest number, held open without a name: the next mount deletes it first of all."""
    made = [Writer(mnt, f"w{n}", seed * 100 + n) for n in range(writers)]
    for w in made:
        w.prepare(older)
    orphan = os.path.join(mnt, ORPHAN)
    files.write(orphan, bytes(range(1, 251)) * 1000)
    fd = os.open(orphan, os.O_RDONLY)
    os.unlink(orphan)
    ioctls.sync_fs(mnt)
    return made, fd


def run_writers(mnt, made, rounds=60):
    """Returns the histories of all files."""
    errors = []
    for w in made:
        w.mnt = mnt
    made[0].begin()

    def body(w):
        try:
            w.run(rounds)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=body, args=(w,)) for w in made]
    for t in threads:
        t.start()
    for t in threads:
        t.join(300)
    if errors:
        raise errors[0]
    histories = [h for w in made for h in w.histories]
    for h in histories:
        judge_file(mnt, [h.last])
    return histories


def judge_file(mnt, states):
    low = states[0]
    names = [n for n in low.names if all(n in s.names for s in states)]
    for name in names:
        assert os.path.lexists(os.path.join(mnt, name)), f"{name}: fsynced, and gone"
    there = [n for s in states for n in s.names if os.path.lexists(os.path.join(mnt, n))]
    if not names and not there:
        raise AssertionError(f"{sorted(low.names)}: fsynced, and gone")
    if not names:
        return          # renamed meanwhile, and the name may be somebody else's now
    path = os.path.join(mnt, names[0])
    content = files.read(path)
    sizes = sorted(len(s.content) for s in states)      # of a change that was not fsynced a part may be there
    assert sizes[0] <= len(content) <= sizes[-1], f"{names[0]}: {len(content)} bytes, not {sizes}"
    for n in range((len(content) + SECTOR - 1) // SECTOR):
        got = content[n * SECTOR:(n + 1) * SECTOR]
        assert any(got == s.sector(n)[:len(got)] for s in states) or mixed(got, states, n), \
            f"{names[0]}: sector {n} is none of {len(states)} states"
    st = os.stat(path)
    assert st.st_mode & 0o7777 in {s.mode for s in states}, f"{names[0]}: mode {st.st_mode:o}"
    xattrs = {k: os.getxattr(path, k) for k in os.listxattr(path)}
    for key in {k for s in states for k in s.xattrs} | set(xattrs):
        assert any(xattrs.get(key) == s.xattrs.get(key) for s in states), f"{names[0]}: xattr {key}"


def mixed(got, states, n):
    """A size that ends within the sector cuts what is there."""
    cut = [len(s.content) - n * SECTOR for s in states]
    return any(0 < c < SECTOR and got == s.sector(n)[:c].ljust(SECTOR, b"\0")[:len(got)] for c in cut for s in states)


class Judge:
    """Judges crash states; small enough to be sent to a worker process. @quota: full, simple or None."""

    def __init__(self, kind, build, ours=True, quota=None):
        self.kind, self.build, self.ours, self.quota = kind, build, ours, quota

    def __call__(self, image, allowed):
        """(None if the state is good, else what is wrong with it; whether there was a log)."""
        logged, twin = False, None
        try:
            logged = self.has_log(image)
            self.check(image)
            if self.ours:
                twin = self.copy(image)
                self._ours(twin, allowed)
            with self.kernel(image) as mnt:
                for states in allowed:
                    judge_file(mnt, states)
            self.check(image, what="after the kernel's replay")
            return None, logged
        except Exception as e:
            return f"{type(e).__name__}: {e}", logged
        finally:
            self.remove(image)
            if twin:
                self.remove(twin)

    def _ours(self, image, allowed):
        subject = Subject(self.kind, self.build)
        try:
            m = self.mount(subject, image)
            for states in allowed:
                judge_file(m.path, states)
            m.umount()
            self.check(image, what="after our replay")
            if self.quota:
                {"full": quotas, "simple": simple_quotas}[self.quota].verify(image)
        finally:
            subject.close_all()

    # ---- what an image is ----

    kernel = KernelMount

    def has_log(self, image):
        return read_super(image).u64(LOG_ROOT) != 0

    def check(self, image, what=""):
        if self.quota != "simple" or simple_quotas.programs_know_simple_quotas():
            images.check(image, csums=True, what=what)

    def copy(self, image):
        return images.copy(image, image + ".ours")

    def mount(self, subject, image):
        return subject.mount(image)

    def remove(self, image):
        os.unlink(image)


class DevicesJudge(Judge):
    """The same for images of several devices, one after the other: the kernel knows them by their common uuid."""

    kernel = devices.KernelDevices

    def has_log(self, image):
        return any(read_super(path).u64(LOG_ROOT) for path in image)

    def check(self, image, what=""):
        devices.check(image)

    def copy(self, image):
        return devices.copy(image, ".ours")

    def mount(self, subject, image):
        return subject.mount(image[0], devices.options(image))

    def remove(self, image):
        for path in image:
            os.unlink(path)
