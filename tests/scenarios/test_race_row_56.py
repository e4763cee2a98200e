"""Race row 56: a reader that knows an old place gets what was there, not what somebody else has put there since.

The reader has looked the mapping up and is parked before it reads [rd.lookup]. Relocation copies, switches and commits; then
the balance is cancelled, the group is writable again, and its free space is given to a stranger, who fills it. The reader
goes on. It entered an epoch before its lookup, and space is handed out again only when every epoch that could have seen it
is over. Without that it reads the stranger's bytes, and without checksums nobody notices.
"""
import os

import pytest

from harness import blocks, ioctls

from .race import Act, Race, both_ways, forget_pages

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def read_block(path, block):
    f = blocks.DirectFile(path, flags=os.O_RDONLY, size=blocks.SIZE)
    try:
        return f.read(blocks.SIZE, block * blocks.SIZE)
    finally:
        f.close()


@both_ways("epoch")
def test_row_56(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard)
    path = race.mounted.join("file")
    forget_pages(path)

    race.arm("rd.lookup", ino=race.file.inode)
    reader = Act(read_block, path, 0)
    race.must_park("rd.lookup")
    race.arm("rl.committed")
    race.relocate()
    race.must_park("rl.committed")
    cancel = Act(ioctls.balance_cancel, race.mounted.path)
    while ioctls.balance_progress(race.mounted.path).state & ioctls.STATE_CANCEL_REQ == 0:
        pass
    race.release("rl.committed")
    cancel.end()
    race.relocation.join(10)
    race.relocation = None
    race.stranger(count=16384)              # 64 MiB: more than is free elsewhere
    race.release("rd.lookup")
    data = reader.end()

    v = race.verdict()
    with v.oracle("content"):
        blocks.parse(data, 1, 0)
    race.conclude(v, "content")
