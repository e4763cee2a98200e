"""Race row 5: a preallocated extent is written in place and then its item has to say so; the token is held until it does.

The writer is parked before its I/O [wr.io_pre], and again before the conversion [wr.convert]. Relocation may not pass its
drain in either place. If the token went back after the I/O, relocation would move a preallocated extent (as zeros: there is
nothing to copy), free the old place, and the conversion would then speak of an address that is no longer the file's.
"""
import pytest

from harness import dump

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("token_until_convert")
def test_row_05(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="prealloc", how=how)

    race.arm("wr.io_pre", "wr.convert", ino=race.file.inode)
    writer = race.writer(block=40, count=2)
    race.must_park("wr.io_pre")

    race.arm("rl.drained")
    race.relocate()
    assert not race.parked("rl.drained", PATIENCE), "relocation did not wait for the I/O"
    race.release("wr.io_pre")
    race.must_park("wr.convert")
    if race.on:
        assert not race.parked("rl.drained", PATIENCE), "relocation did not wait for the conversion"
        race.release("wr.convert")
        race.must_park("rl.drained")
        race.release("rl.drained")
    else:
        race.must_park("rl.drained")
        race.release("rl.drained")
        race.relocation.join(8)
        race.release("wr.convert")

    race.finish(writer)
    v = race.verdict()
    with v.oracle("place"):
        kinds = {e.offset // 4096: e.kind for e in dump.file_extents(race.image, race.file.inode)}
        assert kinds.get(40) == "regular" and kinds.get(0) == "prealloc", kinds
    race.conclude(v, "content", "check")
