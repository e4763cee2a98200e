"""A transaction is written while the next one runs: nobody waits for the device, a power cut in between keeps what was
promised and nothing half, and a failure is everybody's who waits."""
import errno
import mmap
import os
import time

import pytest

from harness import blocks, files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run

from .race import Act

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]

POINTS = ("tx.frozen", "tx.flushed", "tx.super_pre", "tx.super_post")
PATIENCE = 0.3


def parked_commit(m, point):
    """A sync of the whole file system that is parked at a step of its way to the device."""
    m.hooks.arm(point)
    sync = Act(ioctls.sync_fs, m.path)
    m.hooks.wait(point)
    return sync


def changes(folder, n):
    """One of everything that joins a transaction. Returns the seconds of the slowest step."""
    name, slowest = f"{folder}/f{n}", 0
    for step in (lambda: files.write(name, b"a" * 100), lambda: files.write(name, os.urandom(9000)),
                 lambda: os.rename(name, name + "x"), lambda: os.link(name + "x", name), lambda: os.unlink(name),
                 lambda: os.mkdir(name), lambda: os.truncate(name + "x", 10),
                 lambda: files.fallocate(name + "x", 0, 1 << 20), lambda: os.setxattr(name, "user.a", b"b"),
                 lambda: os.chmod(name, 0o700)):
        begin = time.monotonic()
        step()
        slowest = max(slowest, time.monotonic() - begin)
    return slowest


def names(folder):
    return set(os.listdir(folder))


@pytest.mark.parametrize("point", POINTS)
def test_work_goes_on_and_a_power_cut_loses_nothing(subject, image, point):
    m = subject.mount(image, "commit=300", hooks=True)
    os.mkdir(m.join("before"))
    for n in range(50):
        changes(m.join("before"), n)
    ioctls.sync_fs(m.path)
    os.mkdir(m.join("in it"))
    for n in range(200):
        changes(m.join("in it"), n)
    before, in_it = names(m.join("before")), names(m.join("in it"))
    parked_commit(m, point)
    os.mkdir(m.join("next"))
    slowest = max([changes(m.join("next"), n) for n in range(100)] + [changes(m.join("in it"), n) for n in range(1000, 1050)])
    for name in sorted(in_it)[:40]:
        run("rm", "-r", m.join("in it", name))
    assert slowest < 1, f"a step took {slowest:.1f} s while a commit was parked at {point}"
    m.kill()

    images.check(image, what=f"after a power cut at {point}")
    with KernelMount(image, "ro") as mnt:
        assert names(f"{mnt}/before") == before
        assert not os.path.exists(f"{mnt}/next"), "a change of the transaction that was never committed"
        if os.path.exists(f"{mnt}/in it"):
            assert names(f"{mnt}/in it") == in_it
        assert os.path.exists(f"{mnt}/in it") == (point == "tx.super_post")
    again = subject.mount(image)
    assert names(again.join("before")) == before
    again.umount()
    images.check(image)


def test_fsync_waits_for_both(subject, image):
    """What changed before the freeze is durable with it; what changed since needs the next commit."""
    m = subject.mount(image, "commit=300", hooks=True)
    old, new = (os.open(m.join(n), os.O_CREAT | os.O_RDWR) for n in ("old", "new"))
    os.write(old, b"old")
    sync = parked_commit(m, "tx.super_pre")
    os.write(new, b"new")
    waiting = [Act(os.fsync, fd) for fd in (old, new)]
    time.sleep(PATIENCE)
    assert all(w.is_alive() for w in waiting), "fsync returned before a superblock was written"
    m.hooks.release("all")
    sync.end()
    for w in waiting:
        w.end()
    os.close(old)
    os.close(new)
    m.kill()
    images.check(image)
    with KernelMount(image, "ro") as mnt:
        assert files.read(f"{mnt}/old") == b"old" and files.read(f"{mnt}/new") == b"new"


def test_a_failed_commit_fails_everybody(subject, image):
    m = subject.mount(image, "commit=300", hooks=True)
    files.write(m.join("before"), b"before", sync=True)
    files.write(m.join("in it"), b"in it")
    sync = parked_commit(m, "tx.super_pre")
    fd = os.open(m.join("next"), os.O_CREAT | os.O_RDWR)
    os.write(fd, b"next")
    fsync = Act(os.fsync, fd)
    time.sleep(PATIENCE)
    m.hooks.fail("tx.super", "EIO")
    m.hooks.release("tx.super_pre")
    for act in (sync, fsync):
        with pytest.raises(OSError) as e:
            act.end()
        assert e.value.errno in (errno.EIO, errno.EROFS)
    with pytest.raises(OSError) as e:
        files.write(m.join("too late"), b"x")
    assert e.value.errno == errno.EROFS
    assert files.read(m.join("before")) == b"before"
    os.close(fd)
    m.kill()
    images.check(image)
    with KernelMount(image, "ro") as mnt:
        assert names(mnt) == {"before"}


def nocow_file(m, count):
    want = blocks.BlockFile(1, count)
    files.nocow(m.join("f"))
    files.write(m.join("f"), want.next(0, 0, count), sync=True)
    want.ack(0, count)
    return want


