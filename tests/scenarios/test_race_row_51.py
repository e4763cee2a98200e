"""Race row 51: paused, unmounted, mounted, resumed: what has been done is not done again.

A conversion to DUP is paused after the first of two data groups. The next mount skips it (skip_balance), and it stays paused;
there it is resumed, and takes the remaining group only. The item on disk has no cursor; the rule that tells what is done by
what it looks like is the kernel's. Without it, all that was converted is converted once more. After the end nothing is left to
resume.
"""
import errno

import pytest

from harness import dump, ioctls

from .race import Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
TO_DUP = dict(data=dict(convert=ioctls.DUP))


def pause_before(race, group):
    race.arm("rl.ro_pre", bg=group)
    balance = ioctls.BalanceThread(race.mounted.path, **TO_DUP)
    race.must_park("rl.ro_pre")
    pause = Act(ioctls.balance_pause, race.mounted.path)
    while ioctls.balance_progress(race.mounted.path).state & ioctls.STATE_PAUSE_REQ == 0:
        assert pause.is_alive()
    race.release("rl.ro_pre")
    assert pause.end() == 0
    assert balance.finish(10).error == errno.ECANCELED


def mount_again(race):
    race.mounted.umount()
    race.mounted = race.subject.mount(race.image, "skip_balance", hooks=True)
    race.hooks = race.mounted.hooks
    race.hooks.guard(race.guard, race.on)


@both_ways("resume_rule")
def test_row_51(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    pause_before(race, race.moving)
    race.writer(block=9, count=5).end()
    mount_again(race)
    before = dump.file_extents(race.image, race.other.inode)
    assert before[0].disk != race.other.disk, "the first group was not moved"
    skipped = ioctls.balance_progress(race.mounted.path)
    assert (skipped.error, skipped.state) == (0, 0), "not paused any more"
    race.writer(block=100, count=5).end()
    race.relocation = ioctls.BalanceThread(race.mounted.path, flags=ioctls.RESUME)
    race.relocation.join(20)
    over = ioctls.balance(race.mounted.path, flags=ioctls.RESUME).error

    v = race.verdict()
    with v.oracle("result"):
        assert over == errno.ENOTCONN, "resumed twice"
    with v.oracle("place"):
        assert dump.file_extents(race.image, race.other.inode) == before, "what was converted has been converted again"
        assert all("DUP" in c.type for c in dump.chunks(race.image) if c.type.startswith("DATA"))
    race.conclude(v, "place")
