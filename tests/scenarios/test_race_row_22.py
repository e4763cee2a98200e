"""Race row 22: all items of one extent are switched together.

A preallocated extent is half written: items of two kinds, all pointing into one extent with one reference each. If the
switch took only the first item of a leaf, the others would point to a place that is free.
"""
import pytest

from harness import dump

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def shape(image, inode):
    return [(e.offset, e.kind, e.length, e.extent_offset, e.ram) for e in dump.file_extents(image, inode)]


@both_ways("all_pieces")
def test_row_22(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, kind="halves")
    before = shape(race.image, race.file.inode)

    race.relocate()

    v = race.verdict()
    with v.oracle("place"):
        assert shape(race.image, race.file.inode) == before
        assert len({e.disk for e in dump.file_extents(race.image, race.file.inode)}) == 1
    race.conclude(v, "check", "content")
