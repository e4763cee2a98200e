"""Starting images: fresh from mkfs, and lived in by the kernel (snapshots, clones, every kind of file)."""
import fcntl
import os
import random

from harness import files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run

from .world import FROZEN

FICLONE = 0x40049409


def fresh(path, size_mib=1024):
    images.make(path, size_mib)


def lived_in(path, size_mib=1024, seed=7):
    images.make(path, size_mib)
    rng = random.Random(seed)
    with KernelMount(path, "commit=1") as mnt:
        for name in ("base", "base/sub", "clones"):
            os.mkdir(f"{mnt}/{name}")
        run("btrfs", "subvolume", "create", f"{mnt}/vol")
        run("btrfs", "subvolume", "create", f"{mnt}/vol/nested")
        for folder in ("base", "base/sub", "vol", "vol/nested"):
            fill(f"{mnt}/{folder}", rng)
        run("sync", "-f", mnt)
        run("btrfs", "subvolume", "snapshot", f"{mnt}/vol", f"{mnt}/snap")
        run("btrfs", "subvolume", "snapshot", "-r", f"{mnt}/vol", f"{mnt}/{FROZEN}")
        clone_some(mnt, rng)
        change_some(f"{mnt}/vol", rng)
        run("btrfs", "subvolume", "snapshot", f"{mnt}/snap", f"{mnt}/snap-of-snap")
        change_some(f"{mnt}/snap", rng)
        run("sync", "-f", mnt)
    images.check(path)


def fill(folder, rng):
    for n in range(12):
        files.write(f"{folder}/n{n}", rng.randbytes(rng.choice((10, 1900, 5000, 70_000, 300_000))), sync=n % 3 == 0)
    files.nocow(f"{folder}/nocow")
    files.write(f"{folder}/nocow", rng.randbytes(400_000), sync=True)
    files.fallocate(f"{folder}/prealloc", 0, 500_000)
    files.write(f"{folder}/prealloc", rng.randbytes(100_000), 50_000, sync=True)
    files.write(f"{folder}/sparse", b"head")
    files.write(f"{folder}/sparse", rng.randbytes(20_000), 1_000_000)
    os.symlink("n1", f"{folder}/link")
    os.setxattr(f"{folder}/n2", "user.a", b"value" * 100)
    os.link(f"{folder}/n3", f"{folder}/n3-too")


def clone_some(mnt, rng):
    for n, name in enumerate(("base/n4", "base/nocow", "base/prealloc", "vol/n5", "base/sparse")):
        with open(f"{mnt}/{name}", "rb") as source, open(f"{mnt}/clones/n{n}", "wb") as target:
            if "nocow" in name:
                ioctls.set_nocow(target.name)
            if "prealloc" in name:      # or the kernel, which misses the flag in a clone, sees no hole in it
                files.fallocate(target.name, 0, 4096)
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())


def change_some(folder, rng):
    for name in rng.sample(("n0", "n5", "n8", "nocow", "prealloc", "sparse"), 4):
        files.write(f"{folder}/{name}", rng.randbytes(rng.randrange(1, 30_000)), rng.randrange(20_000))
    os.unlink(f"{folder}/{rng.choice(('n9', 'n10', 'n11'))}")
