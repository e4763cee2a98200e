"""Race row 68: a balance holds no thread that serves requests.

There are two threads (`threads=2`, the least). One is taken by a writer that is parked. Relocation is parked in the middle,
too. Everybody else must be served: the balance has a thread of its own, and the caller of the ioctl is answered from there,
when it ends. If the request's thread waited for the end, everything would stand still until then.
"""
import pytest

from .race import Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("own_thread")
def test_row_68(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, options="threads=2")

    race.arm("wr.io_pre", ino=race.other.inode)
    writer = Act(race._write, "other", race.want_other, 100, 1)
    race.must_park("wr.io_pre")
    race.arm("rl.copied")
    race.relocate()
    race.must_park("rl.copied")
    stalled = None
    try:
        race.others_go_on()
    except AssertionError as e:
        stalled = e
    race.release("rl.copied", "wr.io_pre")
    race.relocation.join(10)
    race.finish(writer)

    v = race.verdict()
    with v.oracle("time"):
        assert not stalled, stalled
    race.conclude(v, "time")
