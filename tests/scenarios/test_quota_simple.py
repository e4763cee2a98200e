"""Simple quotas: an extent is its first owner's, whoever shares it, from its making to its end."""
import os
import random

import pytest

from harness import files, ioctls, simple_quotas
from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

from .test_quota import btrfs, change, fill, fill_until_refused, limited


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
