"""Race row 6: the switch changes only what still is as it was copied.

A writer is refused in the read-only group and writes a new extent; it is parked before it inserts its item [wr.cow_item].
Relocation has copied the old extent and is about to switch [rl.switch_pre]. The writer goes first. The switch must find
that this part of the file points elsewhere by now, leave it alone, and move the rest. So it looks at the references inside
its exclusive section. If it believed what it saw before, it would count references that are not there.
"""
import pytest

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("switch_cas")
def test_row_06(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("rl.copied", "rl.switch_pre")
    race.relocate()
    race.must_park("rl.copied")
    race.arm("wr.cow_item", ino=race.file.inode)
    writer = race.writer(block=100, count=8)
    race.must_park("wr.cow_item")           # refused, written elsewhere, nothing inserted yet
    race.release("rl.copied")
    race.must_park("rl.switch_pre")
    race.release("wr.cow_item")
    race.finish(writer)                     # acknowledged: the file points to the new place
    race.release("rl.switch_pre")

    race.conclude(race.verdict(), "content", "check")
