"""Race row 21: preallocated space behind the end of a file moves, and stays preallocated.

On the device under it is what another file left there; nobody can read that, since preallocated means zeros. If relocation
made data of what it copies, growing the file would show those bytes.
"""
import pytest

from harness import dump

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
KINDS = ("direct", "buffered", "serial")       # nothing can be mapped behind the end


@both_ways("keep_type")
def test_row_21(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="beyond", how=how)

    race.relocate()
    race.relocation.join(20)
    race.writer(block=10).end()             # the file ends behind block 10 now

    v = race.verdict()
    with v.oracle("place"):
        kinds = {e.offset // 4096: e.kind for e in dump.file_extents(race.image, race.file.inode)}
        assert kinds == {0: "prealloc", 10: "regular", 11: "prealloc"}, kinds
    race.conclude(v, "content", "kernel")
