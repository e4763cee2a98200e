"""Race row 16: fsync waits for what somebody else is writing back.

A buffered write to a preallocated file was accepted. A sync of the whole file system has taken it up and is parked before
it turns the item into written data [wr.convert]. An fsync of that file comes now. If it took "somebody is at it" for "it is
done", it would return, and after a power cut the item would still say preallocated: zeros.
"""
import os

import pytest

from harness import blocks, ioctls

from .race import PATIENCE, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


@both_ways("fsync_inflight")
def test_row_16(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, kind="prealloc")
    fd = os.open(race.mounted.join("file"), os.O_RDWR)

    os.pwrite(fd, race.want.next(40, count=2), 40 * blocks.SIZE)
    race.want.ack(40, 2)
    race.arm("wr.convert", ino=race.file.inode)
    sync = Act(ioctls.sync_fs, race.mounted.path)
    race.must_park("wr.convert")
    fsync = Act(os.fsync, fd)
    fsync.join(PATIENCE)
    if race.on:
        assert fsync.is_alive(), "fsync did not wait"
        race.release("wr.convert")
        sync.end()
    fsync.end()
    os.close(fd)
    race.want.sync()

    race.conclude(race.power_cut(), "content", "kernel")
