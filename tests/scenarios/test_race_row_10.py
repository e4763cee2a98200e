"""Race row 10: a write that fails gives its token back.

The device answers EIO to the write in place. If the token stayed out, relocation of that group (and the unmount behind it)
would wait for ever.
"""
import errno

import pytest

from .race import Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("put_on_error")
def test_row_10(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.hooks.fail("wr.io_pre", "EIO")
    with pytest.raises(OSError) as refused:
        race.writer(block=60).end()
    assert refused.value.errno == errno.EIO
    race.relocate()

    race.conclude(race.verdict(patience=2), "time")
