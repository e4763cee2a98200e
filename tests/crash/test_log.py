"""Power cuts between fsyncs that wrote a log: the kernel replays it, and so do we; all that was fsynced is there, in one piece."""
import ctypes
import errno
import mmap
import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from harness import dump, files, image as images, ioctls, quotas, recorder, simple_quotas, superblock
from harness.kernel import KernelMount
from harness.shell import run
from harness.subject import Subject
from harness.superblock import Superblock

from . import log_campaign

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]

STATES, FULL_STATES = 40, 200


def enable_quotas(image, quota):
    with KernelMount(image) as mnt:
        if quota == "simple":
            simple_quotas.enable(mnt)
        else:
            run("btrfs", "quota", "enable", mnt)
            quotas.rescan(mnt)


def record(build, scratch, seed, mkfs=(), options="", quota=None, **kw):
    earlier = images.make(os.path.join(scratch, "earlier"), 512, *mkfs)
    if quota:
        enable_quotas(earlier, quota)
    base, record_path = os.path.join(scratch, "base"), os.path.join(scratch, "record")
    subject = Subject("btrfuse", build)
    try:
        m = subject.mount(earlier, options)
        writers, orphan = log_campaign.prepare(m.path, seed)
        images.copy(earlier, base)
        os.close(orphan)
        m.umount()
        os.unlink(earlier)
        image = images.copy(base, os.path.join(scratch, "img"))
        m = subject.mount(image, options, env={"BTRFUSE_RECORD": record_path})
        histories = log_campaign.run_writers(m.path, writers, **kw)
        m.umount()
    finally:
        subject.close_all()
    if quota != "simple":               # old programs refuse such images
        images.judge(image)
    return SimpleNamespace(log=recorder.Log(record_path), base=base, histories=histories, scratch=scratch, quota=quota)


def judge_states(build, recorded, wanted, seed, ours=True, plan=None, stop_at_first=False):
    """(states judged, those with a log, failures in words)."""
    judge = log_campaign.Judge("btrfuse", build, ours, recorded.quota)
    waiting, failures, logged, done = [], [], 0, 0
    log = recorded.log

    def collect(keep):
        nonlocal logged
        while len(waiting) > keep:
            state, result = waiting.pop(0)
            why, had_log = result.result(300)
            logged += had_log
            if why:
                failures.append(f"{state}: {why}")

    with ProcessPoolExecutor(2) as pool:
        for state, build_state in recorder.states(log, recorded.base, recorded.scratch, wanted, seed, plan):
            path = build_state(os.path.join(recorded.scratch, f"state{done}"))
            crash = log.time_at(state.position)
            allowed = [s for s in (h.between(crash) for h in recorded.histories) if s]
            waiting.append((state, pool.submit(judge, path, allowed)))
            done += 1
            collect(3)
            if failures and stop_at_first:
                break
        collect(0)
    return done, logged, failures


FORMS = {
    "default": ((), ""),
    "small nodes, compressed": (("-n", "4096"), "compress=zstd"),
    "mixed groups": (("-M",), ""),
    "sha256, nodatacow": (("--csum", "sha256"), "nodatacow"),
    "lzo by force": ((), "compress-force=lzo"),
    "old forms": (("-O", "^extref,^skinny-metadata"), "nodatasum"),
    "holes as items": (("-O", "^no-holes"), ""),
    "quotas": ((), "", "full"),
    "simple quotas": ((), "", "simple"),
}


@pytest.mark.parametrize("form", FORMS)
def test_crash_states_with_a_log(build, scratch, full, form):
    seed = list(FORMS).index(form)
    wanted = FULL_STATES if full else STATES if seed == 0 else STATES // 4
    recorded = record(build, scratch, seed + 1, *FORMS[form], rounds=60 if full or seed == 0 else 30)
    done, logged, failures = judge_states(build, recorded, wanted, seed=5)
    assert not failures, f"{len(failures)} of {done} states are bad:\n" + "\n".join(failures[:5])
    assert done >= wanted
    assert logged >= done // 2, f"only {logged} of {done} states had a log"


def superblocks(log):
    """Every primary superblock that was written: (index in the record, generation, address of the log)."""
    for i, e in enumerate(log.events):
        if e.type == recorder.WRITE and e.off == recorder.SUPERBLOCKS[0]:
            sb = Superblock(log.data(e))
            yield i, sb.u64(superblock.GENERATION), sb.u64(superblock.LOG_ROOT)


