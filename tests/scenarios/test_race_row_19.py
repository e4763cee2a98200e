"""Race row 19: what a commit frees is given to nobody before that commit is durable.

Until the superblock is on the device a power cut brings back the old tree, and the old tree points to the old places. They
are pinned: free, but handed out only when the commit that freed them cannot be undone any more.

Here relocation commits a switch. The same transaction has freed the extent of `file` (truncated meanwhile). Relocation is
parked before the superblock [tx.super_pre] while a stranger writes to a new place [until wr.cow_item: his data is on the
device]. Then the power goes. The old tree still has `file` in full length, and without the pin its first blocks are the
stranger's.
"""
import os

import pytest

from harness import blocks, files, ioctls

from .race import Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
KINDS = ("direct", "buffered", "serial")       # the file is empty: nothing to map


@both_ways("pin")
def test_row_19(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, kind="cow", how=how)
    files.write(race.mounted.join("stranger"), b"", sync=True)
    race.wanted["stranger"] = stranger = blocks.BlockFile(77, 64)

    race.arm("rl.switch_pre")
    ioctls.BalanceThread(race.mounted.path, metadata={})
    race.must_park("rl.switch_pre")
    os.truncate(race.mounted.join("file"), 0)       # frees its extent, in the transaction of the switch
    race.arm("tx.super_pre")
    race.release("rl.switch_pre")
    race.must_park("tx.super_pre")
    race.arm("wr.cow_item")
    Act(race._write, "stranger", stranger, 0, 64, how)
    race.must_park("wr.cow_item")

    race.conclude(race.power_cut(), "kernel", "content")
