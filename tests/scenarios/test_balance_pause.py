"""A balance that is paused: its item stays on disk, and whoever mounts next goes on, the kernel or btrfuse."""
import errno
import os
import select
import subprocess
import time

import pytest

from harness import files, image as images, ioctls, treeview
from harness.kernel import KernelMount
from harness.shell import run, wait_until

EVERYTHING = dict(data={}, metadata={}, system={})


def make_filled(path):
    images.make(path, 512)
    with KernelMount(path, "commit=300") as mnt:
        for n in range(6):
            files.write(f"{mnt}/big{n}", os.urandom(20 << 20))
        for n in range(1500):
            files.write(f"{mnt}/small{n}", os.urandom(3000))


@pytest.fixture
def filled(image_cache, scratch):
    return image_cache("pausable", make_filled, os.path.join(scratch, "pausable"))


def has_item(image):
    return "TEMPORARY_ITEM" in images.dump_tree(image, "-t", "root")


def wait_no_balance(mnt, seconds=60):
    wait_until(lambda: ioctls.balance_progress(mnt).error == errno.ENOTCONN, seconds, what="the balance to end")


def pause_in_the_middle(mnt, **kw):
    """Starts a balance, pauses it after its first chunk; its result."""
    balance = ioctls.BalanceThread(mnt, **kw)
    wait_until(lambda: ioctls.balance_progress(mnt).completed or not balance.is_alive(), 20, what="the first chunk")
    began = time.monotonic()
    error = ioctls.balance_pause(mnt)
    took = time.monotonic() - began
    assert error == 0, "the balance was over too soon"
    result = balance.finish()
    assert result.error == errno.ECANCELED and result.state & ioctls.STATE_PAUSE_REQ
    return result, took


def test_pause_and_resume(subject, filled):
    m = subject.mount(filled, "noatime")
    before = treeview.look(m.path)
    result, _ = pause_in_the_middle(m.path, **EVERYTHING)
    paused = ioctls.balance_progress(m.path)
    assert (paused.error, paused.state, paused.completed) == (0, 0, result.completed)
    assert ioctls.balance_pause(m.path) == errno.ENOTCONN
    assert ioctls.balance(m.path, **EVERYTHING).error == errno.EINPROGRESS
    assert ioctls.balance(m.path, flags=ioctls.RESUME).error == 0
    assert ioctls.balance(m.path, flags=ioctls.RESUME).error == errno.ENOTCONN
    treeview.assert_same(before, treeview.look(m.path))
    m.umount()
    assert not has_item(filled)
    images.judge(filled)


def test_cancel_of_a_paused_one(subject, filled):
    m = subject.mount(filled)
    pause_in_the_middle(m.path, **EVERYTHING)
    assert ioctls.balance_cancel(m.path) == 0
    assert ioctls.balance_cancel(m.path) == errno.ENOTCONN
    assert ioctls.balance(m.path, data=dict(usage=1)).error == 0
    m.umount()
    assert not has_item(filled)
    images.check(filled)


@pytest.mark.parametrize("first, second", [("ours", "kernel"), ("kernel", "ours"), ("ours", "ours")])
def test_the_next_mount_goes_on(subject, filled, first, second):
    """With skip_balance it stays paused; without, it ends, and the item with it."""
    def mounted(by, options=""):
        return KernelMount(filled, options).mount() if by == "kernel" else subject.mount(filled, options)
    m = mounted(first)
    pause_in_the_middle(m.path, **EVERYTHING)
    m.umount()
    assert has_item(filled)
    images.check(filled)
    m = mounted(second, "skip_balance")
    skipped = ioctls.balance_progress(m.path)
    assert (skipped.error, skipped.state) == (0, 0)
    m.umount()
    assert has_item(filled)
    m = mounted(second)
    wait_no_balance(m.path)
    m.umount()
    assert not has_item(filled)
    images.judge(filled)


def test_same_item_as_the_kernels(subject, filled):
    """Byte for byte, filters included."""
    kw = dict(data=dict(usage=(0, 99), limit=(1, 7), vrange=(1 << 20, 1 << 40)), metadata=dict(devid=1, drange=(0, 1 << 40)),
              system=dict(stripes=(1, 2)))
    twin = images.copy(filled, filled + ".twin")
    items = []
    for path, m in ((twin, KernelMount(twin).mount()), (filled, subject.mount(filled))):
        pause_in_the_middle(m.path, **kw)
        m.umount()
        items.append(item_bytes(path))
    assert items[0] == items[1]


def item_bytes(image):
    """The item as `dump-tree` prints it."""
    lines = images.dump_tree(image, "-t", "root").splitlines()
    at = next(i for i, line in enumerate(lines) if "BALANCE TEMPORARY_ITEM" in line)
    rest = [line for line in lines[at + 1:] if line.startswith("\t\t")]
    return [lines[at].split("itemsize")[1], *rest]


