"""Every on-disk form that mkfs and btrfstune can make: filled by the kernel, changed by us, judged, and changed again."""
import os
import random
import re

import pytest

from harness import dump, files, image as images, treeview
from harness.kernel import KernelMount
from harness.shell import run

pytestmark = pytest.mark.fuse_only

FORMS = {
    "no-skinny-no-extref-holes": ("-O", "^skinny-metadata,^extref,^no-holes"),
    "no-tree-v1": ("-R", "^free-space-tree"),
    "mixed": ("-M",),
    "mixed-v1": ("-M", "-R", "^free-space-tree", "-O", "^no-holes"),
    "node-4k": ("-n", "4096"),
    "node-8k": ("-n", "8192"),
    "node-64k": ("-n", "65536"),
    "everything-old": ("-n", "4096", "-O", "^skinny-metadata,^extref,^no-holes", "-R", "^free-space-tree"),
}
# Sectors that the kernel of a 4 KiB page cannot do: btrfs check and we judge.
SECTORS = {
    "sector-8k": ("-s", "8192", "-n", "16384"),
    "sector-16k-mixed": ("-s", "16384", "-n", "16384", "-M"),
    "sector-64k": ("-s", "65536", "-n", "65536"),
}


def kernel_fills(mnt):
    """What the older forms keep differently: holes, links, references, preallocation, space-cache inodes."""
    os.mkdir(f"{mnt}/k")
    files.write(f"{mnt}/k/big", os.urandom(3 << 20))
    files.write(f"{mnt}/k/sparse", b"start")
    files.write(f"{mnt}/k/sparse", b"end", 3 << 20)
    files.fallocate(f"{mnt}/k/prealloc", 0, 1 << 20)
    files.write(f"{mnt}/k/first", b"1" * 3000)
    for i in range(40):
        os.link(f"{mnt}/k/first", f"{mnt}/k/link-{i:03}")
    for i in range(300):
        files.write(f"{mnt}/k/f{i:03}", b"%d" % i * (i * 7))
    run("btrfs", "subvolume", "create", f"{mnt}/sub")
    files.write(f"{mnt}/sub/shared", os.urandom(1 << 20))
    run("btrfs", "subvolume", "snapshot", f"{mnt}/sub", f"{mnt}/snap")


def change(mnt, seed):
    """A bit of every operation, in new files and in those that are there."""
    rng = random.Random(seed)
    home = f"{mnt}/ours{seed}"
    os.mkdir(home)
    for i in range(120):
        files.write(f"{home}/f{i}", rng.randbytes(rng.choice((0, 10, 1900, 4096, 20_000))))
    files.write(f"{home}/big", rng.randbytes(4 << 20), sync=True)
    for i in range(30):
        at = rng.randrange(4 << 20)
        files.write(f"{home}/big", rng.randbytes(rng.randrange(1, 90_000)), at)
    files.write(f"{home}/sparse", b"x", 9_999_999)
    files.fallocate(f"{home}/prealloc", 4096, 1 << 20)
    files.write(f"{home}/prealloc", rng.randbytes(5000), 300_000, sync=True)
    files.fallocate(f"{home}/big", 131_072, 262_144, files.KEEP_SIZE | files.PUNCH_HOLE)
    for i in range(60):
        os.link(f"{home}/f1", f"{home}/a-link-with-a-longer-name-{i:03}")
    os.setxattr(f"{home}/f2", "user.x", rng.randbytes(1500))
    os.symlink("f1", f"{home}/symlink")
    for folder, _, names in list(os.walk(mnt)):
        for n in sorted(names):
            path, dice = os.path.join(folder, n), rng.randrange(12)
            if os.path.islink(path):
                continue
            if dice == 0:
                os.unlink(path)
            elif dice == 1:
                os.rename(path, path + ".renamed")
            elif dice == 2:
                os.truncate(path, rng.randrange(100_000))
            elif dice == 3:
                files.write(path, rng.randbytes(rng.randrange(30_000)), rng.randrange(20_000))


def rounds(subject, path, kernel=True):
    view = None
    for seed in range(2):
        m = subject.mount(path)
        if view:
            treeview.assert_same(view, treeview.look(m.path), ("before", "remounted"))
        change(m.path, seed)
        view = treeview.look(m.path)
        m.umount()
        if kernel:
            images.judge(path)
            with KernelMount(path, "ro") as mnt:
                treeview.assert_same(view, treeview.look(mnt), ("ours", "kernel"))
        else:
            images.check(path)
    m = subject.mount(path, "ro")
    treeview.assert_same(view, treeview.look(m.path), ("live", "remounted"))
    m.umount()


@pytest.mark.parametrize("form", FORMS)
def test_form(subject, scratch, form):
    path = images.make(os.path.join(scratch, "img"), 256, *FORMS[form])
    with KernelMount(path) as mnt:
        kernel_fills(mnt)
    rounds(subject, path)


@pytest.mark.parametrize("form", SECTORS)
def test_sectors_larger_than_a_page(subject, scratch, form):
    path = images.make(os.path.join(scratch, "img"), 256, *SECTORS[form])
    rounds(subject, path, kernel=False)
