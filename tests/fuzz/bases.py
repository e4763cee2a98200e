"""Small images with something of every kind in them, for the fuzzers to break."""
import os

from harness import files, image as images
from harness.kernel import KernelMount
from harness.shell import run

FORMS = {
    "mixed": (32, ("-M", "-n", "4096")),
    "old": (112, ("-m", "single", "-n", "4096", "-O", "^skinny-metadata,^extref,^no-holes", "-R", "^free-space-tree")),
    "new": (112, ("-m", "dup")),
}


def fill(mnt):
    os.mkdir(f"{mnt}/dir")
    for i in range(60):
        files.write(f"{mnt}/dir/f{i}", b"%d" % i * (i * 20))
    files.write(f"{mnt}/big", os.urandom(1 << 20))
    files.write(f"{mnt}/sparse", b"x", 1 << 20)
    files.write(f"{mnt}/sparse", b"y", 5 << 20)
    files.fallocate(f"{mnt}/prealloc", 0, 1 << 18)
    files.nocow(f"{mnt}/nocow")
    files.write(f"{mnt}/nocow", os.urandom(50_000), sync=True)
    os.symlink("dir/f1", f"{mnt}/symlink")
    os.mkfifo(f"{mnt}/fifo")
    for i in range(30):
        os.link(f"{mnt}/dir/f1", f"{mnt}/a-hard-link-{i}")
    os.setxattr(f"{mnt}/big", "user.x", b"v" * 1000)
    run("setfacl", "-m", "u:1000:rwx", f"{mnt}/dir")
    run("btrfs", "property", "set", f"{mnt}/dir", "compression", "zstd")
    files.write(f"{mnt}/dir/compressed", b"compress me " * 20_000, sync=True)
    run("btrfs", "subvolume", "create", f"{mnt}/sub")
    files.write(f"{mnt}/sub/f", os.urandom(20_000))
    run("btrfs", "subvolume", "snapshot", f"{mnt}/sub", f"{mnt}/snap")
    files.write(f"{mnt}/snap/f", os.urandom(5000), 4096)
    run("cp", "--reflink=always", f"{mnt}/big", f"{mnt}/clone")


def log(mnt):
    """Synced and not committed: a log with something of every kind."""
    for i in range(0, 60, 2):
        os.unlink(f"{mnt}/dir/f{i}")
    os.rename(f"{mnt}/dir/f1", f"{mnt}/dir/renamed")
    for i in range(10):
        files.write(f"{mnt}/dir/n{i}", b"%d" % i * (i * 900))
    os.symlink("n1", f"{mnt}/dir/to-n1")
    os.removexattr(f"{mnt}/big", "user.x")
    os.setxattr(f"{mnt}/big", "user.y", b"w" * 500)
    files.write(f"{mnt}/big", b"over" * 9000, 65_536)
    files.fallocate(f"{mnt}/big", 300_000, 100_000, files.PUNCH_HOLE | files.KEEP_SIZE)
    files.write(f"{mnt}/prealloc", b"p" * 9000, 40_000)
    files.write(f"{mnt}/sub/f", b"s" * 9000)
    for path in ("dir", "big", "prealloc", "sub/f"):
        fd = os.open(f"{mnt}/{path}", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def make_logged(path):
    """An image whose log waits to be replayed."""
    base = images.make(path + ".base", 112, "-m", "dup")
    with KernelMount(base) as mnt:
        fill(mnt)
    with KernelMount(base, "commit=300") as mnt:
        log(mnt)
        images.copy(base, path)
    os.unlink(base)
    assert images.super_field(path, "log_root") != "0", "the kernel left no log"
    return path


def make(folder):
    """Paths of the images."""
    paths = [make_logged(os.path.join(folder, "logged"))]
    for name, (mib, options) in FORMS.items():
        path = images.make(os.path.join(folder, name), mib, *options)
        with KernelMount(path) as mnt:
            fill(mnt)
        paths.append(path)
    return paths
