"""Simple quotas: an extent is its first owner's, whoever shares it, from its making to its end."""
import os
import random

import pytest

from harness import files, ioctls, quotas, simple_quotas
from harness import image as images
from harness.kernel import KernelMount
from harness.shell import CommandFailed, run

from .test_quota import btrfs, change, fill, fill_until_refused, limited
from .test_quota_ioctls import make_plain_image


def make_simple_image(path):
    """Like the image for full accounting; some of it is older than the quotas."""
    images.make(path, 512)
    with KernelMount(path, "noatime") as mnt:
        for name in "abc":
            btrfs("subvolume", "create", f"{mnt}/{name}")
        files.write(f"{mnt}/a/older", os.urandom(200_000))
        ioctls.sync_fs(mnt)
        simple_quotas.enable(mnt)
        for group in ("1/1", "1/2", "2/1"):
            btrfs("qgroup", "create", group, mnt)
        for child, parent in (("0/256", "1/1"), ("0/257", "1/1"), ("0/258", "1/2"), ("1/1", "2/1"), ("1/2", "2/1")):
            run("btrfs", "qgroup", "assign", "--no-rescan", child, parent, mnt, check=False)
        fill(mnt)
        ioctls.sync_fs(mnt)
        for source, snapshot in (("a", "a-snap"), ("b", "b-snap"), ("b-snap", "b-snap2")):
            btrfs("subvolume", "snapshot", f"{mnt}/{source}", f"{mnt}/{snapshot}")
        files.write(f"{mnt}/b/f3", os.urandom(30_000))


@pytest.fixture
def simple_image(image_cache, scratch):
    return image_cache("simple-quota", make_simple_image, os.path.join(scratch, "simple"))


def test_the_simple_image_is_right_to_begin_with(simple_image):
    sums = simple_quotas.verify(simple_image)
    assert sums["2/1"] > 5_000_000 and sums["1/2"] > 1_000_000


@pytest.mark.parametrize("seed,options", [(1, "noatime"), (2, "noatime,compress=zstd")])
def test_random_changes_keep_simple_sums(subject, simple_image, full, seed, options):
    rng = random.Random(seed)
    for _ in range(6 if full else 2):
        m = subject.mount(simple_image, options)
        for _ in range(250):
            change(rng, m.path)
        m.umount()
        simple_quotas.verify(simple_image)


def test_relocation_changes_no_simple_sums(subject, simple_image):
    """But for the top nodes, which are new."""
    before = simple_quotas.verify(simple_image)
    m = subject.mount(simple_image, "noatime")
    assert ioctls.balance(m.path, data={}, metadata={}).error == 0
    m.umount()
    after = simple_quotas.verify(simple_image)
    assert {g: s for g, s in after.items() if abs(s - before[g]) > 16384} == {}


def test_a_limit_of_simple_quotas_refuses(subject, simple_image):
    limited(simple_image, ((4 << 20) + simple_quotas.verify(simple_image)["1/2"], "1/2"))
    m = subject.mount(simple_image, "noatime")
    assert 3 << 20 <= fill_until_refused(m.join("c/new")) <= 4 << 20
    m.umount()
    simple_quotas.verify(simple_image)


def test_the_kernel_goes_on_counting(subject, simple_image):
    """Extents that we made are given back by the kernel, and the other way round."""
    rng = random.Random(4)
    m = subject.mount(simple_image, "noatime")
    for _ in range(150):
        change(rng, m.path)
    m.umount()
    with KernelMount(simple_image, "noatime,commit=1") as mnt:
        for _ in range(150):
            change(rng, mnt)
        btrfs("subvolume", "delete", f"{mnt}/b-snap")
        btrfs("subvolume", "sync", mnt)
        btrfs("subvolume", "snapshot", f"{mnt}/b", f"{mnt}/b-snap")
    simple_quotas.verify(simple_image)
    m = subject.mount(simple_image, "noatime")
    for _ in range(150):
        change(rng, m.path)
    m.umount()
    simple_quotas.verify(simple_image)


# ---- switched on by us ----

def check(progs, image):
    """Who knows simple quotas counts them, too."""
    out = progs.run("btrfs", "check", "--check-data-csum", image).out
    assert "no error found" in out and "WARNING" not in out and "ERROR" not in out and "ounts for qgroup" not in out, out


@pytest.fixture
def plain_image(image_cache, scratch):
    return image_cache("no-quota", make_plain_image, os.path.join(scratch, "plain"))


def test_newer_programs_see_wrong_simple_sums(simple_image, progs):
    """The judge of the next tests judges."""
    check(progs, simple_image)
    with progs.in_use():
        quotas.patch(simple_image, quotas.no_sums)
    with pytest.raises((AssertionError, CommandFailed)):
        check(progs, simple_image)


