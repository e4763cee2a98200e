"""The ioctls of quotas: on and off, groups, members, limits, rescan; the kernel and its rescan agree with what comes of them."""
import errno
import os
import random

import pytest

from harness import files, ioctls, quotas
from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

from .test_quota import btrfs, change, fill, fill_until_refused, make_quota_image

GROUP = 1 << 48


def make_plain_image(path):
    images.make(path, 512)
    with KernelMount(path, "noatime") as mnt:
        for name in "abc":
            btrfs("subvolume", "create", f"{mnt}/{name}")
        fill(mnt)
        for source, snapshot in (("a", "a-snap"), ("b", "b-snap"), ("b-snap", "b-snap2")):
            btrfs("subvolume", "snapshot", f"{mnt}/{source}", f"{mnt}/{snapshot}")


@pytest.fixture
def plain_image(image_cache, scratch):
    return image_cache("no-quota", make_plain_image, os.path.join(scratch, "plain"))


@pytest.fixture
def quota_image(image_cache, scratch):
    return image_cache("quota", make_quota_image, os.path.join(scratch, "quota"))


def refused(call, *args):
    with pytest.raises(OSError) as e:
        call(*args)
    return e.value.errno


def test_enabling_counts_what_is_there(subject, plain_image):
    m = subject.mount(plain_image, "noatime")
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    rng = random.Random(1)
    for _ in range(150):
        change(rng, m.path)
    ioctls.quota_rescan_wait(m.path)
    assert ioctls.quota_rescan_status(m.path)[0] == 0
    m.umount()
    assert set(quotas.verify(plain_image).sums) == {"0/5", *(f"0/{i}" for i in range(256, 262))}


def test_disabling_takes_the_tree_away(subject, quota_image):
    m = subject.mount(quota_image, "noatime")
    files.write(m.join("a/f1"), b"x" * 70_000)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_DISABLE)
    assert refused(ioctls.qgroup_create, m.path, GROUP | 9) == errno.ENOTCONN
    assert refused(ioctls.quota_ctl, m.path, ioctls.QUOTA_DISABLE) == errno.ENOTCONN
    m.umount()
    images.judge(quota_image)
    assert "QUOTA_TREE" not in images.dump_tree(quota_image, "-t", "root")
    m = subject.mount(quota_image, "noatime")
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_DISABLE)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    ioctls.quota_rescan_wait(m.path)
    m.umount()
    quotas.verify(quota_image)


def test_groups_members_and_limits(subject, plain_image):
    """The same steps here and in the kernel: the same answers, the same sums."""
    twin = images.copy(plain_image, plain_image + ".twin")
    m = subject.mount(plain_image, "noatime")
    ours = group_steps(m.path)
    m.umount()
    with KernelMount(twin, "noatime") as mnt:
        theirs = group_steps(mnt)
    assert ours == theirs
    assert quotas.verify(plain_image).sums.keys() == quotas.OnDisk(twin).sums.keys()
    assert quotas.relations(plain_image) == quotas.relations(twin)
    m = subject.mount(plain_image, "noatime")
    assert fill_until_refused(m.join("c/new")) <= 60 << 20
    m.umount()


def answer(call, *args):
    """What a call returns, or its error."""
    try:
        return call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]


def group_steps(mnt):
    ioctls.quota_ctl(mnt, ioctls.QUOTA_ENABLE)
    ioctls.quota_rescan_wait(mnt)
    answers = [answer(ioctls.qgroup_create, mnt, g) for g in (GROUP | 1, GROUP | 2, 2 * GROUP | 1, GROUP | 1, 0, 256)]
    answers += [answer(ioctls.qgroup_assign, mnt, child, parent) for child, parent in
                ((258, GROUP | 1), (GROUP | 1, 2 * GROUP | 1), (258, GROUP | 1), (GROUP | 2, GROUP | 1), (258, GROUP | 77))]
    shared = answer(ioctls.qgroup_assign, mnt, 257, GROUP | 2)      # shares extents with its snapshots
    answers += [answer(ioctls.qgroup_destroy, mnt, g) for g in (GROUP | 2, GROUP | 99, 2 * GROUP | 1)]
    answers += [answer(ioctls.qgroup_unassign, mnt, child, parent) for child, parent in
                ((GROUP | 1, 2 * GROUP | 1), (GROUP | 1, 2 * GROUP | 1))]
    answers.append(answer(ioctls.qgroup_destroy, mnt, 2 * GROUP | 1))
    answers += [answer(ioctls.qgroup_limit, mnt, GROUP | 1, 50 << 20), answer(ioctls.qgroup_limit, mnt, GROUP | 99, 1)]
    ioctls.sync_fs(mnt)
    ioctls.quota_rescan(mnt)
    ioctls.quota_rescan_wait(mnt)
    return answers, shared


