"""Random operations on btrfuse and on the kernel at once: every answer and every view the same, balances or not."""
import os

import pytest

from . import starts
from .campaign import Campaign, Plan

OPTIONS = ("", "commit=1", "cache_size=32M", "threads=2", "commit=1,cache_size=8M,threads=3", "noatime")
COMPRESSIONS = ("zstd", "lzo", "zlib:9")


def start_image(image_cache, scratch, seed):
    """Every other seed starts from an image that the kernel has lived in."""
    maker = (starts.fresh, starts.lived_in)[seed % 2]
    return image_cache(f"differential-{maker.__name__}", maker, os.path.join(scratch, "img"))


def plan_of(seed, **kw):
    return Plan(seed, options=OPTIONS[seed // 2 % len(OPTIONS)], **kw)


def pytest_generate_tests(metafunc):
    full = metafunc.config.getoption("--full")
    for name, first, short, long in (("seed", 0, 3, 20), ("kill_seed", 1000, 3, 20), ("sanitized_seed", 2000, 2, 6),
                                     ("compressed_seed", 3000, 3, 21), ("full_seed", 4000, 2, 20)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, range(first, first + (long if full else short)))


def test_same_as_the_kernel(subject, image_cache, scratch, seed):
    Campaign(subject, start_image(image_cache, scratch, seed), plan_of(seed)).run()


def test_compressed(subject, image_cache, scratch, compressed_seed):
    """Everything that is written is compressed, too."""
    plan = Plan(compressed_seed, options=f"compress-force={COMPRESSIONS[compressed_seed % 3]}")
    Campaign(subject, start_image(image_cache, scratch, compressed_seed), plan).run()


@pytest.mark.fuse_only
def test_killed(subject, image_cache, scratch, kill_seed):
    """SIGKILL in the middle: what was fsynced is whole, the kernel and btrfs check have nothing to say."""
    Campaign(subject, start_image(image_cache, scratch, kill_seed), plan_of(kill_seed, kill=True, reference=False)).run()


@pytest.mark.fuse_only
def test_sanitized(subject, image_cache, scratch, sanitized_seed):
    """Shorter, because a build with sanitizers is meant to run this one."""
    Campaign(subject, start_image(image_cache, scratch, sanitized_seed), plan_of(sanitized_seed, operations=500)).run()


@pytest.mark.fuse_only
def test_nearly_full(subject, scratch, full_seed):
    """Next to no space left, and balances that want some: ENOSPC here and there, and nothing worse."""
    image = os.path.join(scratch, "img")
    starts.fresh(image, 160)
    Campaign(subject, image, plan_of(full_seed, reference=False, ballast_leaves=(1 + full_seed % 7) << 21)).run()