def test_fsync_is_two_flushes_and_no_commit(subject, scratch):
    path, record_path, count = images.make(os.path.join(scratch, "img"), 512), os.path.join(scratch, "record"), 20
    m = subject.mount(path, "commit=300", env={"BTRFUSE_RECORD": record_path})
    fd = os.open(m.join("file"), os.O_CREAT | os.O_RDWR)
    os.mkdir(m.join("dir"))
    ioctls.sync_fs(m.path)
    before = os.path.getsize(record_path)
    for n in range(count):
        os.pwrite(fd, bytes([n + 1]) * 5000, n * 7000)
        os.fsync(fd)
    files.write(m.join("dir", "new"), b"new", sync=True)
    os.fsync(fd)                        # nothing new: one flush at the most
    after = os.path.getsize(record_path)
    os.close(fd)
    m.umount()

    log = recorder.Log(record_path)
    inside = [e for e in log.events if before <= e.at < after]
    written = [s for s in superblocks(log) if before <= log.events[s[0]].at < after]
    assert len(written) == count + 1
    assert len({generation for _, generation, _ in written}) == 1, "a commit in between"
    assert len({address for _, _, address in written}) == count + 1, "a log was written over the one before"
    assert all(address for _, _, address in written)
    assert sum(e.type == recorder.FLUSH for e in inside) in (2 * (count + 1), 2 * (count + 1) + 1)
    assert not [e for e in inside if e.type == recorder.WRITE and e.off in recorder.SUPERBLOCKS[1:]], "a copy was written"
    *_, last = superblocks(log)
    assert last[2] == 0, "the last commit left the log in force"


def test_what_goes_in_place_after_its_record_is_flushed(subject, scratch):
    """A record can be made before the content that it counts reaches the device; the next fsync finds it done."""
    path, record_path = images.make(os.path.join(scratch, "img"), 512), os.path.join(scratch, "record")
    m = subject.mount(path, "commit=300", env={"BTRFUSE_RECORD": record_path}, hooks=True)
    fd = os.open(files.nocow(m.join("file")), os.O_RDWR)
    os.pwrite(fd, b"old" * 20_000, 0)
    ioctls.sync_fs(m.path)
    with mmap.mmap(fd, 8192) as mapped, ThreadPoolExecutor(1) as pool:
        os.pwrite(fd, b"first", 0)
        m.hooks.arm("fy.flush")
        waiting = pool.submit(os.fsync, fd)
        m.hooks.wait("fy.flush")
        mapped[4096:4103] = b"in time"          # write(2) would wait for the fsync
        assert files.LIBC.sync_file_range(fd, ctypes.c_long(4096), ctypes.c_long(4096), 7) == 0
        m.hooks.release()
        waiting.result(20)
        os.fsync(fd)
        after = os.path.getsize(record_path)
    os.close(fd)
    m.umount()
    log = recorder.Log(record_path)
    inside = [e for e in log.events if e.at < after]
    written = [i for i, e in enumerate(inside) if e.type == recorder.WRITE and b"in time" in log.data(e)]
    assert written and any(e.type == recorder.FLUSH for e in inside[written[-1]:]), "acknowledged without a flush"


def test_fsyncs_at_once_share_a_sync(subject, scratch):
    path, record_path, threads = images.make(os.path.join(scratch, "img"), 512), os.path.join(scratch, "record"), 8
    m = subject.mount(path, "commit=300", env={"BTRFUSE_RECORD": record_path}, hooks=True)

    def work(n):
        files.write(m.join(f"file{n}"), b"x" * 4096, sync=True)

    work(0)
    m.hooks.arm("fy.log")
    with ThreadPoolExecutor(threads) as pool:
        first = pool.submit(work, 1)
        m.hooks.wait("fy.log")
        others = [pool.submit(work, n) for n in range(2, threads)]
        time.sleep(0.5)                 # most of them wait for the first one's sync by then
        assert not any(f.done() for f in (first, *others)), "acknowledged before its sync"
        m.hooks.release()
        for f in (first, *others):
            f.result(20)
    after = os.path.getsize(record_path)
    m.umount()
    log = recorder.Log(record_path)
    written = [s for s in superblocks(log) if s[2] and log.events[s[0]].at < after]
    assert len(written) < threads - 1, f"{len(written)} superblocks for {threads} fsyncs"


def content(mnt, name):
    path = os.path.join(mnt, name)
    return files.read(path) if os.path.exists(path) else None


def name_taken_over(m):
    os.rename(m.join("a"), m.join("b"))
    files.write(m.join("a"), b"new", sync=True)
    return {"a": b"new", "b": b"old a"}


def name_made_anew(m):
    os.unlink(m.join("a"))
    files.write(m.join("a"), b"new", sync=True)
    return {"a": b"new"}


