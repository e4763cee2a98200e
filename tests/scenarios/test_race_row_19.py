"""RACES row 19: the old place is given to nobody before the commit that frees it is durable.

Until then a power cut brings back the old tree, which points to the old place. If relocation's (or anybody's) freed space
were reused at once, that tree would find a stranger's bytes there.
"""
import pytest

from .race import both_ways
from .race_crash import play

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("pin")
def test_row_19(build, scratch, guard):
    play(build, scratch, guard, seed=19)