@pytest.mark.parametrize("options", ["noatime,compress=zstd"])
def test_simple_quotas_begin_here(subject, plain_image, progs, options):
    """Amid changes and in a subvolume with extents that are older; then balanced, changed by the kernel, and by us again."""
    rng = random.Random(9)
    m = subject.mount(plain_image, options)
    for i in range(200):
        change(rng, m.path)
        if i == 60:
            ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE_SIMPLE)
            ioctls.qgroup_create(m.path, 1 << 48 | 1)
            assert ioctls.qgroup_assign(m.path, 258, 1 << 48 | 1) == 0
    m.umount()
    assert simple_quotas.verify(plain_image)["1/1"] > 0
    check(progs, plain_image)
    m = subject.mount(plain_image, options)
    assert ioctls.balance(m.path, data={}, metadata={}).error == 0
    m.umount()
    simple_quotas.verify(plain_image)
    with KernelMount(plain_image, options + ",commit=1") as mnt:
        for _ in range(100):
            change(rng, mnt)
        btrfs("subvolume", "delete", f"{mnt}/b-snap")
        btrfs("subvolume", "sync", mnt)
        btrfs("subvolume", "snapshot", f"{mnt}/a", f"{mnt}/b-snap")
    simple_quotas.verify(plain_image)
    m = subject.mount(plain_image, options)
    for _ in range(100):
        change(rng, m.path)
    m.umount()
    simple_quotas.verify(plain_image)
    check(progs, plain_image)


@pytest.mark.fuse_only
def test_a_crash_after_simple_quotas_began(subject, plain_image, progs):
    m = subject.mount(plain_image, "noatime,commit=300")
    for i in range(40):
        files.write(m.join(f"a/before{i}"), os.urandom(20_000))
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE_SIMPLE)
    for i in range(40):
        files.write(m.join(f"a/after{i}"), os.urandom(20_000), sync=i % 2 == 0)
    m.kill()
    twin = images.copy(plain_image)
    check(progs, plain_image)
    for image in (plain_image, twin):
        if image == twin:
            with KernelMount(image, "noatime") as mnt:      # replays what fsync left
                assert os.path.getsize(f"{mnt}/a/after38") == 20_000
        else:
            m = subject.mount(image, "noatime")
            assert os.path.getsize(m.join("a/after38")) == 20_000
            m.umount()
        assert simple_quotas.verify(image)["0/256"] >= 20 * 20_480
        check(progs, image)


def test_switching_between_kinds_of_quotas(subject, plain_image, progs):
    """What is on stays, whatever is asked for; extents with an owner outlive the simple quotas."""
    m = subject.mount(plain_image, "noatime")
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE_SIMPLE)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    files.write(m.join("a/owned"), os.urandom(300_000))
    m.umount()
    assert simple_quotas.verify(plain_image)["0/256"] > 300_000
    m = subject.mount(plain_image, "noatime")
    ioctls.quota_ctl(m.path, ioctls.QUOTA_DISABLE)
    m.umount()
    check(progs, plain_image)
    m = subject.mount(plain_image, "noatime")
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE_SIMPLE)
    ioctls.quota_rescan_wait(m.path)
    assert ioctls.balance(m.path, data={}).error == 0
    files.write(m.join("b/new"), os.urandom(100_000))
    os.unlink(m.join("a/owned"))
    m.umount()
    with KernelMount(plain_image, "noatime") as mnt:    # btrfs check takes the feature for the kind of quotas
        sums = quotas.shown(mnt)
        quotas.rescan(mnt)
        assert quotas.shown(mnt) == sums
    m = subject.mount(plain_image, "noatime")
    ioctls.quota_ctl(m.path, ioctls.QUOTA_DISABLE)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE_SIMPLE)
    files.write(m.join("a/again"), os.urandom(200_000))
    m.umount()
    simple_quotas.verify(plain_image)
    check(progs, plain_image)


@pytest.mark.fuse_only
def test_btrfusectl_begins_simple_quotas(subject, build, plain_image):
    m = subject.mount(plain_image, "noatime")
    ctl = os.path.join(build, "fuse", "btrfusectl")
    assert run(ctl, "quota", "enable", "--sample", m.path, check=False).returncode == 1
    run(ctl, "quota", "enable", "--simple", m.path)
    m.umount()
    simple_quotas.verify(plain_image)
    m = subject.mount(plain_image, "noatime")
    run(ctl, "quota", "disable", m.path)
    run(ctl, "quota", "enable", "-s", m.path)
    m.umount()
    simple_quotas.verify(plain_image)
