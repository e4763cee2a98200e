"""In place: where a write has to go to the extent's own place, and where it must not."""
import mmap
import os
import random
import re
import signal

import pytest

from harness import blocks, dump, files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run


def placed(image, inode, tree=5):
    """(offset, kind, disk, extent offset, length) of the file's extents; what an overwrite in place leaves alone."""
    return [(e.offset, e.kind, e.disk, e.extent_offset, e.length, e.generation) for e in dump.file_extents(image, inode, tree)]


@pytest.fixture
def nocow_image(image):
    """An image of the kernel with a nodatacow file of 1 MiB in one extent. Returns (image, inode)."""
    with KernelMount(image) as mnt:
        path = files.nocow(f"{mnt}/f")
        files.write(path, os.urandom(1 << 20), sync=True)
        return image, files.inode(path)


def direct_write(path, data, offset):
    d = blocks.DirectFile(path)
    d.write(data, offset)
    d.close()


def test_overwrite_leaves_the_items_alone(subject, nocow_image):
    image, inode = nocow_image
    before = placed(image, inode)
    m = subject.mount(image)
    for at in range(0, 1 << 20, 65536):
        direct_write(m.join("f"), blocks.make(1, at, 1), at)
    files.write(m.join("f"), b"buffered, odd place", 5000, sync=True)
    m.umount()
    assert placed(image, inode) == before
    images.judge(image)
    with KernelMount(image, "ro") as mnt:
        data = files.read(f"{mnt}/f")
    assert all(data[at:at + 4096] == blocks.make(1, at, 1) for at in range(65536, 1 << 20, 65536))
    assert data[5000:5019] == b"buffered, odd place"


@pytest.mark.fuse_only
def test_overwrite_is_a_pwrite_at_the_physical_address(subject, nocow_image, scratch):
    """Seen with strace: pwrite at that address, on an O_DIRECT descriptor of the image."""
    image, inode = nocow_image
    logical = placed(image, inode)[0][2]
    address, = dump.physical(image, logical + 8192)
    log = os.path.join(scratch, "strace")
    m = subject.mount(image)
    tracer = run_strace(m.pid, log)
    direct_write(m.join("f"), blocks.make(1, 2, 1), 8192)
    flags = {}
    for fd in os.listdir(f"/proc/{m.pid}/fd"):
        with open(f"/proc/{m.pid}/fdinfo/{fd}") as f:
            flags[int(fd)] = (os.readlink(f"/proc/{m.pid}/fd/{fd}"), int(re.search(r"flags:\s+(\d+)", f.read()).group(1), 8))
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    m.umount()
    with open(log) as f:
        text = f.read()
    fds = [int(fd) for fd, rest in re.findall(r"pwrite(?:64|v2?)\((\d+)\S*?,(.*)", text) if re.search(rf"\b{address}\b", rest)]
    assert fds, f"no pwrite at {address}:\n{text}"
    for fd in fds:
        assert flags[fd][1] & os.O_DIRECT, flags[fd]


def run_strace(pid, log):
    import subprocess
    import time
    tracer = subprocess.Popen(["strace", "-f", "-o", log, "-e", "trace=pwrite64,pwritev,pwritev2,io_uring_enter", "-s", "16", "-p", str(pid)],
                              stderr=subprocess.PIPE)
    tracer.stderr.readline()
    time.sleep(0.3)
    return tracer


