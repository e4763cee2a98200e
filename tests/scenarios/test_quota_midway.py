"""Quotas whose accounting fails, whose image is odd, whose groups change while writers and rescans are on their way."""
import errno
import os
import threading

import pytest

from harness import files, ioctls, quotas
from harness import image as images
from harness.kernel import KernelMount
from harness.shell import wait_until
from harness.tree_items import search

from .test_quota import btrfs, fill_until_refused, make_quota_image
from .test_quota_ioctls import GROUP, refused
from .test_quota_simple import make_simple_image

EXTENTS = 34_000                    # more than accounting holds back until a commit
ROOT_TREE, QUOTA_TREE, ROOT_ITEM = 1, 8, 132
END = (1 << 64) - 4096


@pytest.fixture
def quota_image(image_cache, scratch):
    return image_cache("quota", make_quota_image, os.path.join(scratch, "quota"))


def make_many_extents(path):
    """A file of single blocks with holes between them."""
    make_quota_image(path)
    with KernelMount(path, "noatime") as mnt:
        fd = os.open(f"{mnt}/c/many", os.O_CREAT | os.O_RDWR)
        for i in range(EXTENTS):
            os.pwrite(fd, b"x" * 4096, i * 8192)
        os.close(fd)


@pytest.fixture
def many_extents(image_cache, scratch):
    return image_cache("quota-many-extents", make_many_extents, os.path.join(scratch, "many"))


def generation(image):
    return int(images.super_field(image, "generation"))


def test_a_limit_without_a_group_is_nobodys(subject, quota_image):
    quotas.patch(quota_image, quotas.without(quotas.INFO_KEY, 2 * GROUP | 1))
    m = subject.mount(quota_image, "noatime")
    ioctls.quota_rescan(m.path)
    ioctls.quota_rescan_wait(m.path)
    files.write(m.join("c/new"), os.urandom(100_000))
    ioctls.sync_fs(m.path)
    ioctls.qgroup_create(m.path, 2 * GROUP | 1)
    ioctls.qgroup_limit(m.path, 2 * GROUP | 1, 1 << 30)
    m.umount()
    assert quotas.OnDisk(quota_image).sums["2/1"] == (0, 0)


def test_a_group_without_a_limit_item_gets_one(subject, quota_image):
    quotas.patch(quota_image, quotas.without(quotas.LIMIT_KEY, 5))
    m = subject.mount(quota_image, "noatime")
    ioctls.qgroup_limit(m.path, 5, (2 << 20) + quotas.OnDisk(quota_image).sums["0/5"][0])
    assert fill_until_refused(m.join("new")) <= 2 << 20
    m.umount()
    quotas.verify(quota_image)


def test_accounting_that_has_failed_costs_nothing_and_a_rescan_begins_it_again(subject, many_extents):
    quotas.patch(many_extents, quotas.no_sums)
    m = subject.mount(many_extents, "noatime,commit=300")
    os.truncate(m.join("c/big"), 0)             # takes away more than the sum says is there
    ioctls.sync_fs(m.path)
    assert quotas.OnDisk(many_extents).flags & quotas.INCONSISTENT
    os.truncate(m.join("c/many"), 0)
    before = generation(many_extents)
    for i in range(100):
        os.mkdir(m.join(f"a/dir{i}"))
    assert generation(many_extents) - before < 20
    ioctls.quota_rescan(m.path)
    ioctls.quota_rescan_wait(m.path)
    files.write(m.join("b/after"), os.urandom(200_000))
    m.umount()
    quotas.verify(many_extents)


def test_members_that_share_change_during_a_rescan(subject, many_extents):
    m = subject.mount(many_extents, "noatime")
    ioctls.qgroup_create(m.path, GROUP | 9)
    ioctls.quota_rescan(m.path)
    assert ioctls.qgroup_assign(m.path, 257, GROUP | 9) == 0
    ioctls.quota_rescan_wait(m.path)
    m.umount()
    quotas.verify(many_extents)


def test_a_rescan_begins_again_after_somebody_who_did_not_account(subject, quota_image):
    quotas.patch(quota_image, quotas.scanning(END, generation(quota_image) - 1), quotas.no_sums)
    m = subject.mount(quota_image, "noatime")
    ioctls.quota_rescan_wait(m.path)
    m.umount()
    quotas.verify(quota_image)


