"""Quotas: sums stay exact through everything that is done to an image that the kernel has enabled them on."""
import errno
import os
import random

import pytest

from harness import files, ioctls, quotas
from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

SUBVOLUMES = ("a", "b", "c", "a-snap", "b-snap", "b-snap2")


def btrfs(*argv):
    return run("btrfs", *argv)


def make_quota_image(path):
    """Three subvolumes, snapshots of them, extents shared within and between them, groups of groups."""
    images.make(path, 512)
    with KernelMount(path, "noatime") as mnt:
        for name in "abc":
            btrfs("subvolume", "create", f"{mnt}/{name}")
        btrfs("quota", "enable", mnt)
        quotas.rescan(mnt)
        for group in ("1/1", "1/2", "2/1"):
            btrfs("qgroup", "create", group, mnt)
        fill(mnt)
        ioctls.sync_fs(mnt)
        for source, snapshot in (("a", "a-snap"), ("b", "b-snap")):
            btrfs("subvolume", "snapshot", f"{mnt}/{source}", f"{mnt}/{snapshot}")
        files.write(f"{mnt}/b/f3", os.urandom(30_000))
        ioctls.sync_fs(mnt)
        btrfs("subvolume", "snapshot", f"{mnt}/b-snap", f"{mnt}/b-snap2")
        for child, parent in (("a", "1/1"), ("a-snap", "1/1"), ("b", "1/2"), ("c", "1/2")):
            ident = btrfs("inspect-internal", "rootid", f"{mnt}/{child}").stdout.strip()
            run("btrfs", "qgroup", "assign", "--no-rescan", f"0/{ident}", parent, mnt, check=False)
        for child in ("1/1", "1/2"):
            run("btrfs", "qgroup", "assign", "--no-rescan", child, "2/1", mnt, check=False)
        quotas.rescan(mnt)


def fill(mnt):
    for name in "abc":
        for i in range(60):
            files.write(f"{mnt}/{name}/f{i}", os.urandom(3000 + 977 * i))
        for i in range(300):
            files.write(f"{mnt}/{name}/small{i}", b"%d" % i * 300)
        files.write(f"{mnt}/{name}/big", os.urandom(2_000_000))
    with open(f"{mnt}/a/big", "rb") as s, open(f"{mnt}/c/clone-of-a", "wb") as t:
        os.copy_file_range(s.fileno(), t.fileno(), 1 << 20)


@pytest.fixture
def quota_image(image_cache, scratch):
    return image_cache("quota", make_quota_image, os.path.join(scratch, "quota"))


def test_the_image_is_right_to_begin_with(quota_image):
    assert len(quotas.verify(quota_image).sums) >= 9


def copy_between(src, dst, off, to, length):
    with open(src, "rb") as a, open(dst, "r+b" if os.path.exists(dst) else "w+b") as b:
        os.copy_file_range(a.fileno(), b.fileno(), length, off, to)


def change(rng, mnt):
    """One random change."""
    top, other = (os.path.join(mnt, rng.choice(SUBVOLUMES)) for _ in range(2))
    path = f"{top}/f{rng.randrange(60)}"
    kind = rng.choice(("write", "write", "append", "truncate", "unlink", "copy", "copy", "small", "rename", "punch", "prealloc",
                       "xattr", "mkdir", "sync"))
    if kind == "write":
        files.write(path, rng.randbytes(rng.randrange(1, 60_000)), rng.randrange(80_000))
    elif kind == "append":
        files.write(path, rng.randbytes(9000), os.path.getsize(path) if os.path.exists(path) else 0)
    elif kind == "truncate" and os.path.exists(path):
        os.truncate(path, rng.randrange(50_000))
    elif kind == "unlink" and os.path.exists(path):
        os.unlink(path)
    elif kind == "copy":
        copy_between(f"{top}/big", f"{other}/copy{rng.randrange(9)}", rng.randrange(300) * 4096, rng.randrange(30) * 4096,
                     rng.randrange(1, 64) * 4096)
    elif kind == "small":
        files.write(f"{top}/small{rng.randrange(300)}", rng.randbytes(rng.randrange(1, 2000)))
    elif kind == "rename" and os.path.exists(path):
        os.rename(path, f"{top}/f{rng.randrange(60)}")
    elif kind == "punch" and os.path.exists(path):
        files.fallocate(path, rng.randrange(8) * 4096, 8192, files.PUNCH_HOLE | files.KEEP_SIZE)
    elif kind == "prealloc":
        files.fallocate(path, rng.randrange(20) * 4096, 40_000)
    elif kind == "xattr" and os.path.exists(path):
        os.setxattr(path, "user.x", rng.randbytes(rng.randrange(1, 3000)))
    elif kind == "mkdir":
        os.makedirs(f"{top}/d{rng.randrange(500)}/e", exist_ok=True)
    elif kind == "sync":
        ioctls.sync_fs(mnt)


@pytest.mark.parametrize("seed,options", [(1, "noatime"), (2, "noatime,compress=zstd")])
def test_random_changes_keep_the_sums(subject, quota_image, full, seed, options):
    rng = random.Random(seed)
    for _ in range(6 if full else 2):
        m = subject.mount(quota_image, options)
        for _ in range(250):
            change(rng, m.path)
        m.umount()
        quotas.verify(quota_image)


def test_relocation_changes_no_sums(subject, quota_image):
    """Row 59: totals before and after are the same."""
    before = quotas.OnDisk(quota_image).sums
    m = subject.mount(quota_image, "noatime")
    done = ioctls.balance(m.path, data={}, metadata={})
    assert done.error == 0 and done.completed >= 2, done
    m.umount()
    assert quotas.verify(quota_image).sums == before


def test_relocation_while_files_change(subject, quota_image):
    m = subject.mount(quota_image, "noatime")
    rng = random.Random(3)
    balance = ioctls.BalanceThread(m.path, data={}, metadata={})
    for _ in range(200):
        change(rng, m.path)
    assert balance.finish().error == 0
    m.umount()
    quotas.verify(quota_image)
