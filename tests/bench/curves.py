#!/usr/bin/env python3
"""How cost grows with size: each curve is measured at three sizes, ten times apart. As root.

usage: curves.py [--build build-release] [--only NAME,...] [--sizes 1|2|3] [--against kernel]
Prints, for each size, the cost of one unit (a file, a write, an inode, a block group) and what ten times the size cost
altogether compared with the size before: 10 is linear, more than 12 is a defect and makes the exit code 1.
Images lie in memory (/dev/shm; BENCH_TMP for elsewhere).
"""
import argparse
import mmap
import os
import random
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from harness.kernel import KernelMount                      # noqa: E402
from harness.shell import run                               # noqa: E402
from harness.subject import Subject                         # noqa: E402

TOLERATED = 12
SECONDS = 3600


class Bench:
    """An image, mounted by the kernel to be filled and by the subject to be measured."""

    def __init__(self, build, against, folder):
        self.subject = Subject(against or "btrfuse", build)
        self.tool = "btrfs" if against == "kernel" else os.path.join(build, "fuse", "btrfusectl")
        self.image = os.path.join(folder, "img")

    def make(self, gib, *options):
        if os.path.exists(self.image):
            os.unlink(self.image)
        run("truncate", "-s", f"{gib}G", self.image)
        run("mkfs.btrfs", "-q", *options, self.image)

    def filled(self):
        return KernelMount(self.image, "nodiscard")

    def mount(self):
        return self.subject.mount(self.image)

    def balance(self, mnt, kind):
        start = time.monotonic()
        run(self.tool, "balance", "start", kind, mnt, timeout=SECONDS)
        return time.monotonic() - start


def write_new(path, data, flags=0):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | flags, 0o644)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def directory(bench, count):
    """Create, stat and unlink @count files in one directory."""
    bench.make(8)
    mounted = bench.mount()
    start = time.monotonic()
    os.mkdir(mounted.join("d"))
    names = [mounted.join("d", f"file-{i}") for i in range(count)]
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644))
    random.Random(1).shuffle(names)
    for name in names:
        os.stat(name)
    for name in names:
        os.unlink(name)
    run(bench.tool, "filesystem", "sync", mounted.path)
    took = time.monotonic() - start
    mounted.umount()
    return took


def overwrite(bench, count):
    """4 KiB written at random to a file of @count extents; as many writes at every size, so scaled to @count."""
    writes = 5000
    bench.make(16)
    with bench.filled() as mnt:
        fd = os.open(f"{mnt}/file", os.O_CREAT | os.O_RDWR, 0o644)
        for i in range(count):
            os.posix_fallocate(fd, i * 8192, 4096)
        os.close(fd)
    mounted = bench.mount()
    block = mmap.mmap(-1, 4096)
    fd = os.open(mounted.join("file"), os.O_RDWR | os.O_DIRECT)
    chosen = random.Random(2)
    start = time.monotonic()
    for _ in range(writes):
        os.pwrite(fd, block, chosen.randrange(count) * 8192)
    took = time.monotonic() - start
    os.close(fd)
    mounted.umount()
    return took * count / writes


def snapshots(bench, count):
    """Balance of the metadata of 5,000 files with @count snapshots, each of which changed 50 of them."""
    bench.make(16)
    with bench.filled() as mnt:
        run("btrfs", "subvolume", "create", f"{mnt}/s")
        for i in range(5000):
            write_new(f"{mnt}/s/{i}", b"x" * 1000)
        for n in range(count):
            run("btrfs", "subvolume", "snapshot", f"{mnt}/s", f"{mnt}/snap{n}")
            for k in range(50):
                os.utime(f"{mnt}/s/{(n * 397 + k) % 5000}")
    mounted = bench.mount()
    took = bench.balance(mounted.path, "-m")
    mounted.umount()
    return took


def fill_groups(mnt, count):
    """An extent of one MiB in each of @count groups of 1 GiB: what is given back is used again only after a commit."""
    for i in range(count):
        fd = os.open(f"{mnt}/g{i}", os.O_CREAT | os.O_RDWR, 0o644)
        os.pwrite(fd, os.urandom(1 << 20), 0)
        os.fsync(fd)
        os.posix_fallocate(fd, 1 << 20, (1 << 30) - (1 << 20))
        os.close(fd)
    for i in range(count):
        os.truncate(f"{mnt}/g{i}", 1 << 20)
    run("btrfs", "filesystem", "sync", mnt)


def groups(bench, count):
    """Balance of @count data groups with 1 MiB in each."""
    bench.make(count * 2 + 100)
    with bench.filled() as mnt:
        fill_groups(mnt, count)
    mounted = bench.mount()
    took = bench.balance(mounted.path, "-d")
    mounted.umount()
    return took


def mount_groups(bench, count):
    """Mounting an image with @count data groups, and reading its top directory."""
    bench.make(count * 2 + 100)
    with bench.filled() as mnt:
        fill_groups(mnt, count)
    start = time.monotonic()
    mounted = bench.mount()
    os.listdir(mounted.path)
    took = time.monotonic() - start
    mounted.umount()
    return took


CURVES = {
    "directory": (directory, (10_000, 100_000, 1_000_000), "file"),
    "overwrite": (overwrite, (10_000, 100_000, 1_000_000), "write"),
    "snapshots": (snapshots, (10, 100, 1000), "snapshot"),
    "groups": (groups, (10, 100, 1000), "group"),
    "mount": (mount_groups, (10, 100, 1000), "group"),
}


def draw(bench, name, sizes):
    """True if ten times the size never cost more than TOLERATED times."""
    measure, steps, unit = CURVES[name]
    before, good = None, True
    for size in steps[:sizes]:
        took = measure(bench, size)
        ratio = took / before if before else None
        good &= ratio is None or ratio <= TOLERATED
        print(f"{name:10s} {size:>9,} {took:9.2f} s {took / size * 1e6:10.1f} us per {unit}"
              + (f"   x{ratio:.1f} for ten times the size" if ratio else ""), flush=True)
        before = took
    return good


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(HERE, "..", "..", "build-release"))
    ap.add_argument("--only", default=",".join(CURVES))
    ap.add_argument("--sizes", type=int, default=3)
    ap.add_argument("--against", choices=["kernel"])
    a = ap.parse_args()
    folder = tempfile.mkdtemp(prefix="curves.", dir=os.environ.get("BENCH_TMP", "/dev/shm"))
    try:
        bench = Bench(os.path.abspath(a.build), a.against, folder)
        good = [draw(bench, name, a.sizes) for name in a.only.split(",")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
