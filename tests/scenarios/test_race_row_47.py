"""Race row 47: the daemon dies at each step of a relocation.

What was synced before has to be there, for the kernel and for us, in what the daemon had handed to the device and also if
the power fails at that moment (only what was flushed is left). The next balance moves what is left.

The guard of every point is the commit of an fsync that comes while relocation stands there. With it the daemon dies as soon as
the fsync has returned; at a point where nobody can join a transaction it does not return. Without it the fsync returns at once
and its promise is not kept.
"""
import errno
import os

import pytest

from harness import copying, image as images, ioctls, recorder
from harness.kernel import KernelMount
from harness.shell import wait_until

from .race import Act, PATIENCE, Race, Verdict, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
POINTS = ("ro_pre", "ro", "resv_ok", "drained", "copy_pre", "copy_mid", "copied", "flush", "switch_pre", "switch_mid",
          "switched", "commit", "committed", "remove")
METADATA_POINTS = ("switch_mid", "switched", "commit", "committed", "remove")
# inside a section that lets nobody join: the write comes at the last point before
BEFORE = {"switch_mid": "switch_pre", "switched": "switch_pre", "commit": "switch_pre", "remove": "committed"}


def durable_only(log, base, path):
    """The device if the power fails at the end of the record."""
    walker = recorder.Walker(log, base, path + ".walker")
    walker.advance(len(log.events))
    copying.sparse_copy(walker.path, path)
    walker.close()
    return path


def judge(v, race, image, what):
    with v.oracle("check"):
        images.check(image, what=what)
    with v.oracle("kernel"), KernelMount(image, "ro") as mnt:
        race._content(v, "kernel", mnt, crashed=True)


def balance_again(v, race, kw):
    m = race.subject.mount(race.image)              # takes the balance up again by itself
    race._content(v, "content", m.path, crashed=True)
    wait_until(lambda: ioctls.balance_progress(m.path).error == errno.ENOTCONN, 30, what="the end of the resumed balance")
    with v.oracle("result"):
        assert ioctls.balance(m.path, **kw).error == 0
    race._content(v, "content", m.path, crashed=True)
    with v.oracle("exit"):
        m.umount()


def die_at(subject, image_cache, scratch, point, kind, kw):
    record = os.path.join(scratch, "record")
    race = Race(subject, image_cache, scratch, ("copy_flush", True), kind=kind, env={"BTRFUSE_RECORD": record})
    base = images.copy(race.image, race.image + ".base")
    race.writer(block=8, count=8).end()
    fd = os.open(race.mounted.join("file"), os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    race.want.sync()
    race.writer(block=12, count=8).end()            # acknowledged, not synced
    race.hooks.crash(f"rl.{point}")
    ioctls.BalanceThread(race.mounted.path, **kw)
    race.mounted.wait_death()

    v = Verdict()
    judge(v, race, durable_only(recorder.Log(record), base, os.path.join(scratch, "durable")), "after the power cut")
    judge(v, race, race.image, "after the crash")
    balance_again(v, race, kw)
    judge(v, race, race.image, "after the second balance")
    race.conclude(v)


def behind_the_last_commit(race):
    """Between the commit that makes the moves durable and the section that removes the group."""
    tid = race.hooks.wait("rl.committed").split("tid=")[1]
    race.arm("tx.unpin")                    # for the thread of the timed commits: it may come first
    race.arm("tx.unpin", tid=tid)
    race.release("rl.committed")
    wait_until(lambda: f"{tid}:tx.unpin" in race.hooks.threads(), 8, what="relocation at tx.unpin")


def write_at(race, point, kw):
    """Relocation stands at @point. A write has come right before, or, where nobody can join, at the last point where one could."""
    first = BEFORE.get(point, point)
    race.arm(f"rl.{first}")
    ioctls.BalanceThread(race.mounted.path, **kw)
    race.must_park(f"rl.{first}")
    if point == "remove":
        behind_the_last_commit(race)
    race.writer(block=80, count=8).end()
    if first != point:
        race.arm(f"rl.{point}")
        race.release(f"rl.{first}", "tx.unpin")
        race.must_park(f"rl.{point}")


def fsync_at(subject, image_cache, scratch, guard, point, kw):
    """An fsync of what was just written, and death as soon as it has returned."""
    race = Race(subject, image_cache, scratch, guard, kind="cow")
    write_at(race, point, kw)
    fd = os.open(race.mounted.join("file"), os.O_RDWR)
    fsync = Act(os.fsync, fd)
    fsync.join(PATIENCE if point in BEFORE else 10)
    if race.on and point in BEFORE:
        assert fsync.is_alive(), "fsync did not wait"
    else:
        fsync.end()
        race.want.sync()
    race.conclude(race.power_cut(), "content", "kernel")


@pytest.mark.parametrize("point", POINTS)
@both_ways("switch_fsync")
def test_row_47_fsync(subject, image_cache, scratch, guard, point):
    fsync_at(subject, image_cache, scratch, guard, point, dict(data={}))


@pytest.mark.parametrize("point", METADATA_POINTS[:-1])
@both_ways("switch_fsync")
def test_row_47_fsync_metadata(subject, image_cache, scratch, guard, point):
    fsync_at(subject, image_cache, scratch, guard, point, dict(metadata={}))


@pytest.mark.parametrize("point", POINTS)
def test_row_47_data(subject, image_cache, scratch, point):
    die_at(subject, image_cache, scratch, point, "nocow", dict(data={}))


@pytest.mark.parametrize("point", METADATA_POINTS)
def test_row_47_metadata(subject, image_cache, scratch, point):
    die_at(subject, image_cache, scratch, point, "halves", dict(metadata={}, system={}))
