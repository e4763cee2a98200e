"""Race row 14: a group becomes read-only while a commit writes the items of its groups.

The commit is parked at the first of them [bg.write], and a metadata balance comes to take the group that all its nodes go to. It
has to wait until the items are written; afterwards the nodes go elsewhere, and the next commit counts them. What a commit itself
allocates while it writes these items counts, too: so it writes again what changed meanwhile, until nothing does. Without that the
items say less than is used.
"""
import os

import pytest

from harness import ioctls

from .race import PATIENCE, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("settle_again")
def test_row_14(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, kind="cow")

    race.arm("bg.write")
    for n in range(50):                     # a commit with something to count
        os.mkdir(race.mounted.join(f"d{n}"))
    commit = Act(ioctls.sync_fs, race.mounted.path)
    race.must_park("bg.write")
    race.arm("rl.ro")
    race.relocation = ioctls.BalanceThread(race.mounted.path, metadata={})
    deferred = not race.parked("rl.ro", PATIENCE)
    race.release("bg.write")
    commit.end()

    v = race.power_cut()                    # what that commit has written is all there is
    with v.oracle("place"):
        assert deferred, "read-only in the middle of a commit's group items"
    race.conclude(v, "check")
