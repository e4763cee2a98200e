"""Mounting: options and their effects, going to the background, bad input, the claim on the source, signals."""
import errno
import fcntl
import hashlib
import os
import re
import signal
import struct
import subprocess
import threading
import time

import pytest

from harness import dump, files, image as images, ioctls, superblock
from harness.kernel import KernelMount, Loop
from harness.shell import run, wait_until
from harness.subject import MountRefused, dead_or_mounted

pytestmark = pytest.mark.fuse_only


@pytest.fixture
def mountpoint(scratch):
    path = os.path.join(scratch, "mnt")
    os.mkdir(path)
    return path


def start(subject, *argv, **kw):
    """btrfuse as a user starts it: it returns when the mount is usable."""
    return run(subject.binary, *argv, check=False, timeout=60, **kw)


def stop(mountpoint):
    run("umount", mountpoint)
    wait_until(lambda: not dead_or_mounted(mountpoint), what="umount")


def holders(image):
    """Process ids that have the image open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == image:
                    found.append(int(pid))
        except OSError:
            continue
    return sorted(set(found))


def one_line(done, source=None):
    """Refused as promised: exit 1 and one line `btrfuse: SOURCE: reason`."""
    assert done.returncode == 1, (done.returncode, done.out)
    lines = done.out.splitlines()
    assert len(lines) == 1, done.out
    assert lines[0].startswith(f"btrfuse: {source}: " if source else "btrfuse: "), lines[0]
    return lines[0]


def test_goes_to_the_background(subject, image, mountpoint):
    done = start(subject, image, mountpoint)
    assert done.returncode == 0 and done.out == ""
    files.write(f"{mountpoint}/f", b"usable at once")
    pids = holders(image)
    assert pids
    stop(mountpoint)
    wait_until(lambda: not holders(image), what="the daemon's end")
    images.judge(image)


def test_image_is_complete_when_umount_returns(subject, image, mountpoint):
    start(subject, image, mountpoint)
    for i in range(200):
        files.write(f"{mountpoint}/f{i}", os.urandom(50_000))
    stop(mountpoint)
    at_once = images.sha256(image)
    wait_until(lambda: not holders(image), what="the daemon's end")
    assert images.sha256(image) == at_once
    images.judge(image)


def test_mounted_again_at_once(subject, image, mountpoint):
    """The daemon that is on its way out leaves the next one's mount alone."""
    for i in range(25):
        assert start(subject, image, mountpoint).returncode == 0
        wait_until(lambda: len(holders(image)) == 1, what="the last daemon's end")
        assert os.path.ismount(mountpoint), f"round {i}: the mount is gone again"
        files.write(f"{mountpoint}/f{i}", b"x" * 100_000)
        run("umount", mountpoint)
    assert os.listdir(mountpoint) == []


def test_usage(subject, image):
    for argv in ([], [image], ["-q", image, "/x"], ["a", "b", "c"]):
        done = start(subject, *argv)
        assert done.returncode == 2, (argv, done.out)


def test_unknown_option_is_named(subject, image, mountpoint):
    for option in ("discard", "frobnicate", "autodefrag", "flushoncommit", "space_cache=v1"):
        line = one_line(start(subject, "-o", option, image, mountpoint))
        assert option.split("=")[0] in line


@pytest.mark.parametrize("option", ["commit=abc", "cache_size=-1", "threads=0", "subvolid=x", "cache_size=5Q"])
def test_bad_option_values(subject, image, mountpoint, option):
    line = one_line(start(subject, "-o", option, image, mountpoint))
    assert option.split("=")[0] in line


def test_option_nodatacow(subject, image):
    m = subject.mount(image, "nodatacow")
    files.write(m.join("f"), b"x" * 10_000)
    assert ioctls.get_flags(m.join("f")) & ioctls.FS_NOCOW_FL
    m.umount()
    images.check(image)
    assert "NODATASUM|NODATACOW" in images.dump_tree(image, "-t", "5")
    assert not list(dump.items(image, 7))


