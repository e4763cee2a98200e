"""Race row 20: a write that makes the file larger goes into space preallocated behind its end, fsync comes in between, and the
extent's block group is being relocated.

The content is on the device, the item still says preallocated and the inode item shows the old size when fsync comes
[wr.convert]. What fsync then logs must have both, content and size, wherever relocation has put the extent: the replay after the
power cut, ours and the kernel's, finds them.
"""
import os

import pytest

from harness import blocks, ioctls

from .race import PATIENCE, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("fsync_inflight")
def test_row_20(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, kind="beyond")
    fd = os.open(race.mounted.join("file"), os.O_RDWR)

    os.pwrite(fd, race.want.next(0, count=3), 0)
    race.want.ack(0, 3)
    race.arm("wr.convert", ino=race.file.inode)
    sync = Act(ioctls.sync_fs, race.mounted.path)
    race.must_park("wr.convert")
    race.relocate()
    fsync = Act(os.fsync, fd)
    fsync.join(PATIENCE)
    if race.on:
        assert fsync.is_alive(), "fsync did not wait"
        race.release("wr.convert")
        sync.end()
    fsync.end()
    assert not race.on or os.fstat(fd).st_size == 3 * blocks.SIZE
    os.close(fd)
    race.want.sync()

    race.conclude(race.power_cut(), "content", "kernel")
