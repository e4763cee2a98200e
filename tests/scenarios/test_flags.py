"""chattr: what the flags forbid and demand, step by step the same as on the kernel's btrfs."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct

import pytest

from harness import files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run

pytestmark = pytest.mark.fuse_only
SYNC, IMMUTABLE, APPEND, NODUMP, NOATIME, DIRSYNC = 0x8, 0x10, 0x20, 0x40, 0x80, 0x10000
COMPR, NOCOMP = 0x4, 0x400
FSGETXATTR, FSSETXATTR = 0x801C581F, 0x401C5820
X_IMMUTABLE, X_APPEND, X_SYNC, X_NOATIME, X_NODUMP = 0x8, 0x10, 0x20, 0x40, 0x80
ZERO_RANGE = 0x10


def change(path, flags):
    ioctls.set_flags(path, flags)


def open_close(path, flags):
    os.close(os.open(path, flags, 0o644))


def with_fd(path, flags, call):
    fd = os.open(path, flags)
    try:
        return call(fd)
    finally:
        os.close(fd)


def fallocate(fd, mode):
    if files.LIBC.fallocate(fd, mode, ctypes.c_long(0), ctypes.c_long(4096)):
        raise OSError(ctypes.get_errno(), "fallocate")


def append_then_seek_back(fd):
    os.write(fd, b"more")
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_WRONLY)     # lets go of O_APPEND, if it may
    os.pwrite(fd, b"overwritten", 0)


def copy_into(fd, path):
    return with_fd(path + ".source", os.O_RDONLY, lambda src: os.copy_file_range(src, fd, 100))


FILE_STEPS = [
    ("read", lambda p: files.read(p)),
    ("open to write", lambda p: open_close(p, os.O_WRONLY)),
    ("open to append", lambda p: open_close(p, os.O_WRONLY | os.O_APPEND)),
    ("open to truncate", lambda p: open_close(p, os.O_WRONLY | os.O_TRUNC)),
    ("open to append and truncate", lambda p: open_close(p, os.O_WRONLY | os.O_APPEND | os.O_TRUNC)),
    ("append", lambda p: with_fd(p, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"abc"))),
    ("pwrite to an appending descriptor", lambda p: with_fd(p, os.O_WRONLY | os.O_APPEND, lambda fd: os.pwrite(fd, b"abc", 0))),
    ("no longer append", lambda p: with_fd(p, os.O_WRONLY | os.O_APPEND, append_then_seek_back)),
    ("truncate", lambda p: os.truncate(p, 10)),
    ("grow", lambda p: os.truncate(p, 100_000)),
    ("fallocate", lambda p: with_fd(p, os.O_RDWR | os.O_APPEND, lambda fd: fallocate(fd, 0))),
    ("fallocate, size kept", lambda p: with_fd(p, os.O_RDWR | os.O_APPEND, lambda fd: fallocate(fd, files.KEEP_SIZE))),
    ("punch", lambda p: with_fd(p, os.O_RDWR | os.O_APPEND, lambda fd: fallocate(fd, files.KEEP_SIZE | files.PUNCH_HOLE))),
    ("zero", lambda p: with_fd(p, os.O_RDWR | os.O_APPEND, lambda fd: fallocate(fd, ZERO_RANGE))),
    ("chmod", lambda p: os.chmod(p, 0o600)),
    ("chown", lambda p: os.chown(p, 12, 34)),
    ("touch", lambda p: os.utime(p)),
    ("set times", lambda p: os.utime(p, (1, 1))),
    ("link", lambda p: os.link(p, p + ".link")),
    ("rename", lambda p: (os.rename(p, p + ".new"), os.rename(p + ".new", p))),
    ("rename over", lambda p: os.rename(p + ".source", p)),
    ("unlink", lambda p: os.unlink(p)),
    ("set an attribute", lambda p: os.setxattr(p, "user.x", b"1")),
    ("remove an attribute", lambda p: os.removexattr(p, "user.there")),
    ("set a security attribute", lambda p: os.setxattr(p, "security.x", b"1")),
    ("set an ACL", lambda p: os.setxattr(p, "system.posix_acl_access",
                                         struct.pack("<I", 2) + struct.pack("<HHIHHIHHIHHIHHI", 1, 6, 2**32 - 1, 2, 4, 12, 4, 4,
                                                                            2**32 - 1, 16, 4, 2**32 - 1, 32, 4, 2**32 - 1))),
    ("map to write", lambda p: with_fd(p, os.O_RDWR | os.O_APPEND, lambda fd: mmap.mmap(fd, 4096).close())),
    ("copy into", lambda p: with_fd(p, os.O_WRONLY, lambda fd: copy_into(fd, p))),
    ("nodump", lambda p: change(p, ioctls.get_flags(p) | NODUMP)),
    ("no compression", lambda p: change(p, ioctls.get_flags(p) | NOCOMP)),
]

DIR_STEPS = [
    ("list", lambda p: os.listdir(p)),
    ("create", lambda p: open_close(p + "/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
    ("mkdir", lambda p: os.mkdir(p + "/new")),
    ("symlink", lambda p: os.symlink("x", p + "/new")),
    ("mkfifo", lambda p: os.mkfifo(p + "/new")),
    ("link into", lambda p: os.link(p + "/old", p + "/new")),
    ("unlink", lambda p: os.unlink(p + "/old")),
    ("rmdir", lambda p: os.rmdir(p + "/empty")),
    ("rename in", lambda p: os.rename(p + "/old", p + "/new")),
    ("rename out", lambda p: os.rename(p + "/old", p + ".out")),
    ("rename into", lambda p: os.rename(p + ".beside", p + "/new")),
    ("rename over", lambda p: os.rename(p + ".beside", p + "/old")),
    ("rename itself", lambda p: (os.rename(p, p + ".moved"), os.rename(p + ".moved", p))),
    ("remove itself", lambda p: os.rmdir(p)),
    ("write to a file in it", lambda p: files.write(p + "/old", b"x")),
    ("nameless file", lambda p: open_close(p, os.O_TMPFILE | os.O_WRONLY)),
    ("chmod", lambda p: os.chmod(p, 0o700)),
    ("set times", lambda p: os.utime(p, (1, 1))),
    ("set an attribute", lambda p: os.setxattr(p, "user.x", b"1")),
]

# With S_APPEND known to the VFS a map for writing is refused at once; over FUSE the stores are refused when they are written.
FUSE_CANNOT = {("map to write", APPEND): errno.EACCES}


def outcome(call, *args):
    try:
        call(*args)
        return 0
    except OSError as e:
        return e.errno


def play_files(root, flags):
    seen = {}
    for n, (name, step) in enumerate(FILE_STEPS):
        path = os.path.join(root, f"f{n}")
        files.write(path, b"content" * 1000)
        files.write(path + ".source", b"s" * 8192)
        os.setxattr(path, "user.there", b"")
        change(path, flags)
        seen[name] = outcome(step, path)
        if os.path.exists(path):
            if seen[name] == 0 and name == "no longer append":
                seen["content"] = files.read(path)[:20]
            change(path, 0)
    return seen


def play_dirs(root, flags):
    seen = {}
    for n, (name, step) in enumerate(DIR_STEPS):
        path = os.path.join(root, f"d{n}")
        os.mkdir(path)
        os.mkdir(path + "/empty")
        files.write(path + "/old", b"")
        files.write(path + ".beside", b"")
        change(path, flags)
        seen[name] = outcome(step, path)
        if os.path.exists(path):
            change(path, 0)
    return seen


def play_open_before(root, flags):
    """What a descriptor may that was there before the flag."""
    seen = {}
    steps = {"write": lambda fd: os.pwrite(fd, b"x", 0), "ftruncate": lambda fd: os.ftruncate(fd, 5),
             "fallocate": lambda fd: fallocate(fd, 0), "fchmod": lambda fd: os.fchmod(fd, 0o600), "futimes": lambda fd: os.utime(fd)}
    for name, step in steps.items():
        path = os.path.join(root, f"open-{name}")
        files.write(path, b"content")
        fd = os.open(path, os.O_RDWR)
        change(path, flags)
        seen[name] = outcome(step, fd)
        change(path, 0)
        os.close(fd)
    return seen


@pytest.mark.parametrize("play", [play_files, play_dirs, play_open_before])
@pytest.mark.parametrize("flags", [IMMUTABLE, APPEND], ids=["immutable", "append"])
def test_forbidden_as_by_the_kernel(subject, image, play, flags):
    twin = images.copy(image)
    with KernelMount(twin) as mnt:
        want = play(mnt, flags)
    m = subject.mount(image)
    got = play(m.path, flags)
    m.umount()
    for (name, flag), code in FUSE_CANNOT.items():
        if flag == flags and name in want:
            assert want.pop(name) == code
            got.pop(name)
    assert {k: (v, want[k]) for k, v in got.items() if v != want[k]} == {}
    images.check(image)


def test_stores_into_an_append_only_map_do_not_arrive(subject, image):
    m = subject.mount(image)
    files.write(m.join("f"), b"content" * 1000)
    change(m.join("f"), APPEND)
    fd = os.open(m.join("f"), os.O_RDWR | os.O_APPEND)
    view = mmap.mmap(fd, 4096)
    view[:4] = b"oops"
    with pytest.raises(OSError):
        view.flush()
        os.fsync(fd)
    view.close()
    os.close(fd)
    change(m.join("f"), 0)
    m.umount()
    with KernelMount(image) as mnt:
        assert files.read(f"{mnt}/f") == b"content" * 1000


def test_synchronous_file(subject, image):
    """+S: durable without fsync when write returns; and only then."""
    m = subject.mount(image)
    for name in ("S", "plain"):
        files.write(m.join(name), b"")
    change(m.join("S"), SYNC)
    ioctls.sync_fs(m.path)
    files.write(m.join("plain"), b"p" * 5000)
    files.write(m.join("S"), b"s" * 5000)
    m.kill()
    images.check(image)
    with KernelMount(image) as mnt:
        assert files.read(f"{mnt}/S") == b"s" * 5000


@pytest.mark.parametrize("flag", [DIRSYNC, SYNC], ids=["D", "S"])
def test_synchronous_directory(subject, image, flag):
    """+D: names are durable when the call returns."""
    m = subject.mount(image)
    os.mkdir(m.join("d"))
    for name in ("gone", "old", "link"):
        files.write(m.join("d", name), b"")
    change(m.join("d"), flag)
    ioctls.sync_fs(m.path)
    os.mkdir(m.join("d/sub"))
    os.unlink(m.join("d/gone"))
    os.rename(m.join("d/old"), m.join("d/new"))
    os.link(m.join("d/link"), m.join("d/link2"))
    files.write(m.join("d/made"), b"")
    m.kill()
    images.check(image)
    with KernelMount(image) as mnt:
        assert sorted(os.listdir(f"{mnt}/d")) == ["link", "link2", "made", "new", "sub"]


def test_flags_are_inherited_and_kept_as_the_kernel_does(subject, image):
    """Which flags a new file or directory gets; and FSGETXATTR and FSSETXATTR beside the old calls."""
    def play(root):
        seen = {}
        for flags in (SYNC, NODUMP, NOATIME, DIRSYNC, COMPR, NOCOMP, ioctls.FS_NOCOW_FL, SYNC | NOATIME | NODUMP):
            d = os.path.join(root, f"d{flags:x}")
            os.mkdir(d)
            seen[flags, "set"] = outcome(change, d, flags)
            os.mkdir(d + "/dir")
            files.write(d + "/file", b"")
            os.symlink("x", d + "/link")
            seen[flags] = [ioctls.get_flags(p) for p in (d, d + "/dir", d + "/file")]
            seen[flags, "file"] = (outcome(change, d + "/file", flags), ioctls.get_flags(d + "/file"))
        f = os.path.join(root, "x")
        files.write(f, b"")
        for xflags in (X_SYNC, X_NOATIME | X_NODUMP, X_APPEND, 0, X_IMMUTABLE, 0, 0x2, 0x80000000 >> 1):
            seen["x", xflags] = (outcome(set_xflags, f, xflags), get_xflags(f), ioctls.get_flags(f))
        return seen
    twin = images.copy(image)
    with KernelMount(twin) as mnt:
        want = play(mnt)
    m = subject.mount(image)
    got = play(m.path)
    m.umount()
    assert {k: (v, want[k]) for k, v in got.items() if v != want[k]} == {}
    images.check(image)


def get_xflags(path):
    raw = bytearray(28)
    with_fd(path, os.O_RDONLY, lambda fd: fcntl.ioctl(fd, FSGETXATTR, raw, True))
    return struct.unpack_from("<I", raw)[0]


def set_xflags(path, xflags):
    with_fd(path, os.O_RDONLY, lambda fd: fcntl.ioctl(fd, FSSETXATTR, struct.pack("<I", xflags) + bytes(24)))


def test_noatime_file(subject, image):
    m = subject.mount(image)
    for name in ("A", "plain"):
        files.write(m.join(name), b"x")
    change(m.join("A"), NOATIME)
    for name in ("A", "plain"):
        os.utime(m.join(name), (1, 1))
    run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
    for name in ("A", "plain"):
        files.read(m.join(name))
    assert os.stat(m.join("A")).st_atime == 1 and os.stat(m.join("plain")).st_atime > 1
    m.umount()
