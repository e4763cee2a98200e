"""Race row 54: no space for nodes in the middle of a switch.

A switch reserves all nodes that it may need before it changes anything. If there is no space, the reservation is refused, and
the batch never was. Without the reservation the space runs out when half of it is changed: the transaction is dead and the
file system turns read-only.
"""
import errno

import pytest

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("reserve_switch")
def test_row_54(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("rl.switch_pre")
    race.relocate()
    race.must_park("rl.switch_pre")
    race.hooks.fail("tx.reserve", "ENOSPC", 1000)   # there is nothing left to reserve
    race.arm("rl.switch_mid")
    race.release("rl.switch_pre")
    if race.parked("rl.switch_mid", PATIENCE):
        race.hooks.fail("al.node", "ENOSPC")    # nor to use
    race.release("rl.switch_mid")
    result = race.relocation.finish(10)
    race.release("tx.reserve", "al.node")
    race.relocation = None
    writer = race.writer(block=3, count=2)
    writer.join(10)

    v = race.verdict()
    with v.oracle("result"):
        assert result.error == errno.ENOSPC, result
    with v.oracle("content"):
        writer.end()
    race.conclude(v, "content")
