"""Race row 35: punching a hole waits for writes in flight there.

A buffered write to a nodatacow file is being written back in place and is parked before the I/O [wr.io_pre]. The whole file
is punched out meanwhile, that is committed, and a stranger is given the place. If the punch had not waited, the write would
now go into the stranger's file.
"""
import os

import pytest

from harness import blocks, files, ioctls

from .race import BLOCKS, PATIENCE, Act, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def commit(race):
    """Without writing back `file`, as a sync of everything would."""
    race._write("other", race.want_other, 3, 1)
    fd = os.open(race.mounted.path, os.O_RDONLY)        # of a directory, it is a commit
    os.fsync(fd)
    os.close(fd)


def in_flight_while(race, takes_away):
    """Writes back the file, parks that, and calls @takes_away(path), which frees the place."""
    path = race.mounted.join("file")
    files.write(path, race.want.next(10, count=4), 10 * blocks.SIZE)
    race.arm("wr.io_pre", ino=race.file.inode)
    sync = Act(ioctls.sync_fs, race.mounted.path)
    race.must_park("wr.io_pre")
    act = Act(takes_away, path)
    act.join(PATIENCE)
    assert act.is_alive() == race.on, "waited" if act.is_alive() else "did not wait"
    commit(race)
    race.stranger()
    race.release("wr.io_pre")
    sync.end()
    act.end()
    race.want.acked = [0] * BLOCKS          # the last word: nothing is there
    race.want.issued = [0] * BLOCKS


@both_ways("inflight_wait")
def test_row_35(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard)
    punch = files.PUNCH_HOLE | files.KEEP_SIZE

    in_flight_while(race, lambda path: files.fallocate(path, 0, BLOCKS * blocks.SIZE, punch))

    race.conclude(race.verdict(), "content", "kernel")
