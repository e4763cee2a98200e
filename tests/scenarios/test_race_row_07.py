"""Race row 7: a write across two block groups of which the second is being relocated.

The first part goes in place under the first group's token, the second must be refused by its own group and be copied. If the
first token were believed to hold for the whole write, the tail would go to a place that has been copied already.
"""
import pytest

from harness import blocks, dump

from .race import HALF, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("token_each")
def test_row_07(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="two_groups", how=how)
    first, second = dump.file_extents(race.image, race.file.inode)
    race.moving, = (c.logical for c in dump.chunks(race.image) if c.logical <= second.disk < c.logical + c.length)
    assert race.moving != race.file.group

    race.arm("wr.io_post", ino=race.file.inode)
    writer = race.writer(block=HALF - 4, count=8)
    race.must_park("wr.io_post")            # the first part is written, its token still held
    race.arm("rl.copied")
    race.relocate()
    race.must_park("rl.copied")             # nobody holds a token of the second group
    race.release("wr.io_post")
    race.finish(writer)
    race.release("rl.copied")

    v = race.verdict()
    with v.oracle("place"):
        extents = dump.file_extents(race.image, race.file.inode)
        assert all(e.disk == first.disk for e in extents if e.offset < HALF * blocks.SIZE), "the first part was copied"
    race.conclude(v, "content")
