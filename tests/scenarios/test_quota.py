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


def make_quota_image(path, *mkfs):
    """Three subvolumes, snapshots of them, extents shared within and between them, groups of groups."""
    images.make(path, 512, *mkfs)
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


def make_deep_image(path):
    """Three levels of nodes: what is shared is mostly implied."""
    make_quota_image(path, "-n", "4096")


@pytest.fixture
def deep_image(image_cache, scratch):
    return image_cache("deep-quota", make_deep_image, os.path.join(scratch, "deep"))


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


def change_and_verify(subject, image, seed, rounds, options="noatime"):
    rng = random.Random(seed)
    for _ in range(rounds):
        m = subject.mount(image, options)
        for _ in range(250):
            change(rng, m.path)
        m.umount()
        quotas.verify(image)


@pytest.mark.parametrize("seed,options", [(1, "noatime"), (2, "noatime,compress=zstd")])
def test_random_changes_keep_the_sums(subject, quota_image, full, seed, options):
    change_and_verify(subject, quota_image, seed, 6 if full else 2, options)


def test_random_changes_to_deep_trees_keep_the_sums(subject, deep_image, full):
    change_and_verify(subject, deep_image, 8, 12 if full else 2)
    m = subject.mount(deep_image, "noatime")
    assert ioctls.balance(m.path, metadata={}).error == 0
    m.umount()
    quotas.verify(deep_image)
    change_and_verify(subject, deep_image, 9, 1)


def test_deep_trees_after_the_kernel_has_moved_and_deleted(subject, deep_image):
    """Full backrefs, nodes with the relocation flag, keyed references: all that the kernel leaves behind."""
    with KernelMount(deep_image, "noatime,commit=1") as mnt:
        run("btrfs", "balance", "start", "-m", "-d", "-f", mnt)
        btrfs("subvolume", "delete", f"{mnt}/b-snap")
        btrfs("subvolume", "sync", mnt)
        btrfs("subvolume", "snapshot", f"{mnt}/b-snap2", f"{mnt}/b-snap")
        run("btrfs", "balance", "start", "-m", "-f", mnt)
        quotas.rescan(mnt)
    change_and_verify(subject, deep_image, 10, 2)


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


# ---- limits ----

def limited(path, *limits, kernel_setup=None):
    """Limits on groups: pairs of `btrfs qgroup limit` arguments."""
    with KernelMount(path, "noatime") as mnt:
        for limit in limits:
            btrfs("qgroup", "limit", *limit, mnt)
        ioctls.sync_fs(mnt)


def fill_until_refused(path, chunk=256 << 10, most=400):
    """Writes until EDQUOT: how many bytes were accepted."""
    done = 0
    for _ in range(most):
        try:
            files.write(path, os.urandom(chunk), done)
        except OSError as e:
            assert e.errno == errno.EDQUOT, e
            return done
        done += chunk
    raise AssertionError("no limit was met")


@pytest.mark.parametrize("limit,group", [((), "0"), ((), "1/2"), ((), "2/1"), (("-e",), "0")], ids=["own", "parent", "grandparent", "exclusive"])
def test_a_limit_refuses_before_anything_changes(subject, quota_image, limit, group):
    sums = quotas.OnDisk(quota_image).sums
    ident = next(g for g in sums if g == "0/258")            # c
    group = ident if group == "0" else group
    most = sums[group][1 if limit else 0] + (6 << 20)
    limited(quota_image, (*limit, most, group))
    m = subject.mount(quota_image, "noatime")
    accepted = fill_until_refused(m.join("c/new"))
    assert (4 << 20) <= accepted <= (6 << 20), accepted
    assert os.path.getsize(m.join("c/new")) >= accepted
    files.write(m.join("a-snap/free" if group != "2/1" else "b-snap/free"), os.urandom(1 << 20))     # others are not concerned
    os.unlink(m.join("c/new"))
    ioctls.sync_fs(m.path)
    assert fill_until_refused(m.join("c/again")) >= 4 << 20  # what was deleted may be used again
    m.umount()
    found = quotas.verify(quota_image)
    # nodes are looked at before each operation, not promised: the last one may take some more
    assert found.sums[group][1 if limit else 0] <= most + 4 * 16384


