"""File systems on several image files: making them, and the kernel and `btrfs check` as judges, through loop devices."""
import os
import re

from . import copying
from .image import MIB, mkfs, read_everything, scrub
from .kernel import KernelMount, Loop
from .shell import run


def make(folder, sizes_mib, *mkfs_options):
    """Images of the given sizes with one btrfs over all of them."""
    paths = [os.path.join(folder, f"dev{n}") for n in range(len(sizes_mib))]
    for path, size in zip(paths, sizes_mib):
        with open(path, "wb") as f:
            f.truncate(size * MIB)
    with Loops(paths) as devices:
        mkfs(*mkfs_options, *devices)
    return paths


def copy(paths, suffix=".copy"):
    for path in paths:
        copying.sparse_copy(path, path + suffix)
    return [path + suffix for path in paths]


def options(paths):
    """What btrfuse has to be told about the devices after the first."""
    return ",".join(f"device={p}" for p in paths[1:])


class Loops:
    """A loop device over each image."""

    def __init__(self, paths, readonly=False):
        self.paths, self.readonly, self.loops = paths, readonly, []

    def __enter__(self):
        try:
            for path in self.paths:
                self.loops.append(Loop(path, self.readonly))
        except BaseException:
            self.__exit__()
            raise
        self.devices = [loop.device for loop in self.loops]
        return self.devices

    def __exit__(self, *_):
        for loop in self.loops:
            run("btrfs", "device", "scan", "-u", loop.device, check=False)
            loop.close()


class KernelDevices(KernelMount):
    """The kernel's mount of all of them: `with KernelDevices(paths, "degraded") as mnt:`"""

    def __init__(self, paths, options="", **kw):
        super().__init__(paths[0], options, **kw)
        self.rest, self.others = paths[1:], None

    def mount(self):
        self.others = Loops(self.rest)
        devices = self.others.__enter__()
        self.options = ",".join(filter(None, [self.options, *(f"device={d}" for d in devices)]))
        return super().mount()

    def close(self):
        if self.mounted:
            run("umount", "-l", self.path, check=False)
            self.mounted = False
        if self.loop:
            run("btrfs", "device", "scan", "-u", self.loop.device, check=False)
        super().close()
        if self.others:
            self.others.__exit__()
            self.others = None


def check(paths):
    """`btrfs check --check-data-csum` over all devices must find nothing."""
    with Loops(paths) as devices:
        run("btrfs", "device", "scan", *devices)
        done = run("btrfs", "check", "--check-data-csum", devices[0], check=False, timeout=300)
    # it looks at every block device of the machine, also at those of other tests
    words = "\n".join(line for line in done.out.splitlines()
                      if "/dev/" not in line or any(re.search(rf"{d}\b", line) for d in devices))
    assert done.returncode == 0 and not re.search(r"^(ERROR|WARNING|error|warning)", words, re.M), \
        f"btrfs check: exit {done.returncode}\n{done.out[-4000:]}"


def judge(paths, look=None):
    """check, then the kernel on copies: it reads everything (and @look(mountpoint) is called), scrubs, and is silent."""
    check(paths)
    twins = copy(paths, ".judged")
    try:
        with KernelDevices(twins) as mnt:
            if look:
                look(mnt)
            read_everything(mnt)
            scrub(mnt)
            open(os.path.join(mnt, ".judge"), "w").close()
        check(twins)
    finally:
        for twin in twins:
            os.unlink(twin)
