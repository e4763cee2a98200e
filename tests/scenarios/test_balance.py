"""Balance: what it moves, what it counts, what it leaves as it was, and how it is stopped and asked about."""
import errno
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from harness import blocks, dump, files, image as images, ioctls, treeview
from harness.kernel import KernelMount
from harness.shell import run, wait_until

from .test_kernel_images import change_everywhere, make_rich


@pytest.fixture
def rich(image_cache, scratch):
    return image_cache("rich", make_rich, os.path.join(scratch, "rich"))


@pytest.fixture
def filled(image_cache, scratch):
    """Several data groups, a snapshot, a nodatacow file."""
    def maker(path):
        images.make(path, 512)
        with KernelMount(path, "commit=300") as mnt:
            for n in range(6):
                files.write(f"{mnt}/big{n}", os.urandom(24 << 20))
            for n in range(500):
                files.write(f"{mnt}/small{n}", os.urandom(9000))
            files.nocow(f"{mnt}/nocow")
            files.write(f"{mnt}/nocow", os.urandom(4 << 20), sync=True)
            run("btrfs", "subvolume", "snapshot", mnt, f"{mnt}/snap")
            os.unlink(f"{mnt}/big2")
    return image_cache("filled", maker, os.path.join(scratch, "filled"))


def twin_result(image, **kw):
    """What the kernel reports for the same balance on a copy."""
    twin = images.copy(image, image + ".twin")
    with KernelMount(twin, "noatime") as mnt:
        result = ioctls.balance(mnt, **kw)
    refs = reference_counts(twin)
    os.unlink(twin)
    return result, refs


def reference_counts(image):
    """(data references, metadata bytes): what has to be kept when sharing is kept."""
    data = sum(refs for flags, refs in dump.extent_refs(image).values() if flags.startswith("DATA"))
    metadata = sum(used for _, used, flags in dump.block_groups(image).values() if "METADATA" in flags)
    return data, metadata


def balanced(subject, image, **kw):
    m = subject.mount(image, "noatime")
    before = treeview.look(m.path)
    result = ioctls.balance(m.path, **kw)
    treeview.assert_same(before, treeview.look(m.path), ("before", "after the balance"))
    m.umount()
    return before, result


EVERYTHING = dict(data={}, metadata={}, system={})


def test_full_balance_moves_everything(subject, rich):
    chunks = {c.logical for c in dump.chunks(rich)}
    data, metadata = reference_counts(rich)
    want, _ = twin_result(rich, **EVERYTHING)
    before, got = balanced(subject, rich, **EVERYTHING)
    assert got.error == 0
    assert (got.considered, got.completed) == (want.considered, want.completed)
    assert not chunks & {c.logical for c in dump.chunks(rich)}, "an earlier chunk still exists"
    images.judge(rich)
    new_data, new_metadata = reference_counts(rich)
    assert new_data == data
    assert abs(new_metadata - metadata) <= metadata * 0.01 + 65536
    with KernelMount(rich, "ro") as mnt:
        treeview.assert_same(before, treeview.look(mnt), ("before", "kernel"))


@pytest.mark.parametrize("kind", ["data", "metadata", "system"])
def test_each_type_alone(subject, rich, kind):
    old = {c.logical for c in dump.chunks(rich) if c.type.startswith(kind.upper())}
    others = {c.logical for c in dump.chunks(rich) if not c.type.startswith(kind.upper())}
    want, _ = twin_result(rich, **{kind: {}})
    _, got = balanced(subject, rich, **{kind: {}})
    assert (got.error, got.considered, got.completed) == (0, want.considered, want.completed)
    now = {c.logical for c in dump.chunks(rich)}
    assert not old & now and others <= now
    images.judge(rich)


@pytest.mark.parametrize("filters", [
    dict(data=dict(usage=50)), dict(data=dict(usage=100)), dict(data=dict(usage=0)), dict(data=dict(limit=2)),
    dict(data=dict(devid=1)), dict(data=dict(devid=7)), dict(metadata=dict(usage=10)), dict(data=dict(limit=1), metadata={}),
    "vrange"], ids=str)
def test_filters_count_as_the_kernel_counts(subject, filled, filters):
    if filters == "vrange":
        groups = sorted(c.logical for c in dump.chunks(filled) if c.type.startswith("DATA"))
        filters = dict(data=dict(vrange=(groups[1], groups[3])))
    want, _ = twin_result(filled, **filters)
    _, got = balanced(subject, filled, **filters)
    assert (got.error, got.considered, got.completed) == (want.error, want.considered, want.completed), (got, want)
    images.judge(filled, read_all=False)


