"""Race row 34: younger than the last snapshot does not mean unshared: who else holds the extent is asked each time.

`clone` was cloned from `file`, and a snapshot that is older than both is deleted. Both items are younger than the last
snapshot, so they look as if nobody else had them. Only the look at the extent's references shows the other holder; without
that look, writing to the clone changes `file`.
"""
import pytest

from .race import BLOCKS, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("crossref")
def test_row_34(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="cloned", how=how)
    race.wanted["clone"] = clone = race._expect(1, range(BLOCKS))

    race._write("clone", clone, 5, 3, how)

    race.conclude(race.verdict(), "content", "kernel")
