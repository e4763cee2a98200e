"""mount -o remount through the mount helper: the daemon hears of it, both ways, whatever it was mounted as."""
import contextlib
import errno
import mmap
import os
import threading
import time

import pytest

from harness import files, image as images, ioctls, quotas
from harness.kernel import KernelMount, Loop
from harness.shell import run, wait_until

pytestmark = pytest.mark.fuse_only


@pytest.fixture
def helper(subject, scratch):
    """The helper as mount(8) calls it."""
    path = os.path.join(scratch, "mount.btrfuse")
    os.symlink(subject.binary, path)
    return lambda m, options: run(path, m.image, m.path, "-o", options, check=False)


def refused(path):
    with pytest.raises(OSError) as e:
        files.write(path, b"")
    return e.value.errno


def test_read_only_is_complete_at_once(subject, image, helper):
    """What was written is in the image, and from then on nothing is written to it any more."""
    m = subject.mount(image)
    files.write(m.join("f"), b"x" * 100_000)
    assert helper(m, "remount,ro").returncode == 0
    before = images.sha256(image)
    assert refused(m.join("g")) == errno.EROFS
    assert files.read(m.join("f")) == b"x" * 100_000
    twin = images.copy(image)
    images.judge(twin)
    assert ioctls.balance(m.path, data={}).error == errno.EROFS
    assert images.sha256(image) == before
    assert helper(m, "remount,rw").returncode == 0
    files.write(m.join("g"), b"again")
    m.umount()
    images.judge(image)


@pytest.mark.parametrize("how", ["image", "device"])
def test_mounted_read_only_then_for_writing(subject, image, helper, how):
    """Open files and directories live through it."""
    m = subject.mount(image)
    os.mkdir(m.join("d"))
    files.write(m.join("d/f"), b"before" * 1000)
    m.umount()
    loop = Loop(image) if how == "device" else None
    try:
        m = subject.mount(loop.device if loop else image, "ro", mountpoint=m.path)
        fd, folder = os.open(m.join("d/f"), os.O_RDONLY), os.open(m.join("d"), os.O_RDONLY)
        assert refused(m.join("g")) == errno.EROFS
        done = helper(m, "remount,rw")
        assert done.returncode == 0, done.out
        files.write(m.join("g"), b"written" * 1000, sync=True)
        assert os.pread(fd, 6, 0) == b"before" and os.listdir(folder) == ["f"]
        files.write(m.join("d/f"), b"AFTER!", sync=True)
        assert os.pread(fd, 12, 0) == b"AFTER!before"
        os.close(fd)
        os.close(folder)
        assert ioctls.balance(m.path, data={}).error == 0
        m.umount()
    finally:
        if loop:
            loop.close()
    images.judge(image)


def test_no_writer_beside_another_reader(subject, image, helper):
    """Two may read the image; neither may begin to write."""
    a, b = subject.mount(image, "ro"), subject.mount(image, "ro")
    done = helper(a, "remount,rw")
    assert done.returncode == 1 and "in use" in done.out and len(done.out.splitlines()) == 1
    assert os.listdir(a.path) == [] and refused(a.join("f")) == errno.EROFS
    b.umount()
    assert helper(a, "remount,rw").returncode == 0
    files.write(a.join("f"), b"")
    a.umount()
    images.judge(image)


def test_balance_pauses_and_goes_on(subject, image, helper):
    m = subject.mount(image)
    for n in range(40):
        files.write(m.join(f"f{n}"), os.urandom(1 << 20))
    ioctls.sync_fs(m.path)
    balance = ioctls.BalanceThread(m.path, data={}, metadata={})
    wait_until(lambda: not balance.is_alive() or not ioctls.balance_progress(m.path).error, what="a balance")
    assert helper(m, "remount,ro").returncode == 0
    paused = ioctls.balance_progress(m.path)
    assert not paused.state & ioctls.STATE_RUNNING
    assert helper(m, "remount,rw").returncode == 0
    wait_until(lambda: ioctls.balance_progress(m.path).error == errno.ENOTCONN, 60, what="its end")
    balance.join(30)
    m.umount()
    images.judge(image)


