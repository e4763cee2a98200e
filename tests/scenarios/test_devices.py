"""Several devices: every profile read, written, checked by the kernel; noise on a device, a device gone, a torn row; and how
the devices are found."""
import os
import random
import re
import time

import pytest

from harness import devices, dump, files, ioctls
from harness.shell import output, run
from harness.subject import MountRefused

pytestmark = pytest.mark.fuse_only

# profile: devices it is tried on, devices it may lose
PROFILES = {"single": (2, 0), "dup": (1, 0), "raid0": (3, 0), "raid1": (2, 1), "raid1c3": (3, 2), "raid1c4": (4, 3),
            "raid10": (4, 1), "raid5": (3, 1), "raid6": (4, 2)}
REDUNDANT = [p for p, (_, loss) in PROFILES.items() if loss]
SIZE = 300


def content(seed, size):
    return random.Random(seed).randbytes(size)


class Tree:
    """Files that must be there."""

    def __init__(self):
        self.want = {}

    def fill(self, root, prefix, count=6, size=1_700_000, sync=False):
        for n in range(count):
            name = f"{prefix}{n}"
            self.want[name] = content(name, size + n * 41_111)
            files.write(f"{root}/{name}", self.want[name], sync=sync)

    def small(self, root, prefix, count=150):
        for n in range(count):
            name = f"{prefix}{n}"
            self.want[name] = content(name, n * 37)
            files.write(f"{root}/{name}", self.want[name])

    def drop(self, root, name):
        os.unlink(f"{root}/{name}")
        del self.want[name]

    def verify(self, root):
        for name, data in self.want.items():
            assert files.read(f"{root}/{name}") == data, name


