"""Race row 60: relocation of one group leaves the nodatacow files of all others as they are.

The kernel's relocation makes relocation trees, which are snapshots, and so raises last_snapshot of every root it touches:
from then on each first overwrite of any nodatacow block is copied, in groups that were never moved. Here relocation makes no
snapshot. There is no guard to remove, so the switch `last_snapshot` re-creates the kernel's rule.
"""
import pytest

from harness import blocks, dump, ioctls
from harness.kernel import KernelMount

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("last_snapshot")
def test_row_60(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)
    before = dump.file_extents(race.image, race.other.inode)

    race.relocate()
    race.relocation.join(30)
    assert ioctls.balance(race.mounted.path, metadata={}).error == 0
    for block in (0, 17, 300, 511):
        race._write("other", race.want_other, block, 1, how)

    v = race.verdict()
    with v.oracle("place"):
        assert dump.file_extents(race.image, race.other.inode) == before, "an overwrite in an untouched group was copied"
    with v.oracle("place"):
        overwrite_in_the_kernel(race)
        assert dump.file_extents(race.image, race.other.inode) == before, "the kernel copied an overwrite"
    race.conclude(v, "place")


def overwrite_in_the_kernel(race):
    with KernelMount(race.image) as mnt:
        f = blocks.DirectFile(f"{mnt}/other")
        f.write(race.want_other.next(100), 100 * blocks.SIZE)
        f.close()
