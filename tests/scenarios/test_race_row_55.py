"""Race row 55: a source that cannot be read is reported and left where it is; the rest moves.

One block is damaged on the device and has no other copy. Relocation must say so and not move that extent: its bytes may come
back (a cable, a controller, a second try), and its checksum must never be made to fit the damage. In the test they do come
back after the unmount.
"""
import errno
import os

import pytest

from harness import blocks, dump, image as images

from harness.kernel import KernelMount

from .race import Race, Verdict, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def overwrite(image, physical, data):
    fd = os.open(image, os.O_RDWR)
    try:
        old = os.pread(fd, len(data), physical)
        os.pwrite(fd, data, physical)
        return old
    finally:
        os.close(fd)


@both_ways("bad_source")
def test_row_55(subject, image_cache, scratch, guard):
    race = Race(subject, image_cache, scratch, guard, kind="cow")
    place, = dump.physical(race.image, race.file.disk + 100 * blocks.SIZE)
    good = overwrite(race.image, place, os.urandom(blocks.SIZE))

    race.relocate()
    result = race.relocation.finish(20)
    v = Verdict()
    with v.oracle("result"):
        assert result.error == errno.EIO, result
    with v.oracle("content"), open(race.mounted.join("file"), "rb", buffering=0) as f:
        with pytest.raises(OSError):
            f.seek(100 * blocks.SIZE)
            f.read(blocks.SIZE)
    race.mounted.umount()
    if dump.file_extents(race.image, race.file.inode)[0].disk == race.file.disk:
        overwrite(race.image, place, good)
    with v.oracle("check"):
        images.check(race.image)
    with v.oracle("kernel"), KernelMount(race.image, "ro") as mnt:
        race.want.verify(f"{mnt}/file")
    race.conclude(v, "check", "kernel")
