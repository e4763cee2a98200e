"""Race row 11: a writer that is killed in the middle does not take its token along.

The process is killed while its request is parked with the token in hand [wr.token]; the kernel sends an interrupt. Nobody
waits for the answer any more, and then the write fails, too. Relocation must be able to go on.
"""
import os
import signal

import pytest

from harness import blocks

from .race import PATIENCE, Race, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def writer_process(race, block):
    pid = os.fork()
    if pid == 0:
        try:
            race._write("file", race.want, block, 1, race.how)
        finally:
            os._exit(0)
    race.want.issued[block] += 1            # the child's count is the child's
    return pid


@both_ways("put_on_error")
def test_row_11(subject, image_cache, scratch, guard, how):
    race = Race(subject, image_cache, scratch, guard, how=how)

    race.arm("wr.token", ino=race.file.inode)
    pid = writer_process(race, block=70)
    race.must_park("wr.token")
    os.kill(pid, signal.SIGKILL)
    race.arm("rl.drained")
    race.relocate()
    assert not race.parked("rl.drained", PATIENCE), "relocation did not wait for the writer"
    race.hooks.fail("wr.io_pre", "EIO")
    race.release("rl.drained", "wr.token")
    os.waitpid(pid, 0)

    race.conclude(race.verdict(patience=2), "time")
