"""Race row 53: no space for the copies in the middle of a group.

The second extent of a batch finds no place. The balance says so; the group keeps what it has and is writable; the place that
the first copy got is given back. If it were not, it would count as handed out for ever, and the group it is in could never
be emptied.
"""
import errno

import pytest

from harness import ioctls

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("give_back")
def test_row_53(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="two_extents", how=how)

    race.arm("rl.copy_mid")
    race.relocate()
    race.must_park("rl.copy_mid")           # the first extent is copied
    race.hooks.fail("al.data", "ENOSPC", 1000)
    race.release("rl.copy_mid")
    assert race.relocation.finish(10).error == errno.ENOSPC
    race.release("al.data")
    race.writer(block=3, count=2).end()
    race.relocation = ioctls.BalanceThread(race.mounted.path, data={})      # wherever the copy was

    race.conclude(race.verdict(patience=3), "time")
