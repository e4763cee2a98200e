"""Race row 4: testing for read-only and counting the token are one atomic step.

Taken apart by the guard switch, the writer is parked between the two [wr.ro_tested]: it has seen an open door and is not
counted yet (and it holds the tree's lock, so the inode must be clean: a direct write). Relocation closes the door, counts nobody, and copies; the writer then enters. As one step this place does not
exist: nobody can be parked there.
"""
import pytest

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
KINDS = ("direct", "serial")


@both_ways("token_atomic")
def test_row_04(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("wr.ro_tested", bg=race.file.group)
    writer = race.writer(block=30)
    if race.on:
        assert not race.parked("wr.ro_tested", 0.5), "there is a place between test and count"
        race.finish(writer)
        race.relocate()
    else:
        race.must_park("wr.ro_tested")
        race.arm("rl.copied")
        race.relocate()
        race.must_park("rl.copied")
        race.release("wr.ro_tested")
        race.finish(writer)
        race.release("rl.copied")

    race.conclude(race.verdict(), "content")
