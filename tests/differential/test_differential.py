"""The subject and a kernel btrfs side by side: 1,500 random operations with balances running, then every view compared.

Three seeds by default, twenty with --full; as many again where SIGKILL takes the place of the unmount.
"""
import os
import threading
import time

import pytest

from harness import files, image as images, ioctls, treeview
from harness.kernel import KernelMount

from .operations import Divergence, Player

OPERATIONS = 1500


def seeds(metafunc, name, few, many):
    if name in metafunc.fixturenames:
        metafunc.parametrize(name, range(1, 1 + (many if metafunc.config.getoption("--full") else few)))


def pytest_generate_tests(metafunc):
    seeds(metafunc, "seed", 3, 20)
    seeds(metafunc, "kill_seed", 2, 20)


class Balances(threading.Thread):
    """Balances everything again and again until it is told to stop."""

    def __init__(self, mnt):
        super().__init__(daemon=True)
        self.mnt, self.stopping, self.done, self.bad = mnt, threading.Event(), 0, None
        self.start()

    def run(self):
        while not self.stopping.is_set():
            result = ioctls.balance(self.mnt, data={}, metadata={}, system={})
            if result.error:
                self.bad = self.bad or (None if self.stopping.is_set() else result)
                return
            self.done += 1
            time.sleep(0.05)

    def finish(self, cancel=False):
        self.stopping.set()
        if cancel and self.is_alive():
            ioctls.balance_cancel(self.mnt)
        self.join(60)
        assert not self.is_alive(), "a balance does not end"
        assert not self.bad, self.bad


@pytest.fixture
def reference(scratch):
    path = images.make(os.path.join(scratch, "reference"))
    mount = KernelMount(path)
    mount.mount()
    yield mount.path
    mount.umount()


def test_side_by_side(subject, image, reference, seed):
    m = subject.mount(image)
    player, balances = Player([m.path, reference], seed), Balances(m.path)
    try:
        player.run(OPERATIONS)
    except Divergence as e:
        raise AssertionError(f"{e}\n{'' if subject.is_kernel else m.stderr()[-3000:]}") from None
    finally:
        balances.finish()
    assert balances.done >= 1
    # which blocks of a preallocated range count as data depends on when they were flushed, in the kernel too (two kernels
    # side by side differ): holes are compared between the views of one image, below
    treeview.assert_same(treeview.look(m.path, holes=False), treeview.look(reference, holes=False),
                         ("subject", "kernel btrfs"))
    live = treeview.look(m.path)
    m.umount()
    images.judge(image, f"seed {seed}")
    m = subject.mount(image, "ro")
    treeview.assert_same(live, treeview.look(m.path), ("live", "remounted"))
    m.umount()
    with KernelMount(image, "ro") as mnt:
        treeview.assert_same(live, treeview.look(mnt), ("live", "the kernel's view"))


@pytest.mark.fuse_only
def test_sigkill(subject, image, reference, kill_seed):
    m = subject.mount(image)
    player, balances = Player([m.path, reference], 1000 + kill_seed), Balances(m.path)
    player.run(OPERATIONS // 3 + 37 * kill_seed)
    balances.stopping.set()
    m.kill()
    balances.join(30)
    assert not balances.is_alive(), "the balance's caller hangs after SIGKILL"
    images.judge(image, f"seed {kill_seed}")
    with KernelMount(image, "ro") as mnt:
        for path, (_, content) in player.synced.items():
            assert os.path.exists(os.path.join(mnt, path)), f"{path}: fsynced, and gone"
            assert files.read(os.path.join(mnt, path)) == content, f"{path}: fsynced, and changed"
    m = subject.mount(image)
    treeview.look(m.path)
    m.umount()
    images.check(image)