def in_background(helper, m, options):
    """The remount in a thread of its own; join() it, `.code` is its exit status."""
    class Remount(threading.Thread):
        def run(self):
            self.code = helper(m, options).returncode
    thread = Remount()
    thread.start()
    return thread


def still_for(image, seconds):
    """Nothing is written to the image, though the mount commits every second."""
    before = images.sha256(image)
    time.sleep(seconds)
    return images.sha256(image) == before


@pytest.mark.hooks
def test_a_deletion_behind_its_answer_ends_first(subject, image, helper):
    m = subject.mount(image, "commit=1", hooks=True)
    files.write(m.join("f"), b"x" * 3_000_000, sync=True)
    m.hooks.arm("in.delete")
    os.unlink(m.join("f"))
    m.hooks.wait("in.delete")
    remount = in_background(helper, m, "remount,ro")
    remount.join(0.7)
    waited = remount.is_alive()
    m.hooks.release("all")
    remount.join(20)
    assert waited and remount.code == 0
    assert still_for(image, 2)
    twin = images.copy(image)
    images.judge(twin)
    assert helper(m, "remount,rw").returncode == 0
    files.write(m.join("g"), b"again")
    m.umount()
    images.judge(image)


@pytest.mark.hooks
def test_a_request_that_does_not_end_is_not_waited_for(subject, image, helper):
    """The others are held back for it a while, not for ever."""
    m = subject.mount(image)
    files.write(m.join("f"), b"x" * 300_000)
    m.umount()
    m = subject.mount(image, "ro", hooks=True, env={"BTRFUSE_TEST_WATCHDOG": "60"})
    m.hooks.arm("rd.io")
    reader = threading.Thread(target=files.read, args=(m.join("f"),))
    reader.start()
    m.hooks.wait("rd.io")
    done = helper(m, "remount,rw")
    assert done.returncode == 1 and "busy" in done.out, done.out
    assert os.listdir(m.path) == ["f"]
    m.hooks.release("all")
    reader.join(10)
    assert helper(m, "remount,rw").returncode == 0
    assert files.read(m.join("f")) == b"x" * 300_000
    m.umount()
    images.judge(image)


