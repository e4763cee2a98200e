"""Damaged images end in data or errors: never in a crash, a hang, much memory, or a write to what is opened read-only.

A fixed sample each time, other seeds with --full. Meant for a build with sanitizers; a seed that fails is repeated with
`build/tests/fuzz/fuzz-image WORKFILE SEED 1 BASE...` on the same three images."""
import json
import os
import subprocess
import time

import pytest

from . import bases
from harness import copying, image as images, places
from harness.shell import run

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "images", "expected.json")) as f:
    STORED = json.load(f)


@pytest.fixture(scope="session")
def fuzz_bases(session_scratch):
    return bases.make(session_scratch)


@pytest.fixture(scope="session")
def fuzzer(build):
    return os.path.join(build, "tests", "fuzz", "fuzz-image")


def seeds(full, sample):
    """First seed and count."""
    return (int(time.time()) << 16, sample * 40) if full else (1, sample)


def fuzz(*argv, timeout=1500):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (argv, (done.stdout + done.stderr)[-6000:])


def test_checkers(fuzzer, fuzz_bases, full):
    fuzz(fuzzer, "-c", *seeds(full, 30_000), *fuzz_bases)


def test_damaged_images(fuzzer, fuzz_bases, full, scratch):
    fuzz(fuzzer, os.path.join(scratch, "work"), *seeds(full, 60), *fuzz_bases)


# ---- images with a history: what once broke btrfs-progs or the kernel ----

def restore(name, folder):
    """A stored image, whole or dumped by btrfs-image, both maybe packed."""
    packed, out = os.path.join(HERE, "images", name), os.path.join(folder, "img")
    if name.endswith(".xz"):
        plain = os.path.join(folder, "plain")
        with open(plain, "wb") as f:
            subprocess.run(["xz", "-dc", packed], stdout=f, check=True)
        packed = plain
    if ".raw" in name:
        copying.sparse_copy(packed, out)
    else:
        run("btrfs-image", "-r", packed, out)
    return out


@pytest.mark.parametrize("name", STORED)
def test_stored(fuzzer, scratch, name):
    """Read-only (nothing is written), then read-write; a valid one is valid afterwards."""
    image = restore(name, scratch)
    before = images.sha256(image)
    fuzz(fuzzer, "-o", image, "ro", timeout=60)
    assert images.sha256(image) == before
    fuzz(fuzzer, "-o", image, "rw", timeout=60)
    if STORED[name] == "valid":
        images.check(image, csums=False)
        assert images.sha256(image) != before, "nothing was written"