def test_what_was_promised_goes_with_the_member(subject, quota_image):
    group = GROUP | 9
    m = subject.mount(quota_image, "noatime")
    ioctls.qgroup_create(m.path, group)
    ioctls.qgroup_assign(m.path, 5, group)
    files.write(m.join("promised"), os.urandom(3 << 20))
    ioctls.qgroup_unassign(m.path, 5, group)
    ioctls.sync_fs(m.path)
    ioctls.qgroup_assign(m.path, 5, group)
    ioctls.qgroup_limit(m.path, group, (8 << 20) + quotas.OnDisk(quota_image).sums["1/9"][0])
    assert fill_until_refused(m.join("new")) >= 6 << 20
    m.umount()
    quotas.verify(quota_image)


def make_dropped_image(path):
    """A subvolume of 1/2 has been deleted, but not its content."""
    make_quota_image(path)
    with KernelMount(path, "noatime") as mnt:
        btrfs("subvolume", "create", f"{mnt}/dropped")
        btrfs("qgroup", "assign", "--no-rescan", "0/262", "1/2", mnt)
        for i in range(3000):
            files.write(f"{mnt}/dropped/f{i}", b"%d" % i * 300)
    with KernelMount(path, "noatime,commit=300") as mnt:
        btrfs("subvolume", "delete", f"{mnt}/dropped")      # no time to begin


def test_a_destroyed_group_takes_its_sums_along(subject, image_cache, scratch):
    image = image_cache("quota-dropped", make_dropped_image, os.path.join(scratch, "dropped"))
    assert quotas.OnDisk(image).sums["0/262"][0] > 1 << 20, "the content is gone already"
    m = subject.mount(image, "noatime,commit=300")
    ioctls.qgroup_destroy(m.path, 262)
    m.umount()
    subject.mount(image, "noatime").umount()
    quotas.verify(image)


def test_a_group_that_owns_extents_stays_with_simple_quotas(subject, image_cache, scratch):
    image = image_cache("simple-quota", make_simple_image, os.path.join(scratch, "simple"))
    with KernelMount(image, "noatime,commit=1") as mnt:
        btrfs("subvolume", "delete", f"{mnt}/b")            # its snapshots hold what it owns
        btrfs("subvolume", "sync", mnt)
        theirs = refused(ioctls.qgroup_destroy, mnt, 257)
    m = subject.mount(image, "noatime")
    assert refused(ioctls.qgroup_destroy, m.path, 257) == theirs == errno.EBUSY
    m.umount()


def has_root(mnt, tree):
    fd = os.open(mnt, os.O_RDONLY)
    try:
        return bool(search(fd, ROOT_TREE, (tree, ROOT_ITEM, 0), (tree, ROOT_ITEM, END)))
    finally:
        os.close(fd)


def test_the_heir_of_a_deleted_snapshot_copies_what_it_has_alone_now(subject, quota_image):
    """In one transaction: the shared nodes are nobody's in the end, but what they led to has lost a holder."""
    with KernelMount(quota_image, "noatime,commit=300") as mnt:
        btrfs("subvolume", "delete", f"{mnt}/a-snap")       # no time to begin
    m = subject.mount(quota_image, "noatime,commit=300")
    wait_until(lambda: not has_root(m.path, 259), 10, what="the end of the deletion")
    for name in os.listdir(m.join("a")):
        os.utime(m.join("a", name))
    m.umount()
    quotas.verify(quota_image)


@pytest.mark.hooks
def test_nobody_waits_for_a_rescan_that_was_aborted(subject, many_extents):
    m = subject.mount(many_extents, "noatime,commit=300", hooks=True)
    m.hooks.fail("tx.super", "EIO")
    assert refused(ioctls.quota_rescan, m.path) == errno.EIO
    answer = []
    waiter = threading.Thread(target=lambda: answer.append(refused(ioctls.quota_rescan_wait, m.path)), daemon=True)
    waiter.start()
    waiter.join(10)
    assert answer == [errno.EROFS]
    m.kill()


@pytest.mark.fuse_only
def test_the_quota_tree_is_read_while_it_comes_and_goes(subject, quota_image):
    m = subject.mount(quota_image, "noatime")
    stop, found = threading.Event(), set()

    def read():
        fd = os.open(m.path, os.O_RDONLY)
        while not stop.is_set():
            try:
                found.add(len(search(fd, QUOTA_TREE)) > 5)
            except OSError as e:
                found.add(errno.errorcode[e.errno])
        os.close(fd)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        ioctls.quota_ctl(m.path, ioctls.QUOTA_DISABLE)
        ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    stop.set()
    for reader in readers:
        reader.join()
    assert "ENOENT" in found and True in found and found <= {"ENOENT", True, False}, found
    m.umount()
    quotas.verify(quota_image)