def made_and_moved(m):
    os.mkdir(m.join("d"))
    files.write(m.join("d/f"), b"new", sync=True)
    os.rename(m.join("d"), m.join("e"))
    os.mkdir(m.join("d"))
    files.write(m.join("d/f"), b"newer", sync=True)
    return {"d/f": b"newer", "e/f": b"new"}


def exchanged_by_hand(m):
    os.rename(m.join("a"), m.join("x"))
    os.rename(m.join("c"), m.join("a"))
    os.rename(m.join("x"), m.join("c"))
    fd = os.open(m.join("a"), os.O_RDWR)
    os.pwrite(fd, b"OLD C", 0)
    os.fsync(fd)
    os.close(fd)
    return {"a": b"OLD C", "c": b"old a"}


def linked_below_new_directories(m):
    os.makedirs(m.join("p/q"))
    os.link(m.join("a"), m.join("p/q/link"))
    fd = os.open(m.join("a"), os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    return {"a": b"old a", "p/q/link": b"old a"}


def gone_after_the_fsync(m):
    files.write(m.join("t"), b"new", sync=True)
    os.unlink(m.join("t"))
    files.write(m.join("u"), b"other", sync=True)
    return {"u": b"other", "a": b"old a"}


@pytest.mark.parametrize("change", [name_taken_over, name_made_anew, made_and_moved, exchanged_by_hand,
                                    linked_below_new_directories, gone_after_the_fsync], ids=lambda f: f.__name__)
def test_names(subject, scratch, change):
    """What names stand for after the kernel's replay, and after ours."""
    path = images.make(os.path.join(scratch, "img"), 512)
    m = subject.mount(path, "commit=300")
    files.write(m.join("a"), b"old a")
    files.write(m.join("c"), b"old c")
    ioctls.sync_fs(m.path)
    want = change(m)
    m.kill()
    twin = images.copy(path)
    with KernelMount(twin) as mnt:
        assert {name: content(mnt, name) for name in want} == want
    images.check(twin, what="after the kernel's replay")
    m = subject.mount(path)
    assert {name: content(m.path, name) for name in want} == want
    m.umount()
    images.judge(path)


def judge_after_kill(m, path, want):
    """What the kernel finds, and what we find, after the daemon was killed."""
    m.kill()
    twin = images.copy(path)
    with KernelMount(twin) as mnt:
        assert {name: content(mnt, name) == data for name, data in want.items()} == dict.fromkeys(want, True)
    images.check(twin, what="after the kernel's replay")


OLD = bytes(range(251)) * 4000


def judge_fsynced(subject, m, path, fsynced, old_at=()):
    """What was fsynced is there, and the old file: under one of its names, whether the move was fsynced or not."""
    def judge(mnt, who):
        assert {name: content(mnt, name) == data for name, data in fsynced.items()} == dict.fromkeys(fsynced, True), who
        found = [data == OLD for name in old_at if (data := content(mnt, name)) is not None]
        assert found == [True] or not old_at, f"{who}: the old file is there {found}"

    m.kill()
    twin = images.copy(path)
    with KernelMount(twin) as mnt:
        judge(mnt, "the kernel")
    images.check(twin, what="after the kernel's replay")
    m = subject.mount(path)
    judge(m.path, "we")
    m.umount()
    images.judge(path)


def moved(m):
    os.rename(m.join("D/z"), m.join("E/z"))


def linked_and_removed(m):
    os.link(m.join("D/z"), m.join("E/z"))
    os.unlink(m.join("D/z"))


def forgotten(m):
    """Moved, and D comes into memory anew."""
    moved(m)
    for n in range(2200):               # more than are kept without use
        os.mknod(m.join(f"other{n}"))
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")


@pytest.mark.parametrize("new", ["D/f", "D/sub/f"])
@pytest.mark.parametrize("leave", [moved, linked_and_removed, forgotten], ids=lambda f: f.__name__)
def test_the_index_of_a_name_that_went(subject, scratch, leave, new):
    """A new name must not have the index that another file's has in the transaction before: replay would remove that."""
    path = images.make(os.path.join(scratch, "img"), 512)
    m = subject.mount(path)
    os.mkdir(m.join("D"))
    os.mkdir(m.join("E"))
    files.write(m.join("D/first"), b"first")
    files.write(m.join("D/z"), OLD)             # the last name in D
    m.umount()
    m = subject.mount(path, "commit=300")       # which does not know D's next index
    leave(m)
    os.makedirs(os.path.dirname(m.join(new)), exist_ok=True)
    files.write(m.join(new), b"new", sync=True)
    judge_fsynced(subject, m, path, {new: b"new", "D/first": b"first"}, ("D/z", "E/z"))


def to_a_directory(m):
    os.mkdir(m.join("D"))
    files.write(m.join("D/f"), b"new", sync=True)
    return {"D/f": b"new", "A": None}


def to_a_sparse_file(m):
    fd = os.open(m.join("g"), os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 1 << 20)
    os.pwrite(fd, b"g" * 4096, 512 << 10)
    os.fsync(fd)
    os.close(fd)
    return {"g": bytes(512 << 10) + b"g" * 4096 + bytes(508 << 10), "A": None}


@pytest.mark.parametrize("change", [to_a_directory, to_a_sparse_file], ids=lambda f: f.__name__)
def test_the_number_of_a_file_that_went(subject, scratch, change):
    """Deleting an orphan is the first thing that a mount does: its number is the highest in the transaction before."""
    path = images.make(os.path.join(scratch, "img"), 512)
    m = subject.mount(path)
    files.write(m.join("A"), OLD)
    fd = os.open(m.join("A"), os.O_RDONLY)
    os.unlink(m.join("A"))
    ioctls.sync_fs(m.path)
    orphaned = images.copy(path, path + ".orphaned")
    os.close(fd)
    m.umount()
    m = subject.mount(orphaned, "commit=300")
    judge_fsynced(subject, m, orphaned, change(m))


def test_a_new_chunk_makes_fsync_commit(subject, scratch):
    """The superblock of the transaction before does not know where the chunk is."""
    path, data = images.make(os.path.join(scratch, "img"), 512), os.urandom(48 << 20)
    m = subject.mount(path, "commit=300")
    files.write(m.join("small"), b"small", sync=True)
    assert superblock.read(path).u64(superblock.LOG_ROOT)
    generation = superblock.read(path).u64(superblock.GENERATION)
    files.write(m.join("large"), data, sync=True)
    sb = superblock.read(path)
    assert sb.u64(superblock.GENERATION) > generation and not sb.u64(superblock.LOG_ROOT)
    files.write(m.join("large"), b"x" * 4096, 1 << 20, sync=True)
    judge_after_kill(m, path, {"small": b"small", "large": data[:1 << 20] + b"x" * 4096 + data[(1 << 20) + 4096:]})


def test_a_chunk_that_comes_while_the_log_is_put_together(subject, scratch):
    """The top of the log would lie in it (data and nodes share chunks here), and only a commit tells where that is."""
    path = images.make(os.path.join(scratch, "img"), 512, "-M")
    m = subject.mount(path, "commit=300", hooks=True)
    files.write(m.join("before"), b"before", sync=True)
    ioctls.sync_fs(m.path)
    chunks = dump.chunks(path)
    m.hooks.arm("fy.settle")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(files.write, m.join("file"), b"in the file", sync=True)
        m.hooks.wait("fy.settle")
        files.fallocate(m.join("large"), 0, sum(c.length for c in chunks if "DATA" in c.type))
        m.hooks.release()
        waiting.result(20)
    judge_after_kill(m, path, {"before": b"before", "file": b"in the file"})
    assert len(dump.chunks(path)) > len(chunks), "no chunk came: the test is wrong"


def test_very_many_fsyncs(subject, scratch):
    """What their logs occupy is bounded: a commit comes in between, and nothing is lost over it."""
    path, count = images.make(os.path.join(scratch, "img"), 512), 3000
    m = subject.mount(path, "commit=300")
    fd = os.open(m.join("file"), os.O_CREAT | os.O_RDWR)
    for n in range(count):
        os.pwrite(fd, n.to_bytes(4, "little") * 1024, n * 4096)
        os.fsync(fd)
    os.close(fd)
    judge_after_kill(m, path, {"file": b"".join(n.to_bytes(4, "little") * 1024 for n in range(count))})


def test_fsync_on_a_full_file_system(subject, scratch):
    path = images.make(os.path.join(scratch, "img"), 256)
    m = subject.mount(path, "commit=300")
    files.write(m.join("file"), bytes(100_000), sync=True)
    with pytest.raises(OSError):
        for n in range(4096):
            files.write(m.join("full"), os.urandom(1 << 16), n << 16)
    want = bytearray(100_000)
    fd = os.open(m.join("file"), os.O_RDWR)
    for n in range(60):
        at = n * 1500
        try:
            os.pwrite(fd, b"n" * 100, at)
            os.fsync(fd)
        except OSError as e:
            assert e.errno == errno.ENOSPC
            continue
        want[at:at + 100] = b"n" * 100
    os.setxattr(fd, "user.x", b"1")
    os.fsync(fd)
    os.close(fd)
    judge_after_kill(m, path, {"file": bytes(want)})