def drop_caches(path):
    """The next read comes from the device."""
    for name in os.listdir(path):
        full = f"{path}/{name}"
        if os.path.isfile(full):
            fd = os.open(full, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def by_kernel(scratch, profile, sizes=None, tree=None):
    """A file system of that profile with files of the kernel's."""
    paths = devices.make(scratch, sizes or [SIZE] * PROFILES[profile][0], "-d", profile, "-m", profile)
    with devices.KernelDevices(paths) as mnt:
        if tree:
            tree.fill(mnt, "kernel", 4)
            tree.small(mnt, "tiny", 60)
    return paths


def noise(path, seed=1, start=1 << 20):
    """Everything of the device but its first megabyte is overwritten, where there is something."""
    rng = random.Random(seed)
    with open(path, "r+b") as f:
        end = os.fstat(f.fileno()).st_size
        for at in range(start, end, 1 << 20):
            f.seek(at)
            if any(f.read(min(1 << 20, end - at))):
                f.seek(at)
                f.write(rng.randbytes(min(1 << 20, end - at)))


def stats(mountpoint, devid):
    """The counters of a device as `btrfs device stats` shows them."""
    text = output("btrfs", "device", "stats", mountpoint)
    names = re.findall(r"\[(\S+?)\]\.(\w+)\s+(\d+)", text)
    per_device = [names[i:i + 5] for i in range(0, len(names), 5)]
    return {name: int(value) for _, name, value in per_device[devid - 1]}


@pytest.mark.parametrize("profile", PROFILES)
def test_read_and_written(subject, scratch, profile):
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    m = subject.mount(paths[0], devices.options(paths))
    tree.verify(m.path)
    tree.fill(m.path, "ours")
    tree.fill(m.path, "synced", 3, 33_333, sync=True)
    tree.small(m.path, "little")
    tree.drop(m.path, "kernel1")
    files.write(m.join("ours2"), tree.want["ours3"][:70_000], 50_000)
    tree.want["ours2"] = tree.want["ours2"][:50_000] + tree.want["ours3"][:70_000] + tree.want["ours2"][120_000:]
    tree.verify(m.path)
    m.umount()
    devices.judge(paths, tree.verify)


@pytest.mark.parametrize("profile", ["raid0", "raid1c3", "raid10", "raid5", "raid6"])
def test_relocated(subject, scratch, profile):
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    m = subject.mount(paths[0], devices.options(paths))
    tree.fill(m.path, "ours", 3)
    assert ioctls.balance(m.path, data={}, metadata={}, system={}).error == 0
    drop_caches(m.path)
    tree.verify(m.path)
    m.umount()
    devices.judge(paths, tree.verify)


@pytest.mark.parametrize("profile", REDUNDANT)
def test_noise_while_in_use(subject, scratch, profile):
    """One device is overwritten while mounted: whatever is read is right, also after writes next to it; it is counted and
    put right."""
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    m = subject.mount(paths[0], devices.options(paths))
    tree.fill(m.path, "before", 3)
    tree.small(m.path, "small", 40)
    run("sync", "-f", m.path)
    noise(paths[1])
    tree.fill(m.path, "after", 3, 450_000, sync=True)
    tree.small(m.path, "later", 40)
    drop_caches(m.path)
    tree.verify(m.path)
    m.umount()
    with devices.KernelDevices(paths, allow_complaints=True) as mnt:
        tree.verify(mnt)
        assert stats(mnt, 2)["corruption_errs"] > 0
        run("btrfs", "scrub", "start", "-B", mnt, check=False)
        tree.verify(mnt)
    devices.check(paths)


@pytest.mark.parametrize("profile", ["raid5", "raid6"])
def test_reading_repairs(subject, scratch, profile):
    """After noise, one read of everything leaves no data block bad."""
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    whole = files.read(paths[1])
    m = subject.mount(paths[0], devices.options(paths))
    noise(paths[1])
    tree.verify(m.path)
    m.umount()
    now = files.read(paths[1])
    data = {d[i:i + 4096] for d in tree.want.values() for i in range(0, len(d) - 4095, 4096)}
    for path in paths[:1] + paths[2:]:      # parity of a row with one block of data is like that block
        other = files.read(path)
        data -= {other[at:at + 4096] for at in range(1 << 20, len(other), 4096)}
    blocks = [at for at in range(1 << 20, len(whole), 4096) if whole[at:at + 4096] in data]
    assert len(blocks) > 100
    assert not [at for at in blocks if now[at:at + 4096] != whole[at:at + 4096]]


@pytest.mark.parametrize("profile", REDUNDANT)
def test_degraded(subject, scratch, profile):
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    lost = paths.pop(PROFILES[profile][0] // 2)
    with pytest.raises(MountRefused) as refused:
        subject.mount(paths[0], devices.options(paths))
    assert "degraded" in str(refused.value)
    m = subject.mount(paths[0], ",".join(filter(None, ["degraded", devices.options(paths)])))
    tree.verify(m.path)
    tree.fill(m.path, "without", 3)
    tree.small(m.path, "little", 40)
    drop_caches(m.path)
    tree.verify(m.path)
    m.umount()
    os.unlink(lost)
    with devices.KernelDevices(paths, "degraded", allow_complaints=True) as mnt:
        tree.verify(mnt)


def test_two_gone_of_raid6(subject, scratch):
    tree = Tree()
    paths = by_kernel(scratch, "raid6", [SIZE] * 5, tree)
    del paths[1:3]
    m = subject.mount(paths[0], "degraded," + devices.options(paths))
    tree.verify(m.path)
    tree.fill(m.path, "without", 3)
    drop_caches(m.path)
    tree.verify(m.path)
    m.umount()
    with devices.KernelDevices(paths, "degraded", allow_complaints=True) as mnt:
        tree.verify(mnt)


def test_gone_for_a_while(subject, scratch):
    """A device that missed commits is not believed; scrub brings it up to date."""
    tree = Tree()
    paths = by_kernel(scratch, "raid1", tree=tree)
    m = subject.mount(paths[1], "degraded")
    tree.fill(m.path, "without", 3)
    tree.drop(m.path, "kernel2")
    m.umount()
    m = subject.mount(paths[0], devices.options(paths))
    tree.verify(m.path)
    tree.fill(m.path, "again", 3)
    m.umount()
    with devices.KernelDevices(paths, allow_complaints=True) as mnt:
        tree.verify(mnt)


def test_too_many_gone(subject, scratch):
    paths = by_kernel(scratch, "raid5", [SIZE] * 4)
    with pytest.raises(MountRefused) as refused:
        subject.mount(paths[0], f"degraded,device={paths[1]}")
    assert "missing" in str(refused.value)
    paths = devices.make(scratch, [SIZE] * 2, "-d", "single", "-m", "raid1")
    subject.mount(paths[0], "degraded,ro").umount()


@pytest.mark.parametrize("profile,sizes", [("raid1", (200, 500, 300)), ("raid0", (200, 500, 300)), ("single", (200, 400)),
                                           ("raid10", (200, 300, 300, 500, 400))])
def test_unequal_devices_fill_like_the_kernel(subject, scratch, profile, sizes):
    """Chunks go where the kernel puts them, and df says what the kernel says. Not RAID5: Linux 6.18 was seen to deadlock in
    its own umount after filling one of unequal devices, and no sync(2) on the machine returned any more."""
    paths = devices.make(scratch, sizes, "-d", profile, "-m", "raid1")
    twins = devices.copy(paths)

    def fill(root):
        for n in range(14):
            files.write(f"{root}/f{n}", content(n, 16 << 20), sync=True)
        # what only a log names counts as free on both; when the logs end in a commit is each one's own affair
        run("sync", "-f", root)
        return free_space(root)

    with devices.KernelDevices(twins) as mnt:
        theirs = fill(mnt)
        placed_there = usage(mnt)
    m = subject.mount(paths[0], devices.options(paths))
    ours = fill(m.path)
    m.umount()
    with devices.KernelDevices(paths) as mnt:
        seen = free_space(mnt)
        placed_here = usage(mnt)
    assert placed_here == placed_there
    assert ours == seen
    assert ours == theirs
    devices.judge(paths)


def free_space(root):
    fs = os.statvfs(root)
    return fs.f_blocks, fs.f_bfree, fs.f_bavail


def usage(mnt):
    """Bytes in chunks, by device."""
    return re.findall(r"devid\s+(\d+) size \d+ used (\d+)", output("btrfs", "filesystem", "show", "--raw", mnt))


def test_found_by_folder_and_uuid(subject, scratch):
    tree = Tree()
    paths = by_kernel(scratch, "raid1", tree=tree)
    other = os.path.join(scratch, "other")
    os.mkdir(other)
    devices.make(other, [SIZE] * 2, "-d", "raid1")
    m = subject.mount(paths[0], f"scan={scratch}")
    tree.verify(m.path)
    m.umount()
    uuid = re.search(r"^fsid\s+(\S+)", output("btrfs", "inspect-internal", "dump-super", paths[0]), re.M).group(1)
    point = os.path.join(scratch, "point")
    os.mkdir(point)
    with devices.Loops(paths):
        run(subject.binary, f"UUID={uuid}", point)
        tree.verify(point)
        files.write(f"{point}/new", b"by uuid")
        run("umount", point)
        time.sleep(0.2)
    tree.want["new"] = b"by uuid"
    devices.judge(paths, tree.verify)


def test_wrong_devices_are_named(subject, scratch):
    paths = by_kernel(scratch, "raid1")
    other = os.path.join(scratch, "other")
    os.mkdir(other)
    stranger = devices.make(other, [SIZE] * 2, "-d", "raid1")[1]
    twin = devices.copy(paths[1:])[0]
    for options, words in ((f"device={stranger}", "another file system"), ("", "2 devices"),
                           (f"device={paths[1]},device={twin}", "both device 2"), ("device=/nonexistent", "/nonexistent")):
        with pytest.raises(MountRefused) as refused:
            subject.mount(paths[0], options)
        assert words in str(refused.value)


@pytest.mark.hooks
@pytest.mark.parametrize("profile", ["raid5", "raid6"])
def test_torn_row_loses_nothing_old(subject, scratch, profile):
    """Killed between data and parity: everything committed is there, and the next writes make the rows whole."""
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    m = subject.mount(paths[0], devices.options(paths), hooks=True)
    tree.fill(m.path, "ours", 3, 300_000, sync=True)
    m.hooks.crash("row.data")
    try:
        for n in range(20):
            files.write(m.join(f"lost{n}"), content(n, 50_000), sync=True)
    except OSError:
        pass
    m.wait_death()
    devices.check(paths)
    m = subject.mount(paths[0], devices.options(paths))
    tree.verify(m.path)
    tree.fill(m.path, "after", 3, 300_000)
    m.umount()
    devices.judge(paths, tree.verify)


def first_copies(path):
    """(where, how long) of one of the two copies of every chunk but the system's."""
    return [(c.stripes[0], c.length) for c in dump.chunks(path) if "SYSTEM" not in c.type]


def test_noise_on_one_copy_of_dup(subject, scratch):
    """One copy of everything is overwritten while it is in use: right data, counted, and what was read is put right."""
    tree = Tree()
    paths = by_kernel(scratch, "dup", tree=tree)
    m = subject.mount(paths[0])
    tree.fill(m.path, "before", 3)
    run("sync", "-f", m.path)
    rng = random.Random(5)
    with open(paths[0], "r+b") as f:
        for start, length in first_copies(paths[0]):
            for at in range(start, start + length, 1 << 20):
                f.seek(at)
                if any(f.read(1 << 20)):
                    f.seek(at)
                    f.write(rng.randbytes(1 << 20))
    tree.fill(m.path, "after", 3, 450_000, sync=True)
    drop_caches(m.path)
    tree.verify(m.path)
    assert ioctls.dev_stats(m.path, 1)["corruption_errs"] > 0
    m.umount()
    devices.check(paths)
    with devices.KernelDevices(paths, allow_complaints=True) as mnt:
        tree.verify(mnt)
        assert stats(mnt, 1)["corruption_errs"] > 0
        run("btrfs", "scrub", "start", "-B", mnt, check=False)
    devices.judge(paths, tree.verify)


@pytest.mark.parametrize("profile,device", [("raid1", 0), ("raid10", 0), ("raid1c4", 0)])
def test_reading_repairs_mirrors(subject, scratch, profile, device):
    """The device that is read first is overwritten while in use: what was read from it is right again afterwards."""
    tree = Tree()
    paths = by_kernel(scratch, profile, tree=tree)
    whole = files.read(paths[device])
    m = subject.mount(paths[0], devices.options(paths))
    noise(paths[device])
    tree.verify(m.path)
    assert ioctls.dev_stats(m.path, device + 1)["corruption_errs"] > 0
    m.umount()
    now = files.read(paths[device])
    data = {d[i:i + 4096] for d in tree.want.values() for i in range(0, len(d) - 4095, 4096)}
    blocks = [at for at in range(1 << 20, len(whole), 4096) if whole[at:at + 4096] in data]
    bad = [at for at in blocks if now[at:at + 4096] != whole[at:at + 4096]]
    assert len(blocks) > 100 and len(bad) < len(blocks) * 9 // 10, f"{len(bad)} of {len(blocks)} are still bad"
