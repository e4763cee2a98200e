"""Race row 9: writers cannot starve relocation.

Sixteen writers hammer one group; the test holds them up so that at every moment one of them has a token. Once the group is
read-only, new writers are turned away (they copy), so relocation waits for those in flight only: less than a second here.
If they were let in, there would always be somebody, and relocation would never be drained.
"""
import itertools
import random
import threading

import pytest

from harness import blocks
from harness.hooks import Hooks

from .race import BLOCKS, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
WRITERS = 16


def hammer(race, n, stop):
    """Writes the blocks n, n + 16, ... over and over."""
    f = blocks.DirectFile(race.mounted.join("file"), size=blocks.SIZE)
    rng = random.Random(n)
    try:
        while not stop.is_set():
            block = rng.randrange(BLOCKS // WRITERS) * WRITERS + n
            f.write(race.want.next(block), block * blocks.SIZE)
            race.want.ack(block)
    finally:
        f.close()


def relay(race, stop):
    """Before who holds a token is let go, the next one has one, if anybody still gets one."""
    hooks = Hooks(race.hooks.path)
    points = itertools.cycle(("wr.io_pre", "wr.io_post"))
    here = next(points)
    hooks.arm(here, bg=race.file.group)
    hooks.is_parked(here, 1)
    while not stop.is_set():
        following = next(points)
        hooks.arm(following, bg=race.file.group)
        hooks.is_parked(following, 0.1)
        hooks.release(here)
        here = following
    hooks.release("wr.io_pre")
    hooks.release("wr.io_post")
    hooks.close()


@both_ways("divert")
def test_row_09(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard)
    stop = threading.Event()
    acts = [Act(hammer, race, n, stop) for n in range(WRITERS)] + [Act(relay, race, stop)]

    race.arm("rl.ro", "rl.drained")
    race.relocate()
    race.must_park("rl.ro")
    race.release("rl.ro")
    drained = race.parked("rl.drained", 1 if race.on else 5)
    race.release("rl.drained")
    stop.set()
    for act in acts:
        act.end()

    v = race.verdict()
    with v.oracle("time"):
        assert drained, "relocation still waits for writers"
    race.conclude(v, "time")
