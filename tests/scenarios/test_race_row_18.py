"""Race row 18: the copy is on the device before the pointer to it is.

A commit flushes the device between everything else and the superblock. Without that flush a power cut may keep the
superblock and lose what it points to: the copies that relocation has made, or the nodes that say where they are. The power
cuts are played from the record of every write and flush.
"""
import pytest

from .race import both_ways
from .race_crash import play

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("copy_flush")
def test_row_18(build, scratch, guard):
    play(build, scratch, guard, seed=18)