def test_option_nodatasum(subject, image):
    m = subject.mount(image, "nodatasum")
    files.write(m.join("f"), b"x" * 10_000)
    assert not ioctls.get_flags(m.join("f")) & ioctls.FS_NOCOW_FL
    m.umount()
    images.check(image)
    assert not list(dump.items(image, 7))
    assert "NODATASUM" in images.dump_tree(image, "-t", "5")


def test_option_noatime(subject, image):
    def atime_moves(options):
        m = subject.mount(image, options)
        files.write(m.join("f"), b"x")
        os.utime(m.join("f"), (1, 1))
        files.read(m.join("f"))
        moved = os.stat(m.join("f")).st_atime != 1
        m.umount()
        return moved
    assert not atime_moves("noatime")


def test_option_ro(subject, image):
    before = images.sha256(image)
    m = subject.mount(image, "ro")
    with pytest.raises(OSError) as e:
        files.write(m.join("f"), b"")
    assert e.value.errno == errno.EROFS
    m.umount()
    assert images.sha256(image) == before


def test_option_threads(subject, image):
    def count(n, want=None):
        """Threads of the daemon, when their number has come to rest."""
        m = subject.mount(image, f"threads={n}")
        os.listdir(m.path)
        time.sleep(0.5)
        if want:
            wait_until(lambda: m.status("Threads") == want, 10, what=f"{want} threads (there are {m.status('Threads')})")
        threads = m.status("Threads")
        m.umount()
        return threads
    count(9, count(2) + 7)


def test_option_cache_size(subject, image):
    """Reading much metadata with a small cache stays small; with a large one it does not read twice."""
    m = subject.mount(image, "cache_size=256M")
    for d in range(20):
        os.mkdir(m.join(f"d{d}"))
        for i in range(400):
            files.write(m.join(f"d{d}/{i}"), b"m" * 1900)
    m.umount()

    def bytes_read_in_second_walk(size):
        m = subject.mount(image, f"cache_size={size},noatime")
        for _ in range(2):
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("2")
            before = rchar(m.pid)
            run("find", m.path, "-size", "+100")
            after = rchar(m.pid)
        m.umount()
        return after - before
    assert bytes_read_in_second_walk("256M") < 1 << 20
    assert bytes_read_in_second_walk("4M") > 4 << 20


def rchar(pid):
    with open(f"/proc/{pid}/io") as f:
        return int(re.search(r"rchar: (\d+)", f.read()).group(1))


def test_option_allow_other(subject, image, unprivileged):
    m = subject.mount(image, "allow_other")
    os.chmod(m.path, 0o755)
    assert files.as_user(unprivileged, lambda: os.listdir(m.path)) == 0
    m.umount()


@pytest.mark.parametrize("options", ["subvol=nothing", "subvolid=4711"])
def test_missing_subvolume(subject, image, mountpoint, options):
    one_line(start(subject, "-o", options, image, mountpoint), image)


def test_commit_interval(subject, image):
    m = subject.mount(image, "commit=1")
    files.write(m.join("f"), b"not synced" * 1000)
    time.sleep(3)
    m.kill()
    images.judge(image)
    m = subject.mount(image)
    assert files.read(m.join("f")) == b"not synced" * 1000
    m.umount()


# --- bad input -------------------------------------------------------------------------------------------------

def refused(subject, source, mountpoint, *options):
    """Refused in one line with exit 1, the source unchanged. Returns the line."""
    def digest():
        return images.sha256(source) if os.path.isfile(source) else None
    before = digest()
    line = one_line(start(subject, *options, source, mountpoint), source)
    assert digest() == before, "a refused source was changed"
    assert not dead_or_mounted(mountpoint)
    return line


def test_no_btrfs(subject, scratch, mountpoint):
    path = os.path.join(scratch, "zeros")
    with open(path, "wb") as f:
        f.truncate(64 << 20)
    refused(subject, path, mountpoint)
    with open(path, "wb") as f:
        f.write(os.urandom(1 << 20))
    refused(subject, path, mountpoint)
    with open(path, "wb") as f:
        f.write(b"tiny")
    refused(subject, path, mountpoint)


