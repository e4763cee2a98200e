"""What programs expect of any POSIX file system, one small fact a test. After each test the image must check clean."""
import errno
import mmap
import os
import stat
import time

import pytest

from harness import files, ioctls
from harness.shell import run


def write(path, data, flags=os.O_CREAT | os.O_WRONLY | os.O_TRUNC):
    fd = os.open(path, flags, 0o644)
    try:
        assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def refuses(code, call, *args, **kw):
    with pytest.raises(OSError) as e:
        call(*args, **kw)
    assert e.value.errno == code, e.value


def test_empty_root(mounted):
    assert os.listdir(mounted.path) == []
    st = os.stat(mounted.path)
    assert stat.S_ISDIR(st.st_mode) and st.st_uid == 0


def test_create_write_read(mounted):
    for size in (0, 1, 100, 2047, 2048, 2049, 4095, 4096, 4097, 100_000, 3_000_000):
        data = os.urandom(size)
        write(mounted.join(f"f{size}"), data)
        assert read(mounted.join(f"f{size}")) == data
        assert os.stat(mounted.join(f"f{size}")).st_size == size


def test_create_exclusive(mounted):
    write(mounted.join("a"), b"x")
    refuses(errno.EEXIST, os.open, mounted.join("a"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_missing_name(mounted):
    refuses(errno.ENOENT, os.stat, mounted.join("nothing"))
    refuses(errno.ENOENT, os.unlink, mounted.join("nothing"))
    write(mounted.join("nothing"), b"")      # a cached negative entry does not hide the new file
    os.stat(mounted.join("nothing"))


def test_long_names(mounted):
    os.mkdir(mounted.join("n" * 255))
    refuses(errno.ENAMETOOLONG, os.mkdir, mounted.join("n" * 256))
    assert os.listdir(mounted.path) == ["n" * 255]


def test_names_are_bytes(mounted):
    names = [b"\xff\xfe", b"new\nline", "größe".encode(), b" ", b"...", b"a\\b"]
    for n in names:
        os.mkdir(os.path.join(os.fsencode(mounted.path), n))
    assert sorted(os.listdir(os.fsencode(mounted.path))) == sorted(names)


def test_mkdir_rmdir(mounted):
    os.mkdir(mounted.join("d"), 0o750)
    assert stat.S_IMODE(os.stat(mounted.join("d")).st_mode) == 0o750
    os.mkdir(mounted.join("d/e"))
    refuses(errno.ENOTEMPTY, os.rmdir, mounted.join("d"))
    refuses(errno.EEXIST, os.mkdir, mounted.join("d"))
    os.rmdir(mounted.join("d/e"))
    os.rmdir(mounted.join("d"))
    refuses(errno.ENOENT, os.rmdir, mounted.join("d"))


def test_wrong_kinds(mounted):
    os.mkdir(mounted.join("d"))
    write(mounted.join("f"), b"x")
    refuses(errno.ENOTDIR, os.rmdir, mounted.join("f"))
    refuses(errno.EISDIR, os.unlink, mounted.join("d"))
    refuses(errno.ENOTDIR, os.stat, mounted.join("f/x"))
    refuses(errno.EISDIR, os.open, mounted.join("d"), os.O_WRONLY)


def test_directory_size_is_twice_the_names(mounted):
    os.mkdir(mounted.join("d"))
    for n in ("a", "bcd", "e" * 100):
        os.mkdir(mounted.join("d", n))
    assert os.stat(mounted.join("d")).st_size == 2 * (1 + 3 + 100)


def test_mknod_kinds(mounted):
    os.mkfifo(mounted.join("fifo"), 0o600)
    os.mknod(mounted.join("chr"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(mounted.join("blk"), 0o600 | stat.S_IFBLK, os.makedev(259, 70000))
    os.mknod(mounted.join("sock"), 0o600 | stat.S_IFSOCK)
    assert stat.S_ISFIFO(os.stat(mounted.join("fifo")).st_mode)
    assert os.stat(mounted.join("chr")).st_rdev == os.makedev(1, 3)
    assert os.stat(mounted.join("blk")).st_rdev == os.makedev(259, 70000)
    assert stat.S_ISSOCK(os.stat(mounted.join("sock")).st_mode)


def test_symlinks(mounted):
    for n in (1, 100, 3000):
        os.symlink("t" * n, mounted.join(f"l{n}"))
        assert os.readlink(mounted.join(f"l{n}")) == "t" * n
        assert os.lstat(mounted.join(f"l{n}")).st_size == n
    os.symlink("target", mounted.join("to"))
    write(mounted.join("target"), b"seen")
    assert read(mounted.join("to")) == b"seen"


def test_following_a_symlink_moves_its_access_time(mounted):
    os.symlink("target", mounted.join("to"))
    os.utime(mounted.join("to"), (1, 1), follow_symlinks=False)
    os.readlink(mounted.join("to"))
    assert os.lstat(mounted.join("to")).st_atime > 1


def test_hard_links(mounted):
    write(mounted.join("a"), b"one")
    os.mkdir(mounted.join("d"))
    os.link(mounted.join("a"), mounted.join("b"))
    os.link(mounted.join("a"), mounted.join("d/c"))
    assert os.stat(mounted.join("a")).st_nlink == 3
    assert os.stat(mounted.join("a")).st_ino == os.stat(mounted.join("d/c")).st_ino
    write(mounted.join("d/c"), b"two")
    assert read(mounted.join("a")) == b"two"
    os.unlink(mounted.join("a"))
    assert os.stat(mounted.join("b")).st_nlink == 2
    refuses(errno.EPERM, os.link, mounted.join("d"), mounted.join("dd"))
    refuses(errno.EEXIST, os.link, mounted.join("b"), mounted.join("d/c"))


def test_many_hard_links_in_one_directory(mounted):
    """More than fit one INODE_REF item: the rest go to extended refs."""
    write(mounted.join("f"), b"x")
    for i in range(700):
        os.link(mounted.join("f"), mounted.join(f"link-with-a-rather-long-name-{i:04}"))
    assert os.stat(mounted.join("f")).st_nlink == 701
    for i in range(0, 700, 2):
        os.unlink(mounted.join(f"link-with-a-rather-long-name-{i:04}"))
    assert os.stat(mounted.join("f")).st_nlink == 351


def test_unlinked_but_open(mounted):
    fd = os.open(mounted.join("f"), os.O_CREAT | os.O_RDWR)
    os.write(fd, b"still here")
    os.unlink(mounted.join("f"))
    assert os.fstat(fd).st_nlink == 0
    os.write(fd, b"!" * 100_000)
    assert os.pread(fd, 10, 0) == b"still here"
    os.close(fd)
    assert os.listdir(mounted.path) == []


def test_rename(mounted):
    write(mounted.join("a"), b"A")
    write(mounted.join("b"), b"B")
    os.mkdir(mounted.join("d"))
    os.rename(mounted.join("a"), mounted.join("d/x"))
    os.rename(mounted.join("b"), mounted.join("d/x"))
    assert read(mounted.join("d/x")) == b"B"
    assert sorted(os.listdir(mounted.path)) == ["d"]
    os.mkdir(mounted.join("e"))
    os.rename(mounted.join("d"), mounted.join("e/d"))
    assert read(mounted.join("e/d/x")) == b"B"
    refuses(errno.EINVAL, os.rename, mounted.join("e"), mounted.join("e/d/e"))


def test_rename_over_directories(mounted):
    os.makedirs(mounted.join("a/x"))
    os.mkdir(mounted.join("b"))
    write(mounted.join("f"), b"")
    os.rename(mounted.join("a"), mounted.join("b"))
    assert os.listdir(mounted.join("b")) == ["x"]
    os.mkdir(mounted.join("c"))
    refuses(errno.ENOTEMPTY, os.rename, mounted.join("c"), mounted.join("b"))
    refuses(errno.ENOTDIR, os.rename, mounted.join("c"), mounted.join("f"))
    refuses(errno.EISDIR, os.rename, mounted.join("f"), mounted.join("c"))


def test_rename_to_own_hard_link_does_nothing(mounted):
    write(mounted.join("a"), b"x")
    os.link(mounted.join("a"), mounted.join("b"))
    os.rename(mounted.join("a"), mounted.join("b"))
    assert sorted(os.listdir(mounted.path)) == ["a", "b"]


def renameat2(old, new, flags):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def test_rename_exchange_and_noreplace(mounted):
    write(mounted.join("a"), b"A")
    os.mkdir(mounted.join("d"))
    write(mounted.join("d/in"), b"in")
    refuses(errno.EEXIST, renameat2, mounted.join("a"), mounted.join("d"), 1)
    renameat2(mounted.join("a"), mounted.join("new"), 1)
    renameat2(mounted.join("new"), mounted.join("d"), 2)
    assert read(mounted.join("d")) == b"A"
    assert read(mounted.join("new/in")) == b"in"


def test_names_with_equal_hashes(mounted):
    """btrfs keeps names with one hash in one item. crc32c is linear, so these are easy to make."""
    pairs = colliding_names(3)
    for name in pairs:
        os.mkdir(os.path.join(os.fsencode(mounted.path), name))
    assert sorted(os.listdir(os.fsencode(mounted.path))) == sorted(pairs)
    os.rmdir(os.path.join(os.fsencode(mounted.path), pairs[1]))
    assert sorted(os.listdir(os.fsencode(mounted.path))) == sorted([pairs[0], pairs[2]])


def crc32c(data, crc):
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def colliding_names(count):
    """Names of equal crc32c: four last bytes are solved for so that the register ends at the same value."""
    table = [crc32c(bytes([b]), 0) for b in range(256)]
    top = {t >> 24: i for i, t in enumerate(table)}

    def finish(prefix, target):
        start, indices, value = crc32c(prefix, 0xFFFFFFFE), [], target
        for _ in range(4):
            i = top[value >> 24]
            indices.append(i)
            value = (value ^ table[i]) << 8 & 0xFFFFFFFF
        tail, register = b"", start
        for i in reversed(indices):
            byte = (register & 0xFF) ^ i
            tail += bytes([byte])
            register = register >> 8 ^ table[i]
        return prefix + tail

    found, n = [], 0
    while len(found) < count:
        name = finish(b"name-%d-" % n, 0x12345678)
        if b"/" not in name and b"\0" not in name:
            found.append(name)
        n += 1
    assert len({crc32c(x, 0xFFFFFFFE) for x in found}) == 1
    return found


def test_truncate_and_extend(mounted):
    data = os.urandom(300_000)
    write(mounted.join("f"), data)
    for size in (200_001, 8192, 4097, 100, 0, 50, 4096, 1 << 20):
        before = read(mounted.join("f"))
        os.truncate(mounted.join("f"), size)
        after = read(mounted.join("f"))
        assert after == before[:size] + bytes(max(0, size - len(before)))


def test_truncate_leaves_no_stale_tail(mounted):
    write(mounted.join("f"), b"secret" * 1000)
    os.truncate(mounted.join("f"), 10)
    os.truncate(mounted.join("f"), 6000)
    assert read(mounted.join("f")) == b"secretsecr" + bytes(5990)


def test_write_far_out_leaves_a_hole(mounted):
    fd = os.open(mounted.join("f"), os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"end", (5 << 30) + 7)
    os.fsync(fd)
    assert os.fstat(fd).st_size == (5 << 30) + 10
    assert os.pread(fd, 3, (5 << 30) + 7) == b"end"
    assert os.pread(fd, 4096, 1 << 30) == bytes(4096)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 5 << 30
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    assert os.fstat(fd).st_blocks == 8
    os.close(fd)


def test_overwrites_at_odd_places(mounted):
    model = bytearray(os.urandom(100_000))
    write(mounted.join("f"), bytes(model))
    fd = os.open(mounted.join("f"), os.O_RDWR)
    for off, n in ((0, 1), (4095, 2), (4096, 4096), (10_001, 20_000), (99_999, 1), (50_000, 12_288), (65_536, 5)):
        piece = os.urandom(n)
        os.pwrite(fd, piece, off)
        model[off:off + n] = piece
    assert read(mounted.join("f")) == bytes(model)
    os.fsync(fd)
    os.close(fd)
    assert read(mounted.join("f")) == bytes(model)


def test_append(mounted):
    for i in range(50):
        write(mounted.join("log"), b"line %03d\n" % i, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    assert read(mounted.join("log")) == b"".join(b"line %03d\n" % i for i in range(50))


def test_direct_io(mounted):
    buf = mmap.mmap(-1, 1 << 20)
    buf[:] = os.urandom(1 << 20)
    fd = os.open(mounted.join("f"), os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    assert os.pwrite(fd, buf, 0) == 1 << 20
    back = mmap.mmap(-1, 1 << 20)
    assert os.preadv(fd, [back], 0) == 1 << 20
    assert back[:] == buf[:]
    assert os.pwrite(fd, memoryview(buf)[:4096], 1 << 20) == 4096
    assert os.preadv(fd, [memoryview(back)[:8192]], 1 << 20) == 4096
    os.close(fd)
    assert read(mounted.join("f")) == buf[:] + buf[:4096]


def of_kind(kind, path, size):
    """What an existing file holds before it is written to directly."""
    if kind == "new":
        return b""
    if kind == "prealloc":
        files.fallocate(path, 0, size)
        return bytes(size)
    if kind == "nocow":
        files.nocow(path)
    data = os.urandom(size)
    files.write(path, data, sync=True)
    return data


@pytest.mark.parametrize("offset,size", [(0, 5000), (512, 512), (100, 8192), (1 << 20, 10), (4095, 2)])
@pytest.mark.parametrize("kind", ["new", "checksummed", "nocow", "prealloc"])
def test_direct_io_of_any_size(mounted, kind, offset, size):
    """What is not made of whole sectors is on the device when it returns, too."""
    path = mounted.join("f")
    model = bytearray(of_kind(kind, path, 2 << 20)).ljust(offset + size, b"\0")
    data = mmap.mmap(-1, size)
    data[:] = os.urandom(size)
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    assert os.pwrite(fd, data, offset) == size
    os.close(fd)
    model[offset:offset + size] = data[:]
    ioctls.sync_fs(mounted.path)
    assert read(path) == bytes(model)
    files.write(mounted.join("after"), b"the file system still takes changes", sync=True)


def test_direct_and_buffered_see_each_other(mounted):
    write(mounted.join("f"), bytes(65536))
    direct = os.open(mounted.join("f"), os.O_RDWR | os.O_DIRECT)
    buffered = os.open(mounted.join("f"), os.O_RDWR)
    buf = mmap.mmap(-1, 4096)
    for i in range(16):
        buf[:] = bytes([i + 1]) * 4096
        os.pwrite(direct, buf, i * 4096)
        assert os.pread(buffered, 4096, i * 4096) == buf[:]
        os.pwrite(buffered, bytes([i + 101]) * 4096, i * 4096)
        os.preadv(direct, [buf], i * 4096)
        assert buf[:] == bytes([i + 101]) * 4096
    os.close(direct)
    os.close(buffered)


def test_shared_mmap(mounted):
    write(mounted.join("f"), bytes(40_000))
    fd = os.open(mounted.join("f"), os.O_RDWR)
    m = mmap.mmap(fd, 40_000, mmap.MAP_SHARED)
    m[5000:5010] = b"0123456789"
    m[39_990:] = b"abcdefghij"
    m.flush()
    m.close()
    os.fsync(fd)
    os.close(fd)
    data = read(mounted.join("f"))
    assert data[5000:5010] == b"0123456789" and data[39_990:] == b"abcdefghij" and len(data) == 40_000


def test_mmap_sees_writes(mounted):
    write(mounted.join("f"), b"x" * 8192)
    fd = os.open(mounted.join("f"), os.O_RDWR)
    m = mmap.mmap(fd, 8192, mmap.MAP_SHARED)
    assert m[4096:4097] == b"x"
    os.pwrite(fd, b"y", 4096)
    assert m[4096:4097] == b"y"
    m.close()
    os.close(fd)


def fallocate(fd, mode, off, length):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def test_fallocate(mounted):
    fd = os.open(mounted.join("f"), os.O_CREAT | os.O_RDWR)
    fallocate(fd, 0, 0, 1 << 20)
    assert os.fstat(fd).st_size == 1 << 20
    assert os.fstat(fd).st_blocks == 2048
    assert os.pread(fd, 1 << 20, 0) == bytes(1 << 20)
    os.pwrite(fd, b"data", 8192)
    assert os.pread(fd, 12_000, 4096) == bytes(4096) + b"data" + bytes(12_000 - 4100)
    os.close(fd)


def test_fallocate_keep_size(mounted):
    fd = os.open(mounted.join("f"), os.O_CREAT | os.O_RDWR)
    os.write(fd, b"abc")
    fallocate(fd, 1, 0, 1 << 20)
    assert os.fstat(fd).st_size == 3
    os.pwrite(fd, b"Z", 100_000)
    assert os.fstat(fd).st_size == 100_001
    assert os.pread(fd, 100_001, 0) == b"abc" + bytes(99_997) + b"Z"
    os.close(fd)


@pytest.mark.parametrize("off,length", [(4096, 8192), (1000, 100), (1000, 20_000), (0, 4096), (90_000, 50_000), (0, 100_000)])
def test_punch_hole(mounted, off, length):
    model = bytearray(os.urandom(100_000))
    write(mounted.join("f"), bytes(model))
    fd = os.open(mounted.join("f"), os.O_RDWR)
    fallocate(fd, 3, off, length)
    end = min(off + length, len(model))
    model[off:end] = bytes(end - off)
    assert os.fstat(fd).st_size == 100_000
    os.close(fd)
    assert read(mounted.join("f")) == bytes(model)


def test_seek_data_and_hole(mounted):
    fd = os.open(mounted.join("f"), os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"a" * 4096, 0)
    os.pwrite(fd, b"b" * 4096, 65536)
    os.ftruncate(fd, 200_000)
    os.fsync(fd)
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 4096
    assert os.lseek(fd, 4096, os.SEEK_DATA) == 65536
    assert os.lseek(fd, 65536, os.SEEK_HOLE) == 69632
    refuses(errno.ENXIO, os.lseek, fd, 69632, os.SEEK_DATA)
    refuses(errno.ENXIO, os.lseek, fd, 200_000, os.SEEK_HOLE)
    os.close(fd)


def test_times(mounted):
    write(mounted.join("f"), b"x")
    os.utime(mounted.join("f"), ns=(1_000_000_001, 2_000_000_002))
    st = os.stat(mounted.join("f"))
    assert (st.st_atime_ns, st.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    os.utime(mounted.join("f"), ns=(-5_000_000_000, 5_000_000_000_000_000_000))
    st = os.stat(mounted.join("f"))
    assert (st.st_atime_ns, st.st_mtime_ns) == (-5_000_000_000, 5_000_000_000_000_000_000)


def test_times_move(mounted):
    os.mkdir(mounted.join("d"))
    before = os.stat(mounted.join("d")).st_mtime_ns
    time.sleep(0.02)
    write(mounted.join("d/f"), b"x")
    assert os.stat(mounted.join("d")).st_mtime_ns > before
    m1, c1 = os.stat(mounted.join("d/f")).st_mtime_ns, os.stat(mounted.join("d/f")).st_ctime_ns
    time.sleep(0.02)
    write(mounted.join("d/f"), b"y", os.O_WRONLY)
    assert os.stat(mounted.join("d/f")).st_mtime_ns > m1
    time.sleep(0.02)
    c2 = os.stat(mounted.join("d/f")).st_ctime_ns
    os.chmod(mounted.join("d/f"), 0o600)
    assert os.stat(mounted.join("d/f")).st_ctime_ns > c2 > c1 - 1


def test_xattrs(mounted):
    f = mounted.join("f")
    write(f, b"")
    os.setxattr(f, "user.a", b"1")
    os.setxattr(f, "user.empty", b"")
    os.setxattr(f, "trusted.t", b"root's")
    os.setxattr(f, "security.s", b"lsm")
    os.setxattr(f, "user.big", b"x" * 10_000)
    assert sorted(os.listxattr(f)) == ["security.s", "trusted.t", "user.a", "user.big", "user.empty"]
    assert os.getxattr(f, "user.big") == b"x" * 10_000
    os.setxattr(f, "user.a", b"longer than before", os.XATTR_REPLACE)
    assert os.getxattr(f, "user.a") == b"longer than before"
    refuses(errno.EEXIST, os.setxattr, f, "user.a", b"", os.XATTR_CREATE)
    refuses(errno.ENODATA, os.setxattr, f, "user.none", b"", os.XATTR_REPLACE)
    os.removexattr(f, "user.a")
    refuses(errno.ENODATA, os.getxattr, f, "user.a")
    refuses(errno.ENODATA, os.removexattr, f, "user.a")


def test_xattr_without_a_name(mounted):
    write(mounted.join("f"), b"")
    for name in ("user.", "trusted.", "security."):
        refuses(errno.EINVAL, os.setxattr, mounted.join("f"), name, b"")


def test_a_copy_that_is_none_of_sharing_reads_its_source(mounted):
    write(mounted.join("from"), b"x" * 5000)
    os.utime(mounted.join("from"), (1, 1))
    os.stat(mounted.join("from"))
    with open(mounted.join("from"), "rb") as src, open(mounted.join("to"), "wb") as dst:
        assert os.copy_file_range(src.fileno(), dst.fileno(), 100, 7, 0) == 100
    assert os.stat(mounted.join("from")).st_atime > 1


def test_changes_that_the_kernel_does_not_see_are_seen_in_the_times(mounted):
    """chattr moves the change time; reading a directory its access time, at once."""
    from harness import ioctls
    write(mounted.join("f"), b"")
    before = os.stat(mounted.join("f")).st_ctime_ns
    time.sleep(0.02)
    ioctls.set_flags(mounted.join("f"), 0x40)
    assert os.stat(mounted.join("f")).st_ctime_ns > before
    for n in range(50):
        os.mkdir(mounted.join(f"d{n}"))
        os.utime(mounted.join(f"d{n}"), (1, 1))
        os.listdir(mounted.join(f"d{n}"))
        assert os.stat(mounted.join(f"d{n}")).st_atime > 1


def test_xattr_too_big(mounted):
    write(mounted.join("f"), b"")
    refuses(errno.ENOSPC, os.setxattr, mounted.join("f"), "user.a", b"x" * 20_000)


def test_readdir_of_many(mounted):
    os.mkdir(mounted.join("d"))
    want = {f"file-{i}" for i in range(3000)}
    for n in want:
        os.close(os.open(mounted.join("d", n), os.O_CREAT | os.O_WRONLY))
    assert set(os.listdir(mounted.join("d"))) == want
    for n in sorted(want)[:1500]:
        os.unlink(mounted.join("d", n))
    assert set(os.listdir(mounted.join("d"))) == set(sorted(want)[1500:])


def test_deleting_while_reading_a_directory(mounted):
    os.mkdir(mounted.join("d"))
    for i in range(2000):
        os.close(os.open(mounted.join(f"d/{i}"), os.O_CREAT | os.O_WRONLY))
    seen = 0
    with os.scandir(mounted.join("d")) as entries:
        for e in entries:
            os.unlink(e.path)
            seen += 1
    assert seen == 2000 and os.listdir(mounted.join("d")) == []
    os.rmdir(mounted.join("d"))


def test_dot_entries_and_inode_numbers(mounted):
    os.mkdir(mounted.join("d"))
    write(mounted.join("d/f"), b"")
    with os.scandir(mounted.join("d")) as entries:
        for e in entries:
            assert e.inode() == os.stat(e.path).st_ino
    assert os.stat(mounted.join("d/..")).st_ino == os.stat(mounted.path).st_ino


def test_statfs(mounted):
    st = os.statvfs(mounted.path)
    assert st.f_frsize * st.f_blocks == 512 << 20
    free = st.f_bavail * st.f_frsize
    assert 300 << 20 < free <= 512 << 20
    write(mounted.join("f"), os.urandom(50 << 20))
    run("sync", mounted.join("f"))
    after = os.statvfs(mounted.path)
    assert 45 << 20 < free - after.f_bavail * after.f_frsize < 60 << 20


def test_fsync_of_everything(mounted):
    write(mounted.join("f"), b"x" * 10_000)
    for path in (mounted.join("f"), mounted.path):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    run("sync", "-f", mounted.path)


def test_many_small_files(mounted):
    for d in range(10):
        os.mkdir(mounted.join(f"d{d}"))
        for i in range(150):
            write(mounted.join(f"d{d}/f{i}"), b"%d-%d" % (d, i) * (i + 1))
    for d in range(10):
        for i in range(0, 150, 2):
            os.unlink(mounted.join(f"d{d}/f{i}"))
    for d in range(10):
        for i in range(1, 150, 2):
            assert read(mounted.join(f"d{d}/f{i}")) == b"%d-%d" % (d, i) * (i + 1)


def test_deep_directories(mounted):
    path = mounted.path
    for i in range(60):
        path = os.path.join(path, f"level{i}")
        os.mkdir(path)
    write(os.path.join(path, "leaf"), b"down here")
    assert read(os.path.join(path, "leaf")) == b"down here"


def test_remount_keeps_everything(subject, image):
    from harness import treeview
    m = subject.mount(image)
    os.mkdir(m.join("d"))
    write(m.join("d/small"), b"inline")
    write(m.join("d/large"), os.urandom(2_000_000))
    os.symlink("large", m.join("d/link"))
    os.link(m.join("d/small"), m.join("hard"))
    os.setxattr(m.join("d/large"), "user.k", b"v")
    before = treeview.look(m.path)
    m.umount()
    m = subject.mount(image)
    treeview.assert_same(before, treeview.look(m.path), ("before", "after"))
    m.umount()


def test_open_truncate(mounted):
    write(mounted.join("f"), b"x" * 100_000)
    write(mounted.join("f"), b"y")
    assert read(mounted.join("f")) == b"y"


def test_two_writers_at_once(mounted):
    """Two processes append to one file; no line is lost or torn."""
    pids = []
    for w in range(2):
        pid = os.fork()
        if pid == 0:
            fd = os.open(mounted.join("log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
            for i in range(500):
                os.write(fd, b"writer %d line %05d\n" % (w, i))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    lines = read(mounted.join("log")).splitlines()
    assert sorted(lines) == sorted(b"writer %d line %05d" % (w, i) for w in range(2) for i in range(500))


def test_truncating_to_the_same_size_is_a_change(mounted):
    """Through a descriptor, or by O_TRUNC; not by name."""
    path = mounted.join("f")
    write(path, b"")
    for cut in (lambda fd: os.ftruncate(fd, 0), lambda _: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))):
        os.utime(path, (1, 1))
        fd = os.open(path, os.O_RDWR)
        cut(fd)
        os.close(fd)
        assert os.stat(path).st_mtime > 1
    os.utime(path, (1, 1))
    os.truncate(path, 0)
    assert os.stat(path).st_mtime == 1


def test_a_hole_in_a_hole_is_no_change(mounted):
    write(mounted.join("f"), b"x" * 10)
    os.utime(mounted.join("f"), (1, 1))
    files.fallocate(mounted.join("f"), 8192, 4096, files.PUNCH_HOLE | files.KEEP_SIZE)
    assert os.stat(mounted.join("f")).st_mtime == 1


@pytest.mark.parametrize("how", ["written", "preallocated"])
def test_blocks_written_over_are_counted_once(mounted, how):
    """Before they are written back, too."""
    fd = os.open(mounted.join("f"), os.O_RDWR | os.O_CREAT)
    if how == "written":
        os.pwrite(fd, b"a" * (1 << 20), 0)
    else:
        os.posix_fallocate(fd, 0, 1 << 20)
    os.fsync(fd)
    os.pwrite(fd, b"b" * 700_000, 0)
    assert os.fstat(fd).st_blocks == 2048
    os.pwrite(fd, b"c" * 4096, 1 << 20)
    assert os.fstat(fd).st_blocks == 2056
    os.close(fd)
