"""Race row 45: the allocator looks at read-only in the hold that takes the space, not before.

It has chosen a group and is parked before it takes space there [al.reserve]. The group becomes read-only and is drained.
What the allocator knew is stale: it must look again and go elsewhere, or a new extent appears in a group that is being
emptied.
"""
import pytest

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("cluster_check")
def test_row_45(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="cow", how=how)
    race.moving = race.other.group          # the group with room
    race.file.group = None

    race.arm("al.reserve", bg=race.moving)
    writer = race.writer(block=80, count=4)
    race.must_park("al.reserve")
    race.arm("rl.copied")
    race.relocate()
    race.must_park("rl.copied")             # drained long ago
    race.arm("wr.cow_item", ino=race.file.inode)
    race.release("al.reserve")
    race.must_park("wr.cow_item")
    race.release("rl.copied")
    race.relocation.join(5)
    race.release("wr.cow_item")
    race.finish(writer)

    race.conclude(race.verdict(), "place", "check", "content")