def test_a_rescan_makes_inconsistent_sums_right(subject, quota_image):
    with KernelMount(quota_image, "noatime") as mnt:
        btrfs("qgroup", "assign", "--no-rescan", "0/260", "1/2", mnt)
    m = subject.mount(quota_image, "noatime")
    ioctls.quota_rescan(m.path)
    ioctls.quota_rescan_wait(m.path)
    m.umount()
    quotas.verify(quota_image)


def test_limits_of_the_own_group_and_taking_them_away(subject, quota_image):
    m = subject.mount(quota_image, "noatime")
    most = quotas.OnDisk(quota_image).sums["0/258"][0] + (2 << 20)
    ioctls.qgroup_limit(m.join("c"), 0, most)
    assert fill_until_refused(m.join("c/new")) <= 2 << 20
    ioctls.qgroup_limit(m.path, 258, (1 << 64) - 1)
    files.write(m.join("c/more"), os.urandom(4 << 20))
    m.umount()
    quotas.verify(quota_image)


def test_members_that_share_nothing_need_no_rescan(subject, quota_image):
    m = subject.mount(quota_image, "noatime")
    ioctls.qgroup_create(m.path, 3 * GROUP | 7)
    assert ioctls.qgroup_assign(m.path, 5, 3 * GROUP | 7) == 0
    m.umount()
    sums = quotas.verify(quota_image).sums
    assert sums["3/7"] == sums["0/5"]
    m = subject.mount(quota_image, "noatime")
    assert ioctls.qgroup_unassign(m.path, 5, 3 * GROUP | 7) == 0
    m.umount()
    assert quotas.verify(quota_image).sums["3/7"] == (0, 0)


def table(text):
    """Rows of `qgroup show` without the column of paths."""
    return [line.split()[:7] for line in text.splitlines() if line[:1].isdigit()]


@pytest.mark.fuse_only
def test_btrfusectl_speaks_like_btrfs(subject, build, quota_image):
    def ctl(*argv, code=0):
        done = run(os.path.join(build, "fuse", "btrfusectl"), *argv, check=False)
        assert done.returncode == code, (argv, done.out)
        return done.out

    m = subject.mount(quota_image, "noatime")
    ctl("qgroup", "create", "1/5", m.path)
    ctl("qgroup", "create", "1/5", m.path, code=1)
    assert "rescan scheduled" in ctl("qgroup", "assign", "0/257", "1/5", m.path)
    ctl("quota", "rescan", "-W", m.path)
    ctl("qgroup", "limit", "700m", "1/5", m.path)
    ctl("qgroup", "limit", "-e", "2G", "1/1", m.path)
    assert "started" in ctl("quota", "rescan", "-w", m.path)
    assert ctl("quota", "rescan", "-s", m.path) == "no rescan operation in progress\n"
    ours = ctl("qgroup", "show", "--raw", "-pcre", m.path)
    assert len(table(ctl("qgroup", "show", "-f", m.join("c")))) == 1
    m.umount()
    quotas.verify(quota_image)
    with KernelMount(quota_image, "ro") as mnt:
        theirs = run("btrfs", "qgroup", "show", "--raw", "-pcre", mnt).stdout
    assert table(ours) == table(theirs)
    m = subject.mount(quota_image, "noatime")
    ctl("qgroup", "limit", "none", "1/5", m.path)
    ctl("qgroup", "remove", "0/257", "1/5", m.path)
    ctl("qgroup", "destroy", "1/5", m.path)
    ctl("quota", "disable", m.path)
    assert "not enabled" in ctl("qgroup", "show", m.path, code=1)
    ctl("quota", "enable", m.path)
    m.umount()
    images.check(quota_image)
