"""Race row 17: fsync while relocation has switched but not committed.

The write was acknowledged before the switch. Relocation is parked inside its exclusive section [rl.switched]: in memory all
points to the new places, on the device nothing does. fsync has to wait for a commit; a flush of the device is not enough.
"""
import os

import pytest

from .race import PATIENCE, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("switch_fsync")
def test_row_17(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)
    fd = os.open(race.mounted.join("file"), os.O_RDWR)

    race.arm("rl.switch_pre", "rl.switched")
    race.relocate()
    race.must_park("rl.switch_pre")
    race.writer(block=100, count=8).end()   # copied on write: the group is read-only
    race.release("rl.switch_pre")
    race.must_park("rl.switched")
    fsync = Act(os.fsync, fd)
    fsync.join(PATIENCE)
    if race.on:
        assert fsync.is_alive(), "fsync did not wait"
        race.arm("rl.committed")
        race.release("rl.switched")
    fsync.end()
    os.close(fd)
    race.want.sync()

    race.conclude(race.power_cut(), "content", "kernel")
