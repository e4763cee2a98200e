"""mount -o remount through the mount helper: the daemon hears of it, both ways, whatever it was mounted as."""
import errno
import os

import pytest

from harness import files, image as images, ioctls
from harness.kernel import Loop
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


@pytest.mark.parametrize("option", ["compress=zstd", "subvol=x", "threads=3", "cache_size=8M", "frobnicate"])
def test_what_cannot_change_is_refused_by_name(subject, image, helper, option):
    m = subject.mount(image)
    done = helper(m, f"remount,ro,{option}")
    assert done.returncode == 1 and option.split("=")[0] in done.out, done.out
    files.write(m.join("f"), b"still writable")
    m.umount()


def test_what_stays_as_it_is_may_be_said(subject, image, helper):
    """As mount(8) does with the options from fstab and from the table of mounts."""
    m = subject.mount(image, "commit=7,compress=zstd")
    words = "user_id=0,group_id=0,default_permissions,blksize=4096"
    assert helper(m, f"rw,commit=7,compress=zstd,remount,ro,{words}").returncode == 0
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
