"""Where new nodes go: side by side, so that few leaves of the extent tree and of the free-space tree tell of them, and a commit that
changes one file stays small however old the image is."""
import os
import re

import pytest

from harness import dump, files, image as images, superblock
from harness.kernel import KernelMount

NODE = 16384


def make_holes(path):
    """Metadata full of holes of one node, and free space behind them."""
    images.make(path, 512)
    with KernelMount(path) as mnt:
        for i in range(1500):
            os.close(os.open(f"{mnt}/f{i:04}", os.O_CREAT))
            os.setxattr(f"{mnt}/f{i:04}", "user.fill", b"x" * 10_000)
    with KernelMount(path) as mnt:
        for i in range(0, 1500, 3):
            os.unlink(f"{mnt}/f{i:04}")


def new_nodes(image):
    """Addresses of the metadata nodes that the last commit wrote."""
    newest = superblock.read(image).u64(superblock.GENERATION)
    system = [(c.logical, c.logical + c.length) for c in dump.chunks(image) if c.type.startswith("SYSTEM")]
    found = {int(at) for at, generation in re.findall(r"^(?:leaf|node) (\d+) .*generation (\d+)", images.dump_tree(image), re.M)
             if int(generation) == newest}
    return sorted(at for at in found if not any(low <= at < high for low, high in system))


@pytest.mark.fuse_only
def test_one_change_is_written_in_one_place(subject, scratch):
    path = os.path.join(scratch, "img")
    make_holes(path)
    m = subject.mount(path)
    files.write(m.join("new"), b"small")
    m.umount()
    nodes = new_nodes(path)
    assert len(nodes) > 4
    # what a commit frees again while it settles leaves a gap or two
    assert nodes[-1] - nodes[0] <= 2 * len(nodes) * NODE, [at - nodes[0] for at in nodes]
    images.judge(path)
