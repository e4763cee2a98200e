"""Race row 12: space that was handed out but is not in the extent tree yet is waited for, too.

A copy-on-write writer has been given space in the group and is parked before it uses it [wr.alloc]. The extent tree does not
know of it. If relocation did not wait for such reservations, its scan would miss the extent, and the group could never
become empty: live data in a group that is to be removed.
"""
import pytest

from harness import dump, ioctls

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("resv_drain")
def test_row_12(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="cow", how=how)

    race.arm("wr.alloc", ino=race.file.inode)
    writer = race.writer(block=50, count=8)
    race.must_park("wr.alloc")              # a place is reserved, in whichever data group

    groups = {c.logical for c in dump.chunks(race.image) if c.type.startswith("DATA")}
    race.relocation = ioctls.BalanceThread(race.mounted.path, data={})
    race.relocation.join(2 * PATIENCE)
    if race.on:
        assert race.relocation.is_alive(), "relocation did not wait for the reservation"
    race.release("wr.alloc")
    race.finish(writer)

    v = race.verdict(moved=False)
    with v.oracle("place"):
        left = groups & race.groups()
        assert not left, f"groups that should be gone: {left}"
    race.conclude(v, "place")
