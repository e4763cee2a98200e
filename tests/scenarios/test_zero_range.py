"""Ranges zeroed or punched that begin or end inside a block: the same content as under the kernel, and the same holes."""
import os

import pytest

from harness import copying, files, image as images
from harness.kernel import KernelMount

KIB = 1 << 10
ZERO, ZERO_KEEP, PUNCH = 0x10, 0x11, 0x03
RANGES = [(1000, 19_000), (500, 100), (17_000, 100), (1000, 16_000), (17_000, 20_000), (20 * KIB - 10, 40_000), (60_000, 9000),
          (100 * KIB - 50, 100), (200 * KIB, 500), (100 * KIB + 5, 20_000), (300_001, 5000), (90_000, 30_000)]


def layout(path, inplace):
    """Hole, data, hole, preallocated, hole, data, hole; the end is in the middle of a block."""
    if inplace:
        files.nocow(path)
    files.write(path, b"d" * 4096, 16 * KIB)
    files.write(path, b"e" * 20 * KIB, 64 * KIB)
    files.fallocate(path, 36 * KIB, 16 * KIB, files.KEEP_SIZE)
    os.truncate(path, 100 * KIB - 100)
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    return fd


def play(root, mode, inplace):
    seen = []
    for n, (off, length) in enumerate(RANGES):
        fd = layout(f"{root}/f{n}", inplace)
        assert files.LIBC.fallocate(fd, mode, files.ctypes.c_long(off), files.ctypes.c_long(length)) == 0
        os.fsync(fd)
        seen.append((off, length, os.fstat(fd).st_size, os.fstat(fd).st_blocks, list(copying.data_extents(fd)),
                     hash(os.pread(fd, 1 << 20, 0))))
        os.close(fd)
    return seen


@pytest.mark.parametrize("inplace", [False, True], ids=["cow", "nocow"])
@pytest.mark.parametrize("mode", [ZERO, ZERO_KEEP, PUNCH], ids=["zero", "zero keep", "punch"])
def test_holes_as_the_kernel_leaves_them(subject, image, mode, inplace):
    twin = images.copy(image)
    with KernelMount(twin) as mnt:
        want = play(mnt, mode, inplace)
    m = subject.mount(image)
    got = play(m.path, mode, inplace)
    m.umount()
    assert [(g, w) for g, w in zip(got, want) if g != w] == []
    images.check(image)
