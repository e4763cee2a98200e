"""Every balance filter against the kernel: the same chunks taken, the same counts, the same profiles afterwards."""
import errno
import fcntl
import os
import struct

import pytest

from harness import dump, files, image as images, ioctls
from harness.ioctls import DUP, RAID0, RAID1, SINGLE
from harness.kernel import KernelMount


def make_mixed(path):
    """Data as single in six groups (one nearly empty), metadata DUP."""
    images.make(path, 360)
    with KernelMount(path, "commit=300") as mnt:
        for n in range(6):
            files.write(f"{mnt}/big{n}", os.urandom(14 << 20))
        for n in range(100):
            files.write(f"{mnt}/small{n}", os.urandom(5000))
        os.unlink(f"{mnt}/big3")


@pytest.fixture
def mixed(image_cache, scratch):
    return image_cache("mixed", make_mixed, os.path.join(scratch, "mixed"))


def profiles(image):
    return sorted({c.type for c in dump.chunks(image)})


def both(subject, image, **kw):
    """(result, profiles) of the kernel on a copy and of the subject on the image."""
    twin = images.copy(image, image + ".twin")
    with KernelMount(twin, allow_complaints=True) as mnt:
        want = ioctls.balance(mnt, **kw)
    m = subject.mount(image)
    got = ioctls.balance(m.path, **kw)
    m.umount()
    images.check(image)
    expected = profiles(twin)
    os.unlink(twin)
    return (want, expected), (got, profiles(image))


def counts(result):
    return (result.error, result.expected, result.considered, result.completed)


def device_range(image):
    """Touches the second data chunk."""
    chunks = sorted((c for c in dump.chunks(image) if c.type.startswith("DATA")), key=lambda c: c.logical)
    at = chunks[1].stripes[0]
    return at + 4096, at + 8192


@pytest.mark.parametrize("filters", [
    dict(data=dict(usage=(10, 90))), dict(data=dict(usage=(0, 1))), dict(data=dict(limit=(2, 3))), dict(data=dict(limit=(90, 99))),
    dict(data=dict(profiles=SINGLE)), dict(data=dict(profiles=DUP)), dict(metadata=dict(profiles=DUP | SINGLE)),
    dict(metadata=dict(stripes=(2, 2))), dict(data=dict(stripes=(2, 9))), dict(data=dict(soft=True)),
    "drange", "drange without devid"], ids=str)
def test_taken_as_the_kernel_takes(subject, mixed, filters):
    if isinstance(filters, str):
        filters = dict(data=dict(drange=device_range(mixed), devid=None if "without" in filters else 1))
    (want, _), (got, _) = both(subject, mixed, **filters)
    assert counts(got) == counts(want)


@pytest.mark.parametrize("filters, flags", [
    (dict(data=dict(convert=DUP)), 0), (dict(metadata=dict(convert=SINGLE)), 0),
    (dict(metadata=dict(convert=SINGLE), system=dict(convert=SINGLE)), ioctls.FORCE),
    (dict(metadata=dict(convert=DUP, soft=True)), 0), (dict(data=dict(convert=DUP, limit=1)), 0),
    (dict(data=dict(convert=RAID1)), 0), (dict(data=dict(convert=RAID0)), 0), (dict(data=dict(convert=SINGLE | DUP)), 0)], ids=str)
def test_conversion(subject, mixed, filters, flags):
    (want, expected), (got, found) = both(subject, mixed, flags=flags, **filters)
    assert (counts(got), found) == (counts(want), expected)
    images.judge(mixed, read_all=False)


LIMIT, USAGE, LIMIT_RANGE, USAGE_RANGE, NEW_FILTER = 1 << 5, 1 << 1, 1 << 6, 1 << 10, 1 << 40


def raw(type_flags, filter_flags=0, **values):
    """The ioctl's bytes, with flags that no program sets together."""
    buf = bytearray(1024)
    struct.pack_into("<Q", buf, 0, type_flags)
    for at in (16, 152, 288):
        struct.pack_into("<Q", buf, at + 8, values.get("usage", 0))
        struct.pack_into("<QQ", buf, at + 64, filter_flags, values.get("limit", 0))
    return buf


def ask(mnt, buf):
    """(errno, all that came back)."""
    fd = os.open(mnt, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, ioctls.BALANCE_V2, buf, True)
        return 0, bytes(buf)
    except OSError as e:
        return e.errno, bytes(buf)
    finally:
        os.close(fd)


@pytest.mark.parametrize("args", [
    (0,), (ioctls.FORCE,), (ioctls.DATA | 1 << 20,), (ioctls.DATA | 1 << 6,), (ioctls.DATA | 1 << 8,), (ioctls.DATA, NEW_FILTER),
    (ioctls.DATA | ioctls.METADATA, LIMIT), (ioctls.DATA, USAGE | USAGE_RANGE)], ids=str)
def test_odd_flags(subject, mixed, args):
    """Down to the last byte of the answer."""
    twin = images.copy(mixed, mixed + ".twin")
    values = dict(limit=2, usage=50)
    with KernelMount(twin, allow_complaints=True) as mnt:
        want = ask(mnt, raw(*args, **values))
    os.unlink(twin)
    m = subject.mount(mixed)
    got = ask(m.path, raw(*args, **values))
    m.umount()
    images.check(mixed)
    assert got == want


@pytest.mark.parametrize("limit", [2 | 9 << 32, 9 | 99 << 32], ids=["enough", "too few"])
def test_what_is_left_of_the_limit(subject, mixed, limit):
    twin = images.copy(mixed, mixed + ".twin")
    with KernelMount(twin, allow_complaints=True) as mnt:
        want = ask(mnt, raw(ioctls.DATA, LIMIT_RANGE, limit=limit))
    m = subject.mount(mixed)
    assert ask(m.path, raw(ioctls.DATA, LIMIT_RANGE, limit=limit)) == want
    m.umount()
    images.check(mixed)


def test_there_and_back(subject, mixed):
    """Data to DUP and back in one mount, soft the second time: nothing is moved that is there already."""
    before = profiles(mixed)
    m = subject.mount(mixed)
    assert ioctls.balance(m.path, data=dict(convert=DUP)).error == 0
    again = ioctls.balance(m.path, data=dict(convert=DUP, soft=True))
    assert (again.error, again.completed) == (0, 0)
    files.write(m.join("new"), os.urandom(20 << 20), sync=True)
    assert ioctls.balance(m.path, data=dict(convert=SINGLE)).error == 0
    m.umount()
    images.judge(mixed)
    assert profiles(mixed) == before


def test_what_is_not_possible_is_refused(subject, image):
    m = subject.mount(image)
    assert ioctls.balance(m.path, data=dict(convert=0x1000_0000)).error == errno.EINVAL
    assert ioctls.balance(m.path, metadata=dict(convert=SINGLE)).error == errno.EINVAL
    assert ioctls.balance(m.path, data={}, flags=1 << 20).error == errno.EINVAL
    m.umount()
    images.check(image)