def test_missing_source(subject, scratch, mountpoint):
    refused(subject, os.path.join(scratch, "nothing"), mountpoint)


def test_missing_mountpoint(subject, image):
    before = images.sha256(image)
    done = start(subject, image, "/nonexistent/mountpoint")
    line = one_line(done)
    assert "/nonexistent/mountpoint" in line
    assert images.sha256(image) == before


def test_mountpoint_is_a_file(subject, image, scratch):
    path = os.path.join(scratch, "file")
    open(path, "w").close()
    before = images.sha256(image)
    one_line(start(subject, image, path))
    assert images.sha256(image) == before


def test_truncated_image(subject, image, mountpoint):
    m = subject.mount(image)
    files.write(m.join("f"), os.urandom(1 << 20))
    m.umount()
    os.truncate(image, 100 << 20)
    refused(subject, image, mountpoint)


def test_zeroed_primary_superblock(subject, image, mountpoint):
    with open(image, "r+b") as f:
        f.seek(65536)
        f.write(bytes(4096))
    assert re.search(r"mirror|copy|copies", refused(subject, image, mountpoint))


def test_damaged_primary_superblock(subject, image, mountpoint):
    flip(image, 65536 + 300)
    refused(subject, image, mountpoint)


def flip(image, offset, count=1):
    with open(image, "r+b") as f:
        f.seek(offset)
        data = f.read(count)
        f.seek(offset)
        f.write(bytes(b ^ 0xFF for b in data))


@pytest.mark.parametrize("root", ["root", "chunk_root", "fs", "extent"])
def test_needed_node_bad_in_every_copy(subject, image, mountpoint, root):
    if root in ("root", "chunk_root"):
        logical = int(images.super_field(image, root))
    else:
        text = images.dump_tree(image, "-r")
        name = {"fs": "FS_TREE", "extent": "EXTENT_TREE"}[root]
        logical = int(re.search(rf"\(?{name}\)? ?(?:ROOT_ITEM 0\) )?(?:\S+ )*?(\d{{7,}}) level", text).group(1))
    for physical in dump.physical(image, logical):
        flip(image, physical + 100, 64)
    refused(subject, image, mountpoint)


def patch_super(image, offset, fmt, change):
    """Changes a field of the primary superblock and makes its checksum right again."""
    with open(image, "r+b") as f:
        f.seek(65536)
        block = bytearray(f.read(4096))
        value, = struct.unpack_from(fmt, block, offset)
        struct.pack_into(fmt, block, offset, change(value))
        struct.pack_into("<I", block, 0, crc32c(bytes(block[32:])))
        f.seek(65536)
        f.write(block)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


INCOMPAT, COMPAT_RO = 0xBC, 0xB4


@pytest.mark.parametrize("bit", [1 << 40, 1 << 14])
def test_unknown_incompat_bit(subject, image, mountpoint, bit):
    patch_super(image, INCOMPAT, "<Q", lambda v: v | bit)
    line = refused(subject, image, mountpoint)
    assert re.search(r"incompat|feature|0x[0-9a-f]+|raid", line, re.I), line
    refused(subject, image, mountpoint, "-o", "ro")


def test_total_bytes_below_the_devices(subject, image, mountpoint):
    """As the kernel: for reading only."""
    superblock.edit(image, lambda sb: sb.put_u64(superblock.TOTAL_BYTES, 0))
    twin = images.copy(image)
    with pytest.raises(RuntimeError):
        KernelMount(twin, allow_complaints=True).mount()
    with KernelMount(twin, "ro", allow_complaints=True):
        pass
    with pytest.raises(MountRefused, match="total bytes"):
        subject.mount(image)
    subject.mount(image, "ro").umount()


