"""What few programs use but may: nameless files, whiteouts, birth times, labels, shutdown."""
import ctypes
import errno
import fcntl
import os
import stat
import struct

import pytest

from harness import image as images
from harness.kernel import KernelMount
from harness.shell import run

AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_FDCWD = 0x1000, 0x400, -100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
GETFSLABEL, SETFSLABEL, SHUTDOWN = 0x81009431, 0x41009432, 0x8004587d
libc = ctypes.CDLL(None, use_errno=True)


def call(function, *args):
    if function(*args) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def link_fd(fd, path):
    call(libc.linkat, AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, path.encode(), AT_SYMLINK_FOLLOW)


def rename2(old, new, flags):
    call(libc.renameat2, AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags)


def test_nameless_file_goes_with_its_last_descriptor(subject, image):
    m = subject.mount(image)
    fd = os.open(m.path, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x" * 100_000)
    assert os.fstat(fd).st_nlink == 0 and os.listdir(m.path) == []
    os.close(fd)
    m.umount()
    images.check(image)


def test_nameless_file_can_get_a_name(subject, image):
    m = subject.mount(image)
    fd = os.open(m.path, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"kept")
    link_fd(fd, m.join("named"))
    assert os.fstat(fd).st_nlink == 1
    os.close(fd)
    m.umount()
    images.check(image)
    with KernelMount(image) as k:
        with open(os.path.join(k, "named"), "rb") as f:
            assert f.read() == b"kept"


def test_exclusive_nameless_file_gets_no_name(mounted):
    fd = os.open(mounted.path, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    with pytest.raises(OSError) as e:
        link_fd(fd, mounted.join("named"))
    assert e.value.errno == errno.ENOENT
    os.close(fd)


@pytest.mark.fuse_only
def test_nameless_file_is_gone_after_a_crash(subject, image):
    m = subject.mount(image)
    fd = os.open(m.path, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x" * 1_000_000)
    os.fsync(fd)
    m.kill()
    with pytest.raises(OSError):
        os.close(fd)
    subject.mount(image).umount()
    images.check(image)


@pytest.mark.parametrize("extra", [0, NOREPLACE])
def test_whiteout_takes_the_old_name(subject, image, extra):
    m = subject.mount(image)
    open(m.join("a"), "w").close()
    rename2(m.join("a"), m.join("b"), WHITEOUT | extra)
    st = os.lstat(m.join("a"))
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    assert stat.S_ISREG(os.lstat(m.join("b")).st_mode)
    with pytest.raises(OSError):
        rename2(m.join("a"), m.join("b"), WHITEOUT | EXCHANGE)
    m.umount()
    images.check(image)


def test_birth_time_is_kept(mounted):
    open(mounted.join("a"), "w").close()
    born = run("stat", "-c", "%W %w", mounted.join("a")).stdout
    assert int(born.split()[0]) > 0
    os.utime(mounted.join("a"), (1, 1))
    assert run("stat", "-c", "%W %w", mounted.join("a")).stdout == born


@pytest.mark.fuse_only      # the kernel says that the label changed, which its log reader takes for a complaint
def test_label_is_read_and_written(subject, image):
    m = subject.mount(image)
    fd = os.open(m.path, os.O_RDONLY)
    fcntl.ioctl(fd, SETFSLABEL, b"a label".ljust(256, b"\0"))
    assert fcntl.ioctl(fd, GETFSLABEL, bytes(256)).rstrip(b"\0") == b"a label"
    with pytest.raises(OSError):
        fcntl.ioctl(fd, SETFSLABEL, b"x" * 256)
    os.close(fd)
    m.umount()
    images.check(image)
    assert run("btrfs", "filesystem", "label", image).stdout.strip() == "a label"


@pytest.mark.fuse_only
def test_shutdown_stops_writing_and_keeps_what_was_synced(subject, image):
    m = subject.mount(image)
    with open(m.join("before"), "w") as f:
        f.write("synced")
    fd = os.open(m.path, os.O_RDONLY)
    fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", 0))
    with pytest.raises(OSError):
        open(m.join("after"), "w").close()
    os.close(fd)
    m.expected_noise = "shutdown|last commit|read-only"
    m.kill()
    images.check(image)
    with KernelMount(image) as k:
        assert sorted(os.listdir(k)) == ["before"]
