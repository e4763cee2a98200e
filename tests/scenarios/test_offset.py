"""-o offset=: a partition inside a disk image."""
import os

import pytest

from harness import copying, files, image as images
from harness.kernel import KernelMount
from harness.shell import run
from harness.subject import MountRefused

pytestmark = pytest.mark.fuse_only
MIB = 1 << 20


@pytest.fixture
def disk(scratch):
    """A disk image with two file systems in it, at 1 MiB and at 300 MiB; the rest is a pattern."""
    path = os.path.join(scratch, "disk")
    with open(path, "wb") as f:
        f.write(b"\xa5" * MIB)
        f.truncate(620 * MIB)
    for at in (1, 300):
        part = images.make(os.path.join(scratch, f"part{at}"), 256)
        put(path, part, at * MIB)
    return path


def put(disk, part, offset):
    with open(part, "rb") as src, open(disk, "r+b") as dst:
        for start, length in copying.data_extents(src.fileno()):
            dst.seek(offset + start)
            dst.write(os.pread(src.fileno(), length, start))


def take(disk, at, to):
    """The partition as an image of its own."""
    run("dd", f"if={disk}", f"of={to}", "bs=1M", f"skip={at}", "count=256", "conv=sparse", "status=none")
    return to


def pattern(disk):
    with open(disk, "rb") as f:
        return f.read(MIB)


def test_two_partitions_at_once(subject, disk, scratch):
    a, b = subject.mount(disk, "offset=1M"), subject.mount(disk, f"offset={300 * MIB}")
    data = os.urandom(30 * MIB)
    files.write(a.join("f"), data, sync=True)
    files.write(b.join("g"), data[::-1], sync=True)
    a.umount()
    assert files.read(b.join("g")) == data[::-1]
    b.umount()
    assert pattern(disk) == b"\xa5" * MIB, "nothing before the partition is touched"
    for at, name, want in ((1, "f", data), (300, "g", data[::-1])):
        part = take(disk, at, os.path.join(scratch, "part"))
        images.judge(part)
        with KernelMount(part) as mnt:
            assert files.read(f"{mnt}/{name}") == want


def test_a_partition_is_claimed(subject, disk):
    m = subject.mount(disk, "offset=1M")
    for options in ("offset=1M", ""):
        with pytest.raises(MountRefused) as e:
            subject.mount(disk, options)
        assert e.value.code == 1
    m.umount()


def loop_mount(disk, folder, offset):
    return run("mount", "-t", "btrfs", "-o", f"loop,offset={offset}", disk, folder, check=False)


def test_a_partition_is_claimed_against_the_kernel(subject, disk, scratch):
    """The kernel gets no loop device over it, but may have the other one, whoever comes first."""
    folder = os.path.join(scratch, "folder")
    os.mkdir(folder)
    m = subject.mount(disk, "offset=1M")
    files.write(m.join("f"), b"ours")
    for offset in (MIB, 0):
        done = loop_mount(disk, folder, offset)
        assert done.returncode != 0 and "overlapping loop device" in done.out, done.out
    assert loop_mount(disk, folder, 300 * MIB).returncode == 0
    try:
        files.write(f"{folder}/g", b"the kernel's")
        m.umount()
        m = subject.mount(disk, "offset=1M")
        assert files.read(m.join("f")) == b"ours"
        with pytest.raises(MountRefused) as e:
            subject.mount(disk, f"offset={300 * MIB}")
        assert "in use through /dev/loop" in e.value.text
        m.umount()
    finally:
        run("umount", folder)
    m = subject.mount(disk, f"offset={300 * MIB}")
    assert files.read(m.join("g")) == b"the kernel's"
    m.umount()


@pytest.mark.parametrize("offset", ["100", "4000", "1T", "x", "2M"])
def test_bad_offsets_are_refused(subject, disk, offset):
    before = images.sha256(disk)
    with pytest.raises(MountRefused) as e:
        subject.mount(disk, f"offset={offset}")
    assert e.value.code == 1 and len(e.value.text.splitlines()) == 1, e.value.text
    assert images.sha256(disk) == before


def test_partition_table_that_is_not_page_aligned(subject, scratch):
    """Sector 63, where partitions once began."""
    part = images.make(os.path.join(scratch, "part"), 128)
    disk = os.path.join(scratch, "old")
    with open(disk, "wb") as f:
        f.truncate(63 * 512 + 128 * MIB)
    put(disk, part, 63 * 512)
    m = subject.mount(disk, f"offset={63 * 512}")
    files.write(m.join("f"), b"old" * 100_000)
    m.umount()
    run("dd", f"if={disk}", f"of={part}", "bs=512", "skip=63", "conv=sparse", "status=none")
    images.judge(part)
