"""Race row 13: as row 12, but the data is written already and only the item is missing [wr.cow_item].

The reservation of the group has to last until the reference is queued, not only until the I/O is done: in between the extent
is nowhere to be seen.
"""
import pytest

from harness import dump, ioctls

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("inflight_drain")
def test_row_13(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="cow", how=how)

    race.arm("wr.cow_item", ino=race.file.inode)
    writer = race.writer(block=50, count=8)
    race.must_park("wr.cow_item")

    groups = {c.logical for c in dump.chunks(race.image) if c.type.startswith("DATA")}
    race.relocation = ioctls.BalanceThread(race.mounted.path, data={})
    race.relocation.join(2 * PATIENCE)
    if race.on:
        assert race.relocation.is_alive(), "relocation did not wait for the extent"
    race.release("wr.cow_item")
    race.finish(writer)

    v = race.verdict(moved=False)
    with v.oracle("place"):
        left = groups & race.groups()
        assert not left, f"groups that should be gone: {left}"
    race.conclude(v, "place", "check", "content")