def test_unknown_compat_ro_bit(subject, image, mountpoint):
    patch_super(image, COMPAT_RO, "<Q", lambda v: v | 1 << 40)
    line = refused(subject, image, mountpoint)
    assert re.search(r"compat_ro|feature", line), line
    m = subject.mount(image, "ro")
    os.listdir(m.path)
    m.umount()


def test_unsupported_features_of_mkfs(subject, scratch, mountpoint):
    for options in (["--csum", "xxhash"], ["-d", "raid0", "-m", "raid0", "-O", "raid56"]):
        path = os.path.join(scratch, "odd")
        try:
            images.make(path, 256, *options)
        except RuntimeError:
            continue
        try:
            m = subject.mount(path)
            m.umount()
            images.check(path)      # supported after all: then it has to be right
        except MountRefused as e:
            assert e.code == 1


def test_compressed_extent(subject, image):
    with KernelMount(image, "compress-force=zstd") as mnt:
        files.write(f"{mnt}/z", b"compressible " * 50_000, sync=True)
        files.write(f"{mnt}/plain", b"p", sync=True)
    m = subject.mount(image)
    try:
        assert files.read(m.join("z")) == b"compressible " * 50_000
    except OSError as e:
        assert e.errno == errno.EOPNOTSUPP
        assert len([l for l in m.stderr().splitlines() if "compress" in l]) == 1
    assert files.read(m.join("plain")) == b"p"
    m.umount()
    images.check(image)


def test_source_without_o_direct(subject, image, mountpoint, tmp_path):
    """ramfs cannot do O_DIRECT."""
    folder = tmp_path / "ramfs"
    folder.mkdir()
    run("mount", "-t", "ramfs", "none", folder)
    try:
        path = images.copy(image, str(folder / "img"))
        line = one_line(start(subject, path, mountpoint), path)
        assert "O_DIRECT" in line
    finally:
        run("umount", folder)


def test_no_permission(subject, image, scratch, unprivileged):
    os.chmod(image, 0o600)
    point = os.path.join(scratch, "his")
    os.mkdir(point)
    os.chown(point, *unprivileged)
    before = images.sha256(image)
    done = subprocess.run([subject.binary, image, point], user=unprivileged[0], group=unprivileged[1], extra_groups=[],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"btrfuse: {image}: "), lines
    assert images.sha256(image) == before


# --- the claim on the source -----------------------------------------------------------------------------------

def test_second_btrfuse_is_refused(subject, image, mountpoint):
    m = subject.mount(image)
    line = one_line(start(subject, image, mountpoint), image)
    assert re.search(r"busy|in use|lock", line, re.I), line
    line = one_line(start(subject, "-o", "ro", image, mountpoint), image)
    files.write(m.join("f"), b"first goes on")
    m.umount()
    images.judge(image)


def test_two_readers(subject, image):
    a = subject.mount(image, "ro")
    b = subject.mount(image, "ro")
    assert os.listdir(a.path) == os.listdir(b.path)
    b.umount()
    a.umount()


def test_image_lock_is_an_ofd_lock(subject, image):
    m = subject.mount(image)
    fd = os.open(image, os.O_RDWR)
    F_OFD_SETLK = 37
    with pytest.raises(OSError):
        fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))
    os.close(fd)
    m.umount()
    fd = os.open(image, os.O_RDWR)
    fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))
    os.close(fd)


def test_block_device_is_claimed(subject, image, mountpoint):
    loop = Loop(image)
    try:
        run("losetup", "--direct-io=on", loop.device, check=False)
        m = subject.mount(loop.device, mountpoint=mountpoint)
        files.write(m.join("f"), b"on a device")
        assert run("mount", "-t", "btrfs", loop.device, "/mnt", check=False).returncode != 0
        assert run("mkfs.btrfs", "-f", loop.device, check=False).returncode != 0
        with pytest.raises(OSError) as e:
            os.open(loop.device, os.O_RDWR | os.O_EXCL)
        assert e.value.errno == errno.EBUSY
        other = mountpoint + "2"
        os.mkdir(other)
        one_line(start(subject, loop.device, other), loop.device)
        m.umount()
        os.close(os.open(loop.device, os.O_RDWR | os.O_EXCL))
    finally:
        loop.close()
    images.judge(image)


