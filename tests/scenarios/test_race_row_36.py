"""Race row 36: as row 35, with a truncation and a growth instead of a hole: no stale tail, nobody else's place written."""
import os

import pytest

from harness import blocks

from .race import BLOCKS, Race, both_ways
from .test_race_row_35 import in_flight_while

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def cut_and_grow(path):
    os.truncate(path, 0)
    os.truncate(path, BLOCKS * blocks.SIZE)


@both_ways("inflight_wait")
def test_row_36(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard)

    in_flight_while(race, cut_and_grow)

    race.conclude(race.verdict(), "content", "kernel")
