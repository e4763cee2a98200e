"""Images: making them, copying them cheaply, and the judges (`btrfs check`, kernel scrub, dump-tree)."""
import hashlib
import os
import re
import time

from . import copying
from .kernel import KernelMount
from .shell import CommandFailed, output, run

MIB = 1 << 20


def make(path, size_mib=512, *mkfs_options):
    """A fresh btrfs on a sparse file, as mkfs.btrfs makes it by default."""
    with open(path, "wb") as f:
        f.truncate(size_mib * MIB)
    mkfs(*mkfs_options, path)
    return path


def mkfs(*argv):
    """mkfs.btrfs looks at every loop device first and gives up if one is just going away: that says nothing of the image."""
    for attempt in range(20):
        done = run("mkfs.btrfs", "-q", "-f", *argv, check=False)
        if done.returncode == 0:
            return
        if attempt == 19 or not re.search("mount status|BUG_ON", done.out):
            raise CommandFailed(["mkfs.btrfs", *argv], done.returncode, done.out)
        time.sleep(0.1)


def copy(image, to=None):
    to = to or image + ".copy"
    copying.sparse_copy(image, to)
    return to


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for start, length in copying.data_extents(f.fileno()):
            f.seek(start)
            digest.update(start.to_bytes(8, "little"))
            while length:
                piece = f.read(min(length, 1 << 20))
                zero = not any(piece)
                digest.update(b"" if zero else piece)
                length -= len(piece)
    return digest.hexdigest()


def check(image, csums=True, what=""):
    """`btrfs check --check-data-csum` must find nothing at all."""
    done = run_check(image, csums)
    assert done.returncode == 0 and not re.search(r"^(ERROR|WARNING|error|warning)", done.out, re.M), \
        f"btrfs check {what} {image}: exit {done.returncode}\n{done.out[-4000:]}"
    return done.out


def run_check(image, csums):
    """btrfs check looks at every loop device first and gives up if one is just going away: that says nothing of the image."""
    for _ in range(20):
        done = run("btrfs", "check", *(["--check-data-csum"] if csums else []), image, check=False, timeout=600)
        if "could not check mount status" not in done.out:
            break
        time.sleep(0.1)
    return done


def scrub(mountpoint):
    out = run("btrfs", "scrub", "start", "-B", mountpoint, check=False, timeout=600).out
    assert re.search(r"Error summary:\s+no errors found", out), out
    return out


def judge(image, what="", read_all=True):
    """The whole court: check, then on a copy the kernel mounts read-write, reads every file, scrubs, unmounts without a
    word, and check again."""
    check(image, what=what)
    twin = copy(image, image + ".judged")
    try:
        with KernelMount(twin) as mnt:
            if read_all:
                read_everything(mnt)
            scrub(mnt)
            probe = os.path.join(mnt, ".judge")
            if not is_readonly_subvolume(mnt):
                open(probe, "w").close()
                os.unlink(probe)
        check(twin, csums=False, what=what + " after the kernel's mount")
    finally:
        os.unlink(twin)


def is_readonly_subvolume(mnt):
    try:
        return "true" in output("btrfs", "property", "get", "-ts", mnt, "ro")
    except RuntimeError:
        return False


def read_everything(mnt):
    for folder, _, names in os.walk(mnt):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb", buffering=0) as f:
                    for start, length in copying.data_extents(f.fileno()):
                        for at in range(start, start + length, 1 << 20):
                            os.pread(f.fileno(), 1 << 20, at)


def dump_tree(image, *options):
    return output("btrfs", "inspect-internal", "dump-tree", *options, image, timeout=300)


def dump_super(image, *options):
    return output("btrfs", "inspect-internal", "dump-super", *options, image)


def super_field(image, name, copy_number=0):
    text = dump_super(image, "-f", "-s", str(copy_number)) if copy_number else dump_super(image, "-f")
    return re.search(rf"^{name}\s+(\S+)", text, re.M).group(1)
