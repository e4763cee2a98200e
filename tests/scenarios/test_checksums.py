"""Images with each checksum type: what the kernel wrote is read and verified, what btrfuse writes the kernel takes."""
import os
import random

import pytest

from harness import dump, files, image as images, treeview
from harness.kernel import KernelMount

TYPES = ["xxhash", "sha256", "blake2"]


def fill(mnt, seed):
    rng = random.Random(seed)
    for i in range(40):
        files.write(f"{mnt}/f{seed}-{i}", rng.randbytes(rng.choice((10, 3000, 4096, 70_000, 400_000))))
    for i in range(0, 40, 3):
        files.write(f"{mnt}/f{seed}-{i}", rng.randbytes(9000), rng.randrange(100_000))


@pytest.mark.needs_kernel
@pytest.mark.parametrize("csum", TYPES)
def test_read_and_written(subject, scratch, csum):
    image = images.make(os.path.join(scratch, "img"), 256, "--csum", csum)
    with KernelMount(image) as mnt:
        fill(mnt, 1)
        want = treeview.look(mnt)
    m = subject.mount(image)
    treeview.assert_same(treeview.look(m.path), want, ("ours", "kernel"))
    fill(m.path, 2)
    want = treeview.look(m.path)
    m.umount()
    images.judge(image)
    with KernelMount(image, "ro") as mnt:
        treeview.assert_same(want, treeview.look(mnt), ("ours", "kernel"))


@pytest.mark.fuse_only
@pytest.mark.parametrize("csum", TYPES)
def test_wrong_data_is_refused(subject, scratch, csum):
    image = images.make(os.path.join(scratch, "img"), 256, "--csum", csum)
    with KernelMount(image) as mnt:
        files.write(f"{mnt}/f", os.urandom(65536), sync=True)
        inode = files.inode(f"{mnt}/f")
    place = dump.physical(image, dump.file_extents(image, inode)[0].disk)[0]
    with open(image, "r+b") as f:
        f.seek(place + 8192)
        f.write(b"\xff" * 16)
    m = subject.mount(image, "ro")
    with open(m.join("f"), "rb", buffering=0) as f:
        assert len(os.pread(f.fileno(), 4096, 0)) == 4096
        with pytest.raises(OSError):
            os.pread(f.fileno(), 4096, 8192)
    m.umount()
