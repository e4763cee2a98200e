"""Race row 15: who waits for writers is not joined to a transaction.

The writer has written a preallocated block and is about to join, to say so in the item [wr.convert]; it holds a token. A
commit is waiting: it lets nobody join, and waits for those who have. Relocation waits for the token. If relocation were
joined meanwhile, three would wait in a circle: relocation for the writer, the writer for the commit, the commit for
relocation.
"""
import pytest

from harness import ioctls

from .race import PATIENCE, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
KINDS = ("direct", "serial")       # others write back, and a commit that waits for that lets everybody join


@both_ways("hold_trans")
def test_row_15(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="prealloc", how=how)

    race.arm("wr.convert", ino=race.file.inode)
    writer = race.writer(block=40)
    race.must_park("wr.convert")
    race.arm("rl.drained")
    race.relocate()
    assert not race.parked("rl.drained", PATIENCE), "relocation did not wait for the conversion"
    race.hooks.release("rl.drained")
    commit = Act(ioctls.sync_fs, race.mounted.path)
    commit.join(PATIENCE)
    race.release("wr.convert")

    v = race.verdict(patience=2)
    if race.on:
        writer.end()
        commit.end()
    race.conclude(v, "time")