def test_repeated_balances(subject, rich):
    m = subject.mount(rich)
    before = treeview.look(m.path)
    for _ in range(4):
        assert ioctls.balance(m.path, **EVERYTHING).error == 0
    treeview.assert_same(before, treeview.look(m.path))
    m.umount()
    images.judge(rich)


def test_empty_image(subject, image):
    want, _ = twin_result(image, **EVERYTHING)
    _, got = balanced(subject, image, **EVERYTHING)
    assert (got.error, got.considered, got.completed) == (0, want.considered, want.completed)
    images.judge(image)


def test_balance_then_changes_then_kernel(subject, rich):
    """Snapshots after a relocation: both sides go on changing shared nodes and extents."""
    m = subject.mount(rich)
    assert ioctls.balance(m.path, **EVERYTHING).error == 0
    frozen = {n: files.read(m.join("snap-ro", n)) for n in os.listdir(m.join("snap-ro")) if n.startswith("f")}
    change_everywhere(m.path)
    m.umount()
    images.judge(rich)
    with KernelMount(rich, "commit=1") as mnt:
        for n, data in frozen.items():
            assert files.read(f"{mnt}/snap-ro/{n}") == data
        run("btrfs", "subvolume", "snapshot", f"{mnt}/heir", f"{mnt}/heir3")
        files.write(f"{mnt}/heir/f0100", os.urandom(9000))
        run("btrfs", "subvolume", "delete", f"{mnt}/heir2")
        run("btrfs", "subvolume", "delete", f"{mnt}/snap")
        run("btrfs", "subvolume", "sync", mnt)
    images.judge(rich)


def test_snapshot_relocate_nocow_overwrite(subject, image):
    """The snapshot keeps its hash after: snapshot, relocation, nodatacow overwrite here and in the kernel."""
    with KernelMount(image) as mnt:
        run("btrfs", "subvolume", "create", f"{mnt}/s")
        files.nocow(f"{mnt}/s/f")
        files.write(f"{mnt}/s/f", os.urandom(1 << 20), sync=True)
        for i in range(300):
            files.write(f"{mnt}/s/x{i}", b"x" * 1900)
        run("btrfs", "subvolume", "snapshot", "-r", f"{mnt}/s", f"{mnt}/snap")
        want = treeview.look(f"{mnt}/snap")
    m = subject.mount(image)
    assert ioctls.balance(m.path, **EVERYTHING).error == 0
    for at in range(0, 1 << 20, 200_704):
        files.write(m.join("s/f"), os.urandom(4096), at, sync=True)
    for i in range(0, 300, 3):
        os.unlink(m.join(f"s/x{i}"))
    treeview.assert_same(want, treeview.look(m.join("snap")))
    m.umount()
    images.judge(image)
    with KernelMount(image) as mnt:
        for at in range(4096, 1 << 20, 200_704):
            files.write(f"{mnt}/s/f", os.urandom(4096), at, sync=True)
        for i in range(1, 300, 3):
            os.unlink(f"{mnt}/s/x{i}")
        treeview.assert_same(want, treeview.look(f"{mnt}/snap"))
    images.judge(image)


def test_prealloc_pieces_move_together(subject, image):
    with KernelMount(image) as mnt:
        files.fallocate(f"{mnt}/f", 0, 4 << 20)
        for b in range(0, 1024, 37):
            files.write(f"{mnt}/f", blocks.make(1, b, 1), b * 4096, sync=True)
        files.fallocate(f"{mnt}/beyond", 0, 1 << 20, files.KEEP_SIZE)
        inode, beyond = files.inode(f"{mnt}/f"), files.inode(f"{mnt}/beyond")
        want = files.read(f"{mnt}/f")
    old, old_beyond = dump.file_extents(image, inode), dump.file_extents(image, beyond)
    balanced(subject, image, data={})
    images.judge(image)
    new = dump.file_extents(image, inode)
    assert [(e.offset, e.kind, e.length, e.extent_offset, e.ram) for e in new] == \
        [(e.offset, e.kind, e.length, e.extent_offset, e.ram) for e in old]
    assert not {e.disk for e in new} & {e.disk for e in old}
    assert [e.kind for e in dump.file_extents(image, beyond)] == [e.kind for e in old_beyond]
    with KernelMount(image, "ro") as mnt:
        assert files.read(f"{mnt}/f") == want


