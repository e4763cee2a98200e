"""What the kernel puts into an image of the corpus: a bit of everything that a file system may hold, the same for each seed."""
import errno
import fcntl
import os
import random

from harness import files, ioctls
from harness.shell import run

FICLONE = 0x40049409
BORDERS = [0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 16383, 65536, 131071, 131072, 131073, 1048575, 1048577]


def text(rng, size):
    """Bytes that shrink, but not to nothing."""
    words = [b"alpha ", b"beta ", b"gamma ", b"delta\n", rng.randbytes(7)]
    return b"".join(rng.choices(words, k=size // 4 + 1))[:size]


def sizes(folder, rng):
    for size in BORDERS:
        files.write(f"{folder}/noise-{size}", rng.randbytes(size))
        files.write(f"{folder}/text-{size}", text(rng, size))


def holes(folder, rng):
    files.write(f"{folder}/sparse", b"head")
    files.write(f"{folder}/sparse", text(rng, 50_000), 3_000_000)
    files.write(f"{folder}/sparse", b"far", 5 << 30)
    files.fallocate(f"{folder}/prealloc", 0, 1 << 20)
    files.write(f"{folder}/prealloc", rng.randbytes(9000), 65536, sync=True)
    files.fallocate(f"{folder}/beyond", 0, 300_000, files.KEEP_SIZE)
    files.write(f"{folder}/punched", rng.randbytes(600_000), sync=True)
    files.fallocate(f"{folder}/punched", 8192, 200_000, files.KEEP_SIZE | files.PUNCH_HOLE)
    files.nocow(f"{folder}/nocow")
    files.write(f"{folder}/nocow", rng.randbytes(400_000), sync=True)


def names(folder, rng):
    """Up to 400 names of one file (as many as the form allows), long ones, and every type."""
    files.write(f"{folder}/first", b"linked")
    try:
        for i in range(400):
            os.link(f"{folder}/first", f"{folder}/a-name-that-takes-some-room-in-a-leaf-{i:03}")
    except OSError as e:
        assert e.errno == errno.EMLINK, e
    files.write(f"{folder}/" + "n" * 255, b"long")
    files.write(os.fsencode(folder) + b"/\xff\xfe odd \n", b"odd")
    os.symlink("first", f"{folder}/link")
    os.symlink("x" * 1500, f"{folder}/long-link")
    os.mkfifo(f"{folder}/fifo")
    os.mknod(f"{folder}/null", 0o20666, os.makedev(1, 3))
    os.makedirs(f"{folder}/a/b/c/d/e")
    os.mkdir(f"{folder}/many")
    for i in range(300):
        files.write(f"{folder}/many/{i:04}", b"%d" % i * (i % 90))


def attributes(folder, rng):
    path = f"{folder}/attributes"
    files.write(path, b"")
    os.chmod(path, 0o4755)
    os.chown(path, 1000, 100)
    for size in (1, 100, 3000, 16200):      # the last fills a leaf of 16 KiB
        try:
            os.setxattr(path, f"user.v{size}", rng.randbytes(size))
        except OSError as e:
            assert e.errno in (errno.ENOSPC, errno.E2BIG), e
    os.setxattr(path, "trusted.t", b"t")
    os.setxattr(path, "security.s", b"s")
    run("setfacl", "-m", "u:1000:rwx,g:100:r", path)
    run("setfacl", "-d", "-m", "u:1000:rwx", folder)
    os.utime(path, ns=(123, 456_000_000_789))


def clones(folder, rng):
    for name in ("noise-131073", "text-1048577", "punched"):
        with open(f"{folder}/{name}", "rb") as source, open(f"{folder}/clone-of-{name}", "wb") as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        files.write(f"{folder}/clone-of-{name}", rng.randbytes(5000), 20_000)


def everything_but_clones(folder, seed):
    rng = random.Random(seed)
    for part in (sizes, holes, names, attributes):
        part(folder, rng)


def everything(folder, seed):
    everything_but_clones(folder, seed)
    clones(folder, random.Random(seed))


def change_some(folder, rng):
    for size in rng.sample([s for s in BORDERS if s > 4096], 4):
        files.write(f"{folder}/noise-{size}", rng.randbytes(3000), rng.randrange(size))
    os.unlink(f"{folder}/many/{rng.randrange(300):04}")


# ---- lives: what else happened to an image ----

def snapshots(mnt, count, fill):
    """Snapshots of snapshots, each a bit different, and one of them deleted."""
    rng = random.Random(count)
    run("btrfs", "subvolume", "create", f"{mnt}/vol")
    fill(f"{mnt}/vol", 99)
    run("btrfs", "filesystem", "sync", mnt)
    last = "vol"
    for i in range(count):
        run("btrfs", "subvolume", "snapshot", f"{mnt}/{last}", f"{mnt}/snap{i}")
        if i % 10 == 0:
            last = f"snap{i}"
        os.utime(f"{mnt}/{last}/text-4097", ns=(i, i))
    for i in range(5):
        files.write(f"{mnt}/snap{rng.randrange(count)}/noise-131073", rng.randbytes(3000), rng.randrange(100_000))
    run("btrfs", "subvolume", "snapshot", "-r", f"{mnt}/vol", f"{mnt}/frozen")
    run("btrfs", "subvolume", "delete", f"{mnt}/snap1")
    run("btrfs", "subvolume", "sync", mnt)


def few_snapshots(mnt):
    snapshots(mnt, 12, everything)


def many_snapshots(mnt):
    snapshots(mnt, 200, lambda folder, seed: sizes(folder, random.Random(seed)))


def balanced(mnt):
    few_snapshots(mnt)
    run("btrfs", "balance", "start", "--full-balance", mnt, timeout=300)


def shared_by_many(mnt):
    """More references than fit inline, some left by an owner that is gone."""
    run("btrfs", "subvolume", "create", f"{mnt}/owner")
    files.write(f"{mnt}/owner/base", os.urandom(65536), sync=True)
    with open(f"{mnt}/owner/base", "rb") as source:
        for i in range(600):
            with open(f"{mnt}/owner/c{i:03}", "wb") as target:
                fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
    run("btrfs", "subvolume", "snapshot", f"{mnt}/owner", f"{mnt}/heir")
    files.write(f"{mnt}/heir/c001", b"changed")
    run("btrfs", "subvolume", "delete", f"{mnt}/owner")
    run("btrfs", "subvolume", "sync", mnt)


def fragmented(mnt):
    for i in range(600):
        files.write(f"{mnt}/tiny{i}", os.urandom(12_000))
    run("btrfs", "filesystem", "sync", mnt)
    for i in range(0, 600, 2):
        os.unlink(f"{mnt}/tiny{i}")
    files.write(f"{mnt}/pieces", os.urandom(2 << 20), sync=True)
    for i in range(0, 2 << 20, 16384):
        files.write(f"{mnt}/pieces", os.urandom(4096), i, sync=i % (1 << 18) == 0)


def flags(mnt):
    """Directories whose files inherit nodatacow or compression."""
    for name, flag in (("no-copy", "+C"), ("packed", "+c"), ("unpacked", "+m")):
        os.mkdir(f"{mnt}/{name}")
        run("chattr", flag, f"{mnt}/{name}")
        for size in (100, 5000, 200_000):
            files.write(f"{mnt}/{name}/{size}", b"compressible " * (size // 13))
    run("btrfs", "property", "set", f"{mnt}/packed", "compression", "zstd")
    files.write(f"{mnt}/packed/zstd", b"compressible " * 20_000)
    assert ioctls.get_flags(f"{mnt}/no-copy/100")


LIVES = {life.__name__: life for life in (few_snapshots, many_snapshots, balanced, shared_by_many, fragmented, flags)}