def test_leftovers_of_a_subvolume_wait(subject, image, helper):
    """What is found to be deleted when the subvolume is entered stays for a mount that writes."""
    with KernelMount(image) as mnt:
        run("btrfs", "subvolume", "create", f"{mnt}/sub")
    m = subject.mount(image)
    fd = os.open(m.join("sub/gone"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 200_000)
    os.unlink(m.join("sub/gone"))
    ioctls.sync_fs(m.path)
    m.kill()
    with contextlib.suppress(OSError):
        os.close(fd)
    m = subject.mount(image, "commit=1", mountpoint=m.path)
    assert helper(m, "remount,ro").returncode == 0
    assert os.listdir(m.join("sub")) == []
    assert still_for(image, 2)
    m.umount()
    m = subject.mount(image, mountpoint=m.path)
    assert os.listdir(m.join("sub")) == []
    m.umount()
    images.judge(image)


def scattered_extents(path, count):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    block = mmap.mmap(-1, 4096)
    for n in range(count):
        os.pwrite(fd, block, n * 8192)
    os.close(fd)


@pytest.mark.hooks
def test_quotas_stay_as_they_are(subject, image, helper):
    """A rescan stops on the way and goes on later; nothing else about quotas can be changed meanwhile."""
    m = subject.mount(image, "commit=2", hooks=True)
    scattered_extents(m.join("f"), 10_000)
    ioctls.sync_fs(m.path)
    run("mount", "-i", "-o", "remount,ro", m.path)      # the kernel's part, whose syncfs would commit
    m.hooks.arm("tx.super_pre", 2)
    ioctls.quota_ctl(m.path, ioctls.QUOTA_ENABLE)
    m.hooks.wait("tx.super_pre")    # a commit that has scanned a part, in the middle of the rescan
    remount = in_background(helper, m, "remount,ro")
    remount.join(0.5)
    m.hooks.release("all")
    remount.join(20)
    assert remount.code == 0
    halfway = ioctls.quota_rescan_status(m.path)
    assert halfway[0] == 1
    assert still_for(image, 3)
    assert ioctls.quota_rescan_status(m.path) == halfway
    group = 1 << 48 | 7
    for call, *args in ((ioctls.quota_ctl, ioctls.QUOTA_DISABLE), (ioctls.qgroup_create, group), (ioctls.qgroup_assign, 5, group),
                        (ioctls.qgroup_limit, 5, 1 << 30), (ioctls.quota_rescan,), (ioctls.quota_rescan_wait,)):
        with pytest.raises(OSError) as e:
            call(m.path, *args)
        assert e.value.errno == errno.EROFS, call
    assert ioctls.balance_ctl(m.path, ioctls.CTL_CANCEL) == errno.EROFS
    assert helper(m, "remount,rw").returncode == 0
    ioctls.quota_rescan_wait(m.path)
    assert ioctls.quota_rescan_status(m.path)[0] == 0
    m.umount()
    quotas.verify(image)
    images.judge(image)


def test_noatime_can_come_and_go(subject, image, helper):
    m = subject.mount(image)
    files.write(m.join("f"), b"x")

    def moves():
        os.utime(m.join("f"), (1, 1))
        run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
        files.read(m.join("f"))
        return os.stat(m.join("f")).st_atime != 1
    assert moves()
    assert helper(m, "remount,noatime").returncode == 0
    assert not moves()
    assert helper(m, "remount,relatime").returncode == 0
    assert moves()
    m.umount()


def test_nodiratime(subject, image, helper):
    """A directory that is read keeps its time, a file does not; a remount takes that back."""
    m = subject.mount(image, "nodiratime")
    os.mkdir(m.join("d"))
    files.write(m.join("f"), b"x")

    def moves(name, read):
        os.utime(m.join(name), (1, 1))
        run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
        read(m.join(name))
        return os.stat(m.join(name)).st_atime != 1
    assert not moves("d", os.listdir)
    assert moves("f", files.read)
    assert helper(m, "remount,diratime").returncode == 0
    assert moves("d", os.listdir)
    m.umount()


@pytest.mark.parametrize("option", ["compress=zstd", "subvol=x", "threads=3", "cache_size=8M", "frobnicate",
                                    "skip_balance", "device=/dev/null", "scan=/tmp"])
def test_what_cannot_change_is_refused_by_name(subject, image, helper, option):
    m = subject.mount(image)
    done = helper(m, f"remount,ro,{option}")
    assert done.returncode == 1 and option.split("=")[0] in done.out, done.out
    files.write(m.join("f"), b"still writable")
    m.umount()


def test_what_stays_as_it_is_may_be_said(subject, image, helper):
    """As mount(8) does with the options from fstab and from the table of mounts."""
    folder = os.path.dirname(image)
    m = subject.mount(image, f"commit=7,compress=zstd,skip_balance,scan={folder}")
    words = "user_id=0,group_id=0,default_permissions,blksize=4096"
    assert helper(m, f"rw,commit=7,compress=zstd,skip_balance,scan={folder},remount,ro,{words}").returncode == 0
    assert refused(m.join("f")) == errno.EROFS
    m.umount()


def test_nobody_else_may(subject, image, helper, unprivileged):
    m = subject.mount(image, "allow_other")
    os.chmod(m.path, 0o777)

    def attempt():
        if helper(m, "remount,ro").returncode:
            raise PermissionError(1, "refused")
    os.chmod(os.path.dirname(m.path), 0o755)
    assert files.as_user(unprivileged, attempt) == 1
    files.write(m.join("f"), b"")
    m.umount()
