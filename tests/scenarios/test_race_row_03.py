"""Race row 3: a writer that comes after the door was closed is refused, and writes elsewhere.

The writer is parked before its lookup [wr.lookup], relocation goes on until the copy is made [rl.copied], then the writer
goes on. It must be refused in the read-only group and write a copy; relocation's switch finds that the item has changed and
leaves it alone. Without the read-only test it writes to the old place, and the switch to the copy loses that.
"""
import pytest

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("ro_check")
def test_row_03(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("wr.lookup", ino=race.file.inode)
    writer = race.writer(block=20, count=4)
    race.must_park("wr.lookup")

    race.arm("rl.copied")
    race.relocate()
    race.must_park("rl.copied")             # the old bytes are in the copy
    race.release("wr.lookup")
    race.finish(writer)                     # acknowledged while relocation stands still
    race.release("rl.copied")

    race.conclude(race.verdict(), "content")
