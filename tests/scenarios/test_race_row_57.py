"""Race row 57: a page that was changed through a mapping goes to where the file is when it is written back.

The page is changed before relocation starts; its write-back is parked before it looks where the block is [wr.lookup], and
the copy is made meanwhile. It must not go to the old place: the group is read-only by then, so it is copied on write.
"""
import pytest

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("ro_check")
def test_row_57(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, how="mmap")

    race.arm("wr.lookup", ino=race.file.inode)
    writer = race.writer(block=200, count=3)
    race.must_park("wr.lookup")
    race.arm("rl.copied")
    race.relocate()
    race.must_park("rl.copied")
    race.release("wr.lookup")
    race.finish(writer)
    race.release("rl.copied")

    race.conclude(race.verdict(), "content")
