"""Two nodatacow files share an extent (cp --reflink), relocation moves it, both are overwritten meanwhile.

The pointers of both files are switched before the new extent has its holders. If these came one by one, there would be a
moment when the extent has one holder only: his writer would take it for his own and write in place what the other sees, too.
So all holders come in one step; the guard `refs_at_once` takes the step apart.
"""
import os

import pytest

from harness import blocks, files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run

from .race import Act, both_ways

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
BLOCKS = 16
NAMES = ("one", "two")


def make_clones(path):
    images.make(path, 512)
    with KernelMount(path) as mnt:
        files.nocow(f"{mnt}/one")
        files.write(f"{mnt}/one", b"".join(blocks.make(1, b, 1) for b in range(BLOCKS)), sync=True)
        files.nocow(f"{mnt}/two")
        run("cp", "--reflink=always", f"{mnt}/one", f"{mnt}/two")


def overwrite(path, block):
    f = blocks.DirectFile(path)
    f.write(blocks.make(1, block, 2), block * blocks.SIZE)
    f.close()


def intruders(folder):
    """Blocks that hold what was written to the other file."""
    found = []
    for n, name in enumerate(NAMES):
        data = files.read(os.path.join(folder, name))
        for b in range(BLOCKS):
            seq, _ = blocks.parse(data[b * blocks.SIZE:(b + 1) * blocks.SIZE], 1, b)
            if seq != (2 if b == n else 1):
                found.append(f"{name} block {b}: version {seq}")
    return found


@both_ways("refs_at_once")
def test_clones_stay_apart(subject, image_cache, scratch, guard):
    image = image_cache("clones", make_clones, os.path.join(scratch, "img"))
    m = subject.mount(image, hooks=True)
    m.hooks.guard(*guard)
    m.hooks.arm("rl.ref")
    relocation = ioctls.BalanceThread(m.path, data={})
    m.hooks.wait("rl.ref")
    writers = [Act(overwrite, m.join(name), n) for n, name in enumerate(NAMES)]
    for writer in writers:
        writer.join(1)
    m.hooks.release("all")
    for writer in writers:
        writer.end()
    assert not relocation.finish().error
    found = intruders(m.path)
    m.umount()
    images.check(image)
    with KernelMount(image) as mnt:
        found += intruders(mnt)
    assert bool(found) != guard[1], found or "without its guard nothing went wrong"