def test_direct_writes_and_preallocation_are_refused_too(subject, quota_image):
    limited(quota_image, (quotas.OnDisk(quota_image).sums["0/258"][0] + (2 << 20), "0/258"))
    m = subject.mount(quota_image, "noatime")
    with pytest.raises(OSError) as e:
        files.fallocate(m.join("c/pre"), 0, 8 << 20)
    assert e.value.errno == errno.EDQUOT
    assert os.stat(m.join("c/pre")).st_blocks == 0
    import mmap
    page = mmap.mmap(-1, 4 << 20)
    fd = os.open(m.join("c/direct"), os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    with pytest.raises(OSError) as e:
        os.pwrite(fd, page, 0)
        os.pwrite(fd, page, 4 << 20)
    assert e.value.errno == errno.EDQUOT
    os.close(fd)
    m.umount()
    quotas.verify(quota_image)


def test_a_full_quota_refuses_new_names_but_not_deletions(subject, quota_image):
    limited(quota_image, (quotas.OnDisk(quota_image).sums["0/258"][0] + 40_000, "0/258"))
    m = subject.mount(quota_image, "noatime")
    for call in (lambda: os.mkdir(m.join("c/dir")), lambda: os.link(m.join("c/f1"), m.join("c/link")),
                 lambda: os.symlink("x", m.join("c/symlink")), lambda: os.setxattr(m.join("c/f1"), "user.a", b"1")):
        with pytest.raises(OSError) as e:
            call()
        assert e.value.errno == errno.EDQUOT
    os.mkdir(m.join("a/dir"))
    for i in range(60):
        os.unlink(m.join(f"c/f{i}"))
    ioctls.sync_fs(m.path)
    os.mkdir(m.join("c/dir"))
    m.umount()
    quotas.verify(quota_image)


def test_overwriting_within_a_limit_goes_on(subject, quota_image):
    """Old and new extents count together only until a commit: who overwrites the same file again and again is not refused."""
    limited(quota_image, (quotas.OnDisk(quota_image).sums["0/258"][0] + (4 << 20), "0/258"))
    m = subject.mount(quota_image, "noatime")
    for _ in range(12):
        files.write(m.join("c/again"), os.urandom(1 << 20), sync=False)
        ioctls.sync_fs(m.path)
    for _ in range(12):
        files.write(m.join("c/again"), os.urandom(1 << 20))
    m.umount()
    quotas.verify(quota_image)


# ---- what arrives unfinished ----

def test_a_rescan_that_was_begun_is_finished(subject, quota_image):
    """While files change: what the scan has passed is accounted, what is before it is not."""
    quotas.begin_rescan(quota_image)
    assert quotas.OnDisk(quota_image).flags & quotas.RESCAN
    m = subject.mount(quota_image, "noatime")
    rng = random.Random(5)
    for _ in range(100):
        change(rng, m.path)
    m.umount()
    quotas.verify(quota_image)


def test_a_rescan_survives_a_crash_and_a_relocation(subject, quota_image):
    quotas.begin_rescan(quota_image)
    m = subject.mount(quota_image, "noatime")
    assert ioctls.balance(m.path, data={}, metadata={}).error == 0
    ioctls.sync_fs(m.path)
    m.kill()
    subject.mount(quota_image, "noatime").umount()
    quotas.verify(quota_image)


def test_inconsistent_stays_inconsistent(subject, quota_image):
    with KernelMount(quota_image, "noatime") as mnt:
        btrfs("qgroup", "assign", "--no-rescan", "0/260", "1/2", mnt)
    assert quotas.OnDisk(quota_image).flags & quotas.INCONSISTENT
    m = subject.mount(quota_image, "noatime")
    rng = random.Random(6)
    for _ in range(60):
        change(rng, m.path)
    m.umount()
    assert quotas.OnDisk(quota_image).flags & quotas.INCONSISTENT
    images.check(quota_image)
    with KernelMount(quota_image, "noatime") as mnt:
        quotas.rescan(mnt)
    quotas.verify(quota_image)


@pytest.mark.fuse_only
def test_a_crash_leaves_the_sums_of_the_last_commit(subject, quota_image):
    m = subject.mount(quota_image, "noatime")
    rng = random.Random(7)
    for _ in range(4):
        for _ in range(40):
            change(rng, m.path)
        ioctls.sync_fs(m.path)
        twin = images.copy(quota_image, quota_image + ".now")
        quotas.verify(twin)
    m.kill()
    quotas.verify(quota_image)


def test_orphans_leave_the_sums(subject, quota_image, scratch):
    with KernelMount(quota_image, "noatime") as mnt:
        fd = os.open(f"{mnt}/c/big", os.O_RDWR)
        os.unlink(f"{mnt}/c/big")
        ioctls.sync_fs(mnt)
        crashed = images.copy(quota_image, os.path.join(scratch, "crashed"))
        os.close(fd)
    before = quotas.OnDisk(crashed).sums["0/258"][0]
    m = subject.mount(crashed, "noatime,subvol=c")
    m.umount()
    assert quotas.verify(crashed).sums["0/258"][0] < before - 900_000


def test_a_replayed_log_is_accounted(subject, quota_image, scratch):
    """What the kernel's fsync left in a log reaches trees and sums together."""
    with KernelMount(quota_image, "noatime") as mnt:
        for name in ("a", "a-snap", "c"):
            files.write(f"{mnt}/{name}/f9", os.urandom(100_000), 20_000, sync=True)
            files.write(f"{mnt}/{name}/new", os.urandom(300_000), sync=True)
        os.truncate(f"{mnt}/b/big", 500_000)
        files.write(f"{mnt}/b/big", b"x", 10, sync=True)
        crashed = images.copy(quota_image, os.path.join(scratch, "crashed"))
    assert images.super_field(crashed, "log_root") != "0"
    m = subject.mount(crashed, "noatime")
    assert os.path.getsize(m.join("c/new")) == 300_000
    m.umount()
    quotas.verify(crashed)
