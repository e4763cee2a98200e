"""Race row 8: a write over two extents of one group, which becomes read-only between them.

Relocation waits for the first part's token. The second part needs a token of its own, and is refused by then. If the write
went on under the token that it has given back, the second extent's new bytes would be lost.
"""
import pytest

from harness import blocks

from .race import HALF, PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("token_each")
def test_row_08(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="two_extents", how=how)

    race.arm("wr.io_post", ino=race.file.inode)
    writer = race.writer(block=HALF - 4, count=8)
    race.must_park("wr.io_post")            # the first part is written, its token still held
    race.arm("rl.copied")
    race.relocate()
    assert not race.parked("rl.copied", PATIENCE), "relocation did not wait for the first part"
    race.arm("wr.lookup", ino=race.file.inode, off=HALF * blocks.SIZE)
    race.release("wr.io_post")
    race.must_park("wr.lookup")             # the first token is back, the second not taken
    race.must_park("rl.copied")
    race.release("wr.lookup")
    race.finish(writer)
    race.release("rl.copied")

    race.conclude(race.verdict(), "content")
