"""Race row 2: the token must be held until the I/O is complete, not only until it begins.

The writer is parked half-way through one large write [wr.io_mid]. If the token had been given back before the I/O,
relocation would copy an extent whose first half is new and whose second half is old: a torn write, acknowledged.
"""
import pytest

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("token_until_io")
def test_row_02(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("wr.io_mid", ino=race.file.inode)
    writer = race.writer(block=0, count=256)
    race.must_park("wr.io_mid")             # half is written

    race.arm("rl.drained")
    race.relocate()
    if race.on:
        assert not race.parked("rl.drained", PATIENCE), "relocation did not wait for the end of the I/O"
        race.release("wr.io_mid")
        race.must_park("rl.drained")
        race.release("rl.drained")
    else:
        race.must_park("rl.drained")
        race.arm("rl.committed")
        race.release("rl.drained")
        race.must_park("rl.committed")      # the copy has one half, and is what the file points to
        race.release("rl.committed")
        race.release("wr.io_mid")

    race.finish(writer)
    race.conclude(race.verdict(), "content")