def test_busy_block_device(subject, image, mountpoint):
    loop = Loop(image)
    try:
        fd = os.open(loop.device, os.O_RDWR | os.O_EXCL)
        line = one_line(start(subject, loop.device, mountpoint), loop.device)
        assert re.search(r"busy|in use", line, re.I), line
        os.close(fd)
    finally:
        loop.close()


def test_loop_device_that_goes_while_it_is_looked_at(subject, image, scratch):
    """Who looks at a loop device may be its last user, and it is cleared when he has looked. Held all the same, it would be
    the free one that nobody can have: no claim for us, and no `mount -o loop` for anybody."""
    loop = Loop(image)
    user = os.open(loop.device, os.O_RDONLY)
    run("losetup", "-d", loop.device)  # as soon as nobody has it open

    def leave():
        wait_until(lambda: set(holders(loop.device)) - {os.getpid()}, what="btrfuse's look at the loop device")
        os.close(user)

    leaving = threading.Thread(target=leave)
    leaving.start()
    m = subject.mount(image, wrapper=("strace", "-f", "-o", os.path.join(scratch, "strace"), "-P", loop.device,
                                      "-e", "inject=ioctl:delay_exit=1000000:when=1"))
    leaving.join()
    with open("/proc/self/mountinfo") as f:
        assert [line.split(" - ")[1].split()[0] for line in f if f" {m.path} " in line] == ["fuseblk.btrfuse"]
    other = os.path.join(scratch, "kernel")
    os.mkdir(other)
    assert run("mount", "-o", "loop", image, other, check=False, timeout=20).returncode != 0
    m.umount()


@pytest.fixture
def fuse_for_all():
    """/dev/fuse as udev sets it up on a full system; minimal machines leave it to root."""
    mode = os.stat("/dev/fuse").st_mode & 0o7777
    os.chmod("/dev/fuse", 0o666)
    yield
    os.chmod("/dev/fuse", mode)


# --- signals ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_unmount_cleanly(subject, image, number):
    m = subject.mount(image)
    for i in range(100):
        files.write(m.join(f"f{i}"), b"x" * 5000)
    m.process.send_signal(number)
    assert m.process.wait(30) == 0, m.stderr()
    wait_until(lambda: not dead_or_mounted(m.path), what="unmounting")
    images.judge(image)
    m = subject.mount(image)
    assert len(os.listdir(m.path)) == 100
    m.umount()


def test_unprivileged_mount_and_umount(subject, image, scratch, unprivileged, fuse_for_all):
    """As somebody else: mounts, works, and `btrfusectl umount` returns when the image is complete."""
    os.chown(image, *unprivileged)
    os.chown(scratch, *unprivileged)
    point = os.path.join(scratch, "his")
    os.mkdir(point)
    os.chown(point, *unprivileged)
    who = dict(user=unprivileged[0], group=unprivileged[1], extra_groups=[], capture_output=True, text=True, timeout=60)
    with KernelMount(image) as mnt:
        os.chmod(mnt, 0o777)
    done = subprocess.run([subject.binary, image, point], **who)
    assert done.returncode == 0, done.stderr
    try:
        code = files.as_user(unprivileged, lambda: [files.write(f"{point}/f{i}", os.urandom(20_000)) for i in range(50)])
        assert code == 0
        done = subprocess.run([subject.ctl, "balance", "start", "-d", point], **who)
        assert done.returncode == 0, done.stderr
        done = subprocess.run([subject.ctl, "umount", point], **who)
        assert done.returncode == 0, done.stderr
        at_once = images.sha256(image)
        wait_until(lambda: not holders(image), what="the daemon's end")
        assert images.sha256(image) == at_once
    finally:
        run("umount", "-l", point, check=False)
    images.judge(image)


def test_hash_helper():
    assert crc32c(b"123456789") == 0xE3069283 and hashlib
