"""Race row 50: a cancelled balance leaves the group writable again.

Cancelled while it copies, while it switches, or after a commit: what has moved has moved, the rest is as it was, and the group
is a group like any other. If it stayed read-only, every later overwrite in place there would be copied, for ever.
"""
import errno

import pytest

from harness import dump, ioctls

from .race import Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def cancel_at(race, point):
    race.arm(point)
    race.relocate()
    race.must_park(point)
    cancel = Act(ioctls.balance_cancel, race.mounted.path)
    while ioctls.balance_progress(race.mounted.path).state & ioctls.STATE_CANCEL_REQ == 0:
        assert cancel.is_alive()
    race.release(point)
    assert cancel.end() == 0
    assert race.relocation.finish(10).error == errno.ECANCELED
    race.relocation = None


@both_ways("ro_undo")
def test_row_50(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)
    before = dump.file_extents(race.image, race.file.inode)

    cancel_at(race, "rl.drained")           # nothing has moved
    race.writer(block=20, count=4).end()

    v = race.verdict()
    with v.oracle("place"):
        assert dump.file_extents(race.image, race.file.inode) == before, "the group is still read-only"
    race.conclude(v, "place")


@pytest.mark.parametrize("point", ["rl.copy_mid", "rl.copied", "rl.switch_mid", "rl.committed"])
def test_row_50_in_the_middle(subject, image_cache, scratch, point):
    race = Race(subject, image_cache, scratch, ("ro_undo", True))

    cancel_at(race, point)
    race.writer(block=20, count=4).end()
    race.relocate()                         # and nothing is in the way of another one

    race.conclude(race.verdict())