def test_cancel(subject, filled):
    m = subject.mount(filled)
    balance = ioctls.BalanceThread(m.path, data={})
    answer = wait_until(lambda: cancel_once(m.path, balance), 20, what="cancelling")
    result = balance.finish(20)
    if answer == "cancelled":
        assert result.error == errno.ECANCELED, result
        assert result.completed < result.expected
    assert ioctls.balance_cancel(m.path) == errno.ENOTCONN
    files.write(m.join("after"), os.urandom(1 << 20), sync=True)
    assert ioctls.balance(m.path, data=dict(usage=5)).error == 0
    m.umount()
    images.judge(filled)


def cancel_once(mnt, balance):
    if not balance.is_alive():
        return "over"
    return "cancelled" if ioctls.balance_cancel(mnt) == 0 else None


def test_progress(subject, filled):
    m = subject.mount(filled)
    assert ioctls.balance_progress(m.path).error == errno.ENOTCONN
    balance = ioctls.BalanceThread(m.path, data={}, metadata={})
    seen = []
    while balance.is_alive():
        p = ioctls.balance_progress(m.path)
        if p.error == 0:
            assert p.state & ioctls.STATE_RUNNING
            seen.append((p.expected, p.considered, p.completed))
        time.sleep(0.005)
    assert balance.finish().error == 0
    assert seen and all(e >= c for e, _, c in seen)
    assert [c for _, _, c in seen] == sorted(c for _, _, c in seen)
    m.umount()
    images.check(filled)


def test_only_one_at_a_time(subject, filled):
    m = subject.mount(filled)
    balance = ioctls.BalanceThread(m.path, data={})
    wait_until(lambda: ioctls.balance_progress(m.path).error == 0 or not balance.is_alive(), what="the balance to start")
    if balance.is_alive():
        assert ioctls.balance(m.path, metadata={}).error == errno.EINPROGRESS
    assert balance.finish().error == 0
    m.umount()
    images.check(filled)


def test_nobody_else_may(subject, image, unprivileged):
    m = subject.mount(image, "allow_other")
    os.chmod(m.path, 0o755)

    def attempt(call):
        def body():
            error = call()
            if error:
                raise OSError(error, "")
        return files.as_user(unprivileged, body)
    assert attempt(lambda: ioctls.balance(m.path, data={}).error) == errno.EPERM
    assert attempt(lambda: ioctls.balance_cancel(m.path)) == errno.EPERM
    assert attempt(lambda: ioctls.balance_progress(m.path).error) == errno.EPERM
    m.umount()


def test_on_a_readonly_mount(subject, image):
    m = subject.mount(image, "ro")
    assert ioctls.balance(m.path, data={}).error == errno.EROFS
    m.umount()


def test_unreadable_extent_in_the_middle(subject, image):
    """It is named and stays where and as it is, without a new checksum; the rest moves, of its group and of others."""
    with KernelMount(image) as mnt:
        for n in range(12):
            files.write(f"{mnt}/f{n}", os.urandom(8 << 20), sync=True)
        bad = files.inode(f"{mnt}/f5")
        good = {n: files.read(f"{mnt}/f{n}") for n in range(12) if n != 5}
    old = dump.file_extents(image, bad)
    extent = old[0]
    with open(image, "r+b") as f:
        for at in dump.physical(image, extent.disk + 8192):
            f.seek(at)
            f.write(os.urandom(4096))
    groups = {c.logical for c in dump.chunks(image)}
    m = subject.mount(image)
    result = ioctls.balance(m.path, data={})
    assert result.error == errno.EIO
    if not subject.is_kernel:
        assert re.search(rf"extent {extent.disk} .*unreadable", m.stderr())
        assert f"inode {bad}" in m.stderr()
    for n, data in good.items():
        assert files.read(m.join(f"f{n}")) == data
    with pytest.raises(OSError):
        files.read(m.join("f5"))
    if not subject.is_kernel:
        m.expected_noise = "unreadable"
    m.umount()
    assert dump.file_extents(image, bad)[0] == old[0]
    stayed = [c for c in dump.chunks(image) if c.logical in groups and c.type.startswith("DATA")]
    assert len(stayed) == 1, "only the group of the bad extent is left"
    used = dump.block_groups(image)[stayed[0].logical][1]
    assert used <= extent.disk_bytes, "what is readable in that group moved"