def test_prealloc_is_written_in_place(subject, image):
    with KernelMount(image) as mnt:
        files.fallocate(f"{mnt}/f", 0, 1 << 20)
        inode = files.inode(f"{mnt}/f")
    disk = placed(image, inode)[0][2]
    m = subject.mount(image)
    direct_write(m.join("f"), blocks.make(1, 10, 1), 10 * 4096)
    files.write(m.join("f"), b"tail", (1 << 20) - 4, sync=True)
    m.umount()
    images.judge(image)
    extents = dump.file_extents(image, inode)
    assert [(e.offset // 4096, e.kind, e.length // 4096) for e in extents] == [
        (0, "prealloc", 10), (10, "regular", 1), (11, "prealloc", 244), (255, "regular", 1)]
    assert {e.disk for e in extents} == {disk}
    with KernelMount(image, "ro") as mnt:
        data = files.read(f"{mnt}/f")
    assert data[:40960] == bytes(40960) and data[40960:45056] == blocks.make(1, 10, 1) and data[-4:] == b"tail"


@pytest.mark.parametrize("nocow", [False, True], ids=["cow", "nocow"])
def test_prealloc_is_written_by_many_at_once(subject, image, nocow):
    """Parallel direct writes to different sectors of one preallocated extent: each splits what the others have looked up."""
    m = subject.mount(image)
    path, sectors, writers = m.join("f"), 2048, 8
    if nocow:
        files.nocow(path)
    files.fallocate(path, 0, sectors * 4096)
    order = list(range(sectors))
    random.Random(5).shuffle(order)

    def write(mine):
        fd, buf = os.open(path, os.O_RDWR | os.O_DIRECT), mmap.mmap(-1, 4096)
        for n in mine:
            buf[:] = n.to_bytes(2, "little") * 2048
            assert os.pwritev(fd, [buf], n * 4096) == 4096
        os.close(fd)
    children = []
    for w in range(writers):
        children.append(os.fork())
        if not children[-1]:
            try:
                write(order[w::writers])
                os._exit(0)
            finally:
                os._exit(1)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * writers
    want = b"".join(n.to_bytes(2, "little") * 2048 for n in range(sectors))
    assert files.read(path) == want
    m.umount()
    images.check(image)
    m = subject.mount(image)
    assert files.read(m.join("f")) == want
    m.umount()


def test_prealloc_of_a_nocow_file(subject, image):
    with KernelMount(image) as mnt:
        path = files.nocow(f"{mnt}/f")
        files.fallocate(path, 0, 1 << 20)
        inode = files.inode(path)
    disk = placed(image, inode)[0][2]
    m = subject.mount(image)
    for b in range(256):
        direct_write(m.join("f"), blocks.make(1, b, 1), b * 4096)
    m.umount()
    images.judge(image)
    extents = dump.file_extents(image, inode)
    assert {e.kind for e in extents} == {"regular"} and {e.disk for e in extents} == {disk}


def test_snapshotted_is_copied(subject, nocow_image):
    image, inode = nocow_image
    with KernelMount(image) as mnt:
        run("btrfs", "subvolume", "snapshot", mnt, f"{mnt}/snap")
        want = files.read(f"{mnt}/snap/f")
    before = placed(image, inode)
    m = subject.mount(image)
    direct_write(m.join("f"), blocks.make(1, 3, 1), 3 * 4096)
    assert files.read(m.join("snap/f")) == want
    m.umount()
    assert placed(image, inode) != before
    images.judge(image)
    with KernelMount(image, "ro") as mnt:
        assert files.read(f"{mnt}/snap/f") == want


def test_after_one_copy_in_place_again(subject, nocow_image):
    image, inode = nocow_image
    with KernelMount(image) as mnt:
        run("btrfs", "subvolume", "snapshot", mnt, f"{mnt}/snap")
    m = subject.mount(image)
    direct_write(m.join("f"), blocks.make(1, 3, 1), 3 * 4096)
    ioctls.sync_fs(m.path)
    m.umount()
    once = placed(image, inode)
    m = subject.mount(image)
    direct_write(m.join("f"), blocks.make(1, 3, 2), 3 * 4096)
    m.umount()
    assert placed(image, inode) == once
    images.judge(image)


def test_cloned_is_copied(subject, nocow_image):
    image, inode = nocow_image
    with KernelMount(image) as mnt:
        files.nocow(f"{mnt}/clone")
        run("cp", "--reflink=always", f"{mnt}/f", f"{mnt}/clone")
        want = files.read(f"{mnt}/clone")
    m = subject.mount(image)
    direct_write(m.join("f"), blocks.make(1, 0, 1), 0)
    assert files.read(m.join("clone")) == want
    m.umount()
    images.judge(image)


def test_checksummed_is_copied(subject, image):
    """Data written before the file became nodatacow would keep a wrong checksum; here: a plain file."""
    with KernelMount(image) as mnt:
        files.write(f"{mnt}/f", os.urandom(1 << 20), sync=True)
        inode = files.inode(f"{mnt}/f")
    before = placed(image, inode)
    m = subject.mount(image)
    direct_write(m.join("f"), blocks.make(1, 5, 1), 5 * 4096)
    m.umount()
    assert placed(image, inode) != before
    images.judge(image)


def test_prealloc_beyond_the_end(subject, image):
    with KernelMount(image) as mnt:
        files.fallocate(f"{mnt}/f", 0, 1 << 20, files.KEEP_SIZE)
        inode = files.inode(f"{mnt}/f")
    disk = placed(image, inode)[0][2]
    m = subject.mount(image)
    assert os.stat(m.join("f")).st_size == 0
    files.write(m.join("f"), b"z" * 10_000, 4096, sync=True)
    assert files.read(m.join("f")) == bytes(4096) + b"z" * 10_000
    m.umount()
    images.judge(image)
    assert {e.disk for e in dump.file_extents(image, inode)} == {disk}


def test_across_extent_borders(subject, image):
    """One nodatacow file of many extents, holes between: random overwrites, the whole file against a model."""
    import random
    rng = random.Random(5)
    with KernelMount(image) as mnt:
        path = files.nocow(f"{mnt}/f")
        for b in range(0, 400, 7):
            files.write(path, os.urandom(rng.choice((4096, 8192, 20_480))), b * 4096, sync=True)
        model = bytearray(files.read(path))
    m = subject.mount(image)
    for _ in range(300):
        n = rng.choice((1, 100, 4096, 10_000, 65_536))
        at = rng.randrange(len(model) - n)
        data = rng.randbytes(n)
        files.write(m.join("f"), data, at)
        model[at:at + n] = data
    assert files.read(m.join("f")) == bytes(model)
    m.umount()
    images.judge(image)
    with KernelMount(image, "ro") as mnt:
        assert files.read(f"{mnt}/f") == bytes(model)


def test_chattr_nocow_is_inherited(subject, image):
    m = subject.mount(image)
    os.mkdir(m.join("d"))
    run("chattr", "+C", m.join("d"))
    files.write(m.join("d/f"), os.urandom(100_000), sync=True)
    os.mkdir(m.join("d/e"))
    files.write(m.join("d/e/f"), os.urandom(100_000), sync=True)
    assert "C" in run("lsattr", m.join("d/f")).stdout.split()[0]
    files.write(m.join("plain"), b"x" * 5000)
    run("chattr", "+C", m.join("plain"), check=False)       # not empty: no effect, as in the kernel
    assert not ioctls.get_flags(m.join("plain")) & ioctls.FS_NOCOW_FL
    inode = files.inode(m.join("d/e/f"))
    m.umount()
    images.judge(image)
    before = placed(image, inode)
    m = subject.mount(image)
    direct_write(m.join("d/e/f"), blocks.make(1, 1, 1), 4096)
    m.umount()
    assert placed(image, inode) == before


def test_nocow_over_a_full_file_system(subject, scratch):
    """In place needs no space: an overwrite works where a new file does not."""
    image = images.make(os.path.join(scratch, "small"), 160)
    m = subject.mount(image)
    files.nocow(m.join("f"))
    files.write(m.join("f"), os.urandom(1 << 20), sync=True)
    with pytest.raises(OSError):
        n = 0
        while True:
            files.write(m.join(f"fill{n}"), os.urandom(1 << 20), sync=True)
            n += 1
    for b in range(0, 256, 5):
        direct_write(m.join("f"), blocks.make(1, b, 1), b * 4096)
    data = files.read(m.join("f"))
    assert all(data[b * 4096:b * 4096 + 4096] == blocks.make(1, b, 1) for b in range(0, 256, 5))
    m.umount()
    images.check(image)
