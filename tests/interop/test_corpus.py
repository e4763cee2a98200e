"""The corpus: images in every form that mkfs and the kernel of this machine make, filled with everything. Each reads as the
kernel reads it; then btrfuse changes it, and it still does, for check, scrub and the kernel's log as well."""
import os
import random

import pytest

from harness import devices, treeview
from harness.kernel import KernelMount
from interop import filling
from interop.corpus import RECIPES

pytestmark = pytest.mark.fuse_only
SIZE_MIB = {1: 700, 2: 500, 3: 500, 4: 500}


def make(folder, recipe):
    paths = devices.make(folder, [SIZE_MIB[recipe.devices]] * recipe.devices, *recipe.mkfs)
    with kernel(paths, recipe.mount) as mnt:
        os.mkdir(f"{mnt}/all")
        filling.everything(f"{mnt}/all", 1)
        if recipe.life:
            filling.LIVES[recipe.life](mnt)
    return paths


def kernel(paths, options=""):
    return devices.KernelDevices(paths, options) if len(paths) > 1 else KernelMount(paths[0], options)


def kernel_view(paths):
    twins = devices.copy(paths, ".seen")
    try:
        with kernel(twins, "ro") as mnt:
            return treeview.look(mnt)
    finally:
        for twin in twins:
            os.unlink(twin)


def options(paths, *more):
    return ",".join(filter(None, [*more, devices.options(paths)]))


def change(mnt):
    """Random changes to what the kernel left, and new files of every kind beside it."""
    rng = random.Random(5)
    filling.change_some(f"{mnt}/all", rng)
    os.mkdir(f"{mnt}/ours")
    filling.everything_but_clones(f"{mnt}/ours", 2)
    for folder, _, names in list(os.walk(f"{mnt}/all")):
        for name in sorted(names):
            path, dice = os.path.join(folder, name), rng.randrange(9)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            if dice == 0:
                os.unlink(path)
            elif dice == 1:
                os.truncate(path, rng.randrange(200_000))
            elif dice == 2:
                filling.files.write(path, rng.randbytes(rng.randrange(40_000)), rng.randrange(100_000))


def chosen(full):
    return [name for name, recipe in RECIPES.items() if full or recipe.sample]


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", chosen(metafunc.config.getoption("--full")))


def test_reads_and_changes_like_the_kernel(subject, scratch, name):
    recipe = RECIPES[name]
    paths = make(scratch, recipe)
    want = kernel_view(paths)
    m = subject.mount(paths[0], options(paths, "ro"))
    treeview.assert_same(treeview.look(m.path), want, ("ours", "kernel"))
    m.umount()
    m = subject.mount(paths[0], options(paths, recipe.mount, "noatime"))
    treeview.assert_same(treeview.look(m.path), want, ("ours, writable", "kernel"))
    change(m.path)
    view = treeview.look(m.path)
    m.umount()
    treeview.assert_same(view, kernel_view(paths), ("ours", "kernel"))
    devices.judge(paths)


def test_corpus_is_a_corpus():
    assert len(RECIPES) >= 60
