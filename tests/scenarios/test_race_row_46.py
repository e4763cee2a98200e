"""Race row 46: a group out of which somebody has just been given space is not empty.

The device is full of data groups, one of which is empty. A writer has been given space there and is parked before he uses it
[wr.alloc]. A metadata balance needs room for its copies; empty groups are taken away for that. This one must stay: no extent item
speaks of it yet, only the group's own count does. Without the look at that count the group is removed, metadata moves into its
place on the device, and the writer goes on.
"""
import errno
import os

import pytest

from harness import dump, files, ioctls

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def empty_the_last_group(race):
    """Punches out of `full` what lies in the last data group; nothing else does."""
    last = max((c for c in dump.chunks(race.image) if c.type.startswith("DATA")), key=lambda c: c.logical)
    path = race.mounted.join("full")
    for e in dump.file_extents(race.image, os.stat(path).st_ino):
        if last.logical <= e.disk < last.logical + last.length:
            files.fallocate(path, e.offset, e.length, files.PUNCH_HOLE | files.KEEP_SIZE)
    for _ in range(2):
        ioctls.sync_fs(race.mounted.path)
    return last.logical


@both_ways("bg_remove")
def test_row_46(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="brimful", how=how)
    group = empty_the_last_group(race)

    race.arm("wr.alloc", bg=group)
    writer = race.writer(block=80, count=4)
    race.must_park("wr.alloc")
    balance = ioctls.BalanceThread(race.mounted.path, metadata={})
    result = balance.finish(10)
    race.release("wr.alloc")
    race.finish(writer)

    v = race.verdict()
    with v.oracle("result"):
        assert result.error in (0, errno.ENOSPC), result
    with v.oracle("place"):
        assert group in race.groups(), "the group is gone"
    race.conclude(v, "content", "check", "kernel")