def test_unmount_pauses(subject, filled):
    m = subject.mount(filled)
    balance = ioctls.BalanceThread(m.path, **EVERYTHING)
    wait_until(lambda: ioctls.balance_progress(m.path).completed, 20, what="the first chunk")
    if subject.is_kernel:
        pytest.skip("the kernel's mount is busy while somebody waits for the balance")
    m.process.terminate()
    assert m.process.wait(30) == 0, m.stderr()
    balance.finish()
    assert has_item(filled)
    images.judge(filled)


@pytest.mark.fuse_only
def test_killed_and_mounted_again(subject, filled):
    m = subject.mount(filled)
    ioctls.BalanceThread(m.path, **EVERYTHING)
    wait_until(lambda: ioctls.balance_progress(m.path).completed, 20, what="the first chunk")
    m.kill()
    assert has_item(filled)
    images.check(filled)
    m = subject.mount(filled)
    wait_no_balance(m.path)
    m.umount()
    assert not has_item(filled)
    images.judge(filled)


@pytest.mark.fuse_only
def test_control_tool_says_what_progs_say(subject, filled):
    twin = images.copy(filled, filled + ".twin")
    said = []
    for tool, m in (("btrfs", KernelMount(twin).mount()), (subject.ctl, subject.mount(filled))):
        words = []
        pause_in_the_middle(m.path, data={})
        for verb in ("status", "pause", "resume", "resume", "status", "cancel"):
            done = run(tool, "balance", verb, m.path, check=False)
            text = done.stdout.replace(m.path, "MNT")
            words.append((verb, done.returncode, "".join(c for c in text if not c.isdigit()).replace("  ", " ")))
        m.umount()
        said.append(words)
    assert said[0] == said[1]


class Foreground:
    """Somebody who writes, syncs, reads and deletes all the time, in a process of its own; how often is what finish() returns."""

    def __init__(self, folder):
        self.words = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self.work(folder)

    def work(self, folder):
        os.set_blocking(self.words[0], False)
        rounds = 0
        try:
            while not select.select([self.words[0]], [], [], 0)[0]:
                path = os.path.join(folder, f"fg{rounds % 20}")
                files.write(path, os.urandom(300_000), sync=rounds % 5 == 0)
                files.read(path)
                if rounds % 3 == 0:
                    os.unlink(path)
                rounds += 1
        finally:
            os._exit(min(rounds, 100))

    def finish(self):
        os.write(self.words[1], b"x")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.fuse_only
@pytest.mark.parametrize("busy", [False, True], ids=["alone", "under work"])
def test_pause_and_cancel_are_quick(subject, filled, busy):
    """Within 100 ms each, with a margin for a busy machine on the worst of some; also while foreground work goes on."""
    m = subject.mount(filled)
    foreground = Foreground(m.path) if busy else None
    took = []
    for stop in (ioctls.balance_pause, ioctls.balance_cancel) * 3:
        balance = ioctls.BalanceThread(m.path, data={}, metadata={})
        wait_until(lambda: ioctls.balance_progress(m.path).considered or not balance.is_alive(), 20, what="a chunk")
        time.sleep(0.03)
        began = time.monotonic()
        if stop(m.path) == 0:
            took.append(time.monotonic() - began)
        balance.finish()
        ioctls.balance_cancel(m.path)
    if foreground:
        assert foreground.finish() > 3, "no work went on"
    m.umount()
    assert took and sorted(took)[len(took) // 2] < 0.1, took
    images.check(filled)


@pytest.mark.fuse_only
@pytest.mark.parametrize("words", ["balance foo", "balance sta", "balance p", "filesystem foo", "foo"])
def test_a_word_that_is_none_is_spoken_of_like_progs(subject, words):
    """Nothing on standard output; the same first line, and what an ambiguous one may have meant."""
    want, got = (subprocess.run([tool, *words.split(), "/x"], capture_output=True, text=True)
                 for tool in ("btrfs", subject.ctl))
    assert (got.returncode, got.stdout.strip()) == (want.returncode, want.stdout.strip()) == (1, "")
    assert got.stderr.splitlines()[0] == want.stderr.splitlines()[0].replace("btrfs", "btrfusectl", 1)
    if "ambiguous" in want.stderr:
        assert set(got.stderr.splitlines()) >= set(l for l in want.stderr.splitlines() if l.startswith("\t"))


@pytest.mark.fuse_only
def test_filters_are_spoken_like_progs(subject, image):
    twin = images.copy(image, image + ".twin")
    lists = ["-dprofiles=single|dup,drange=1..100000000000,devid=1,stripes=1..4,limit=3..9,vrange=1..10000000000,convert=dup,soft",
             "-dsoft", "-dconvert", "-dconvert=foo", "-dprofiles=foo", "-ddrange=1", "-ddrange=1..5", "-dstripes=1", "-dusage=5..60",
             "-dusage=..20",
             "-mconvert=single", "-sconvert=single"]
    m = subject.mount(image)
    with KernelMount(twin, allow_complaints=True) as mnt:
        for one in lists:
            want = run("btrfs", "balance", "start", "-v", one, mnt, check=False)
            got = run(subject.ctl, "balance", "start", "-v", one, m.path, check=False)
            assert (got.returncode, got.stdout) == (want.returncode, want.stdout), one
    m.umount()
    images.check(image)