@pytest.mark.fuse_only
def test_interrupted_balance(subject, filled):
    """A killed `balance start` does not hang, and the image is right."""
    m = subject.mount(filled)
    starter = subprocess.Popen([subject.ctl, "balance", "start", "-d", m.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: ioctls.balance_progress(m.path).error == 0 or starter.poll() is not None, what="the balance to start")
    starter.kill()
    starter.wait(10)
    starter.communicate()
    files.write(m.join("f"), b"works", sync=True)
    m.umount()
    images.judge(filled)


@pytest.mark.fuse_only
def test_a_handled_signal_does_not_end_a_balance(subject, filled):
    """As with the kernel; a deadly one that comes later does."""
    m = subject.mount(filled)
    code = ("import signal, sys; sys.path.insert(0, sys.argv[2]); from harness import ioctls; "
            "signal.signal(signal.SIGUSR1, lambda *_: None); signal.siginterrupt(signal.SIGUSR1, False); "
            "print(ioctls.balance(sys.argv[1], data={}).error)")
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for deadly in (False, True):
        starter = subprocess.Popen([sys.executable, "-c", code, m.path, tests], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: ioctls.balance_progress(m.path).error == 0 or starter.poll() is not None, what="the balance to start")
        starter.send_signal(signal.SIGUSR1)
        if deadly:
            time.sleep(0.02)
            starter.terminate()
        said = starter.communicate(timeout=20)[0]
        if not deadly:
            assert said == "0\n"
    wait_until(lambda: ioctls.balance_progress(m.path).error == errno.ENOTCONN, 5, what="the balance to end")
    m.umount()
    images.check(filled)


@pytest.mark.fuse_only
def test_sigterm_during_balance(subject, filled):
    m = subject.mount(filled)
    starter = subprocess.Popen([subject.ctl, "balance", "start", "-d", m.path], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: ioctls.balance_progress(m.path).error == 0 or starter.poll() is not None, what="the balance to start")
    m.process.terminate()
    assert m.process.wait(30) == 0, m.stderr()
    starter.wait(10)
    images.judge(filled)


# --- btrfusectl speaks like btrfs-progs ------------------------------------------------------------------------

@pytest.mark.fuse_only
class TestControlTool:
    def test_start_says_what_progs_say(self, subject, image, scratch):
        twin = images.copy(image, os.path.join(scratch, "twin"))
        m = subject.mount(image)
        with KernelMount(twin) as mnt:
            for argv in (["balance", "start", "-dusage=100"], ["balance", "start", "-m", "-d"], ["balance", "status"],
                         ["balance", "cancel"], ["filesystem", "sync"]):
                want = run("btrfs", *argv, mnt, check=False)
                got = run(subject.ctl, *argv, m.path, check=False)
                assert (got.returncode, neutral(got.stdout, m.path)) == (want.returncode, neutral(want.stdout, mnt)), argv
        m.umount()
        images.judge(image)

    def test_wrong_usage(self, subject):
        for argv in ([], ["balance"], ["balance", "start"], ["frobnicate"], ["balance", "start", "-dnonsense=1", "/"]):
            want = run("btrfs", *argv, check=False)
            got = run(subject.ctl, *argv, check=False)
            assert got.returncode == want.returncode, (argv, got.returncode, want.returncode, got.out)

    def test_status_while_running(self, subject, filled):
        m = subject.mount(filled)
        balance = ioctls.BalanceThread(m.path, data={}, metadata={})
        seen = ""
        while balance.is_alive():
            done = run(subject.ctl, "balance", "status", m.path, check=False)
            if "is running" in done.stdout:
                assert done.returncode == 1
                seen = done.stdout
        assert balance.finish().error == 0
        assert re.search(r"\d+ out of about \d+ chunks balanced \(\d+ considered\), +\d+% left", seen), seen
        m.umount()
        images.check(filled)

    def test_filesystem_sync_is_durable(self, subject, image):
        m = subject.mount(image)
        files.write(m.join("f"), b"x" * 9000)
        run(subject.ctl, "filesystem", "sync", m.path)
        m.kill()
        m = subject.mount(image)
        assert files.read(m.join("f")) == b"x" * 9000
        m.umount()
        images.judge(image)

    def test_needs_a_mount(self, subject, scratch):
        done = run(subject.ctl, "balance", "start", "-d", scratch, check=False)
        assert done.returncode == 1 and done.stderr


def neutral(text, mnt):
    return text.replace(mnt, "MNT")
