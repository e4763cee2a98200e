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


def make(folder):
    """Paths of the images."""
    paths = []
    for name, (mib, options) in FORMS.items():
        path = images.make(os.path.join(folder, name), mib, *options)
        with KernelMount(path) as mnt:
            fill(mnt)
        paths.append(path)
    return paths