def overwrite(fd, data, offset):
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    assert os.pwrite(fd, buffer, offset) == len(data)


def test_fdatasync_of_a_write_to_a_moved_place(subject, image):
    """Relocation has switched, its commit is parked before the superblock; joins are open. A write in place goes to the new
    place, which nothing durable points to: fdatasync has to wait for that commit, a flush of the device is not enough."""
    m = subject.mount(image, "commit=300", hooks=True)
    want = nocow_file(m, 64)
    fd = os.open(m.join("f"), os.O_RDWR | os.O_DIRECT)
    os.fsync(fd)
    # the first commits of a balance are of its item and of the drain
    m.hooks.arm("rl.switched")
    balance = ioctls.BalanceThread(m.path, data={})
    m.hooks.wait("rl.switched")
    m.hooks.arm("tx.super_pre")
    m.hooks.release("rl.switched")
    m.hooks.wait("tx.super_pre")
    begin = time.monotonic()
    overwrite(fd, want.next(10, 0, 2), 10 * blocks.SIZE)
    changes(m.path, 0)
    assert time.monotonic() - begin < 1, "work waits for a relocation's commit"
    want.ack(10, 2)
    sync = Act(os.fdatasync, fd)
    sync.join(PATIENCE)
    assert sync.is_alive(), "fdatasync did not wait for the commit that makes the place known"
    m.hooks.arm("tx.super_post")
    m.hooks.release("tx.super_pre")
    sync.end()
    os.close(fd)
    m.kill()
    want.sync()
    balance.join(20)
    images.check(image)
    with KernelMount(image, "ro") as mnt:
        want.verify(f"{mnt}/f", crashed=True)


def fsync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def test_in_place_content_is_flushed_by_sync(subject, image, scratch):
    """Content in place and nothing to commit: sync still flushes the device."""
    log = os.path.join(scratch, "log")
    m = subject.mount(image, "commit=300", hooks=True, env={"BTRFUSE_RECORD": log})
    want = nocow_file(m, 16)
    files.write(m.join("f"), want.next(0, 0, 1))            # in memory, and its inode item dirty
    os.mkdir(m.join("other"))
    fsync_directory(m.path)                                 # commits the item; the content may go later
    m.hooks.arm("wr.io_pre")
    sync = Act(ioctls.sync_fs, m.path)
    parked = m.hooks.is_parked("wr.io_pre", 2)
    m.hooks.release("all")
    sync.end()
    m.kill()
    from harness import recorder
    events = recorder.Log(log).events
    last_write = max(i for i, e in enumerate(events) if e.type == recorder.WRITE_DONE)
    assert parked, "the content was written back before: nothing is shown"
    assert any(e.type == recorder.FLUSH_DONE for e in events[last_write:]), "no flush after the content"


def test_tiny_cache_while_a_commit_is_parked(subject, image):
    """Frozen nodes are only in memory until they are written: a cache of the smallest size must keep them."""
    m = subject.mount(image, "commit=300,cache_size=4M", hooks=True)
    os.mkdir(m.join("d"))
    for n in range(400):
        files.write(m.join("d", f"{n}"), b"%d" % n * 50)
    sync = parked_commit(m, "tx.frozen")
    for n in range(400, 600):
        files.write(m.join("d", f"{n}"), b"%d" % n * 50)
    run("find", m.path, "-ls")
    for n in range(600):
        assert files.read(m.join("d", f"{n}")) == b"%d" % n * 50
    m.hooks.release("all")
    sync.end()
    m.umount()
    images.check(image)


def test_a_full_transaction_does_not_wait_for_the_commit_thread(subject, image):
    """The periodic commit writes back first, and is parked at that. A transaction is full after two MiB of nodes here: who
    would make it larger commits himself, since he may hold what the thread is waiting for."""
    m = subject.mount(image, "commit=1,cache_size=4M", hooks=True)
    m.hooks.arm("wr.io_pre")
    files.write(m.join("written back"), b"x" * 9000)
    m.hooks.wait("wr.io_pre")
    slowest = 0
    for n in range(600):
        begin = time.monotonic()
        files.write(m.join(f"{n}"), b"")
        for name in "abcd":
            os.setxattr(m.join(f"{n}"), f"user.{name}", b"v" * 2000)
        slowest = max(slowest, time.monotonic() - begin)
    assert slowest < 5, f"{slowest:.1f} s"
    m.hooks.release("all")
    m.umount()
    images.check(image)


def test_unmount_waits_for_what_is_on_its_way(subject, image):
    m = subject.mount(image, "commit=1", hooks=True)
    m.hooks.arm("tx.super_pre")
    files.write(m.join("in it"), b"in it")
    m.hooks.wait("tx.super_pre")
    files.write(m.join("next"), b"next")
    umount = Act(run, "umount", m.path)
    umount.join(PATIENCE)
    assert umount.is_alive(), "unmounted while a commit was on its way"
    m.hooks.release("all")
    umount.end()
    m.umount()
    images.check(image)
    with KernelMount(image, "ro") as mnt:
        assert files.read(f"{mnt}/in it") == b"in it" and files.read(f"{mnt}/next") == b"next"
