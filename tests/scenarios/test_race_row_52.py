"""Race row 52: one balance at a time; the second is refused, the first does not notice."""
import errno

import pytest

from harness import ioctls

from .race import Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("exclop")
def test_row_52(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard)

    race.arm("rl.copied")
    race.relocate()
    race.must_park("rl.copied")
    second = Act(ioctls.balance, race.mounted.path, {})
    second.join(1)
    stalled = second.is_alive()
    race.release("rl.copied")

    v = race.verdict(patience=3)
    with v.oracle("time"):
        assert not stalled, "the second one was not answered"
    if not stalled:
        with v.oracle("result"):
            assert second.end().error == errno.EINPROGRESS
    race.conclude(v, "time")
