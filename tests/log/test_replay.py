"""Logs of the kernel, one kind of item after the other: replayed here and in the kernel they give the same tree."""
import os
import time

import pytest

from harness import devices, files, quotas, simple_quotas, superblock
from harness.shell import run

from . import states
from .states import clone

pytestmark = pytest.mark.fuse_only


@pytest.fixture
def replayed(subject, scratch):
    """replayed(work, prepare): makes the state, insists on a log, has it judged; the tree as the kernel shows it."""
    def run(work, prepare=lambda mnt: None, mkfs=(), options="", ours=""):
        image = states.make(os.path.join(scratch, "img"), prepare, work, mkfs, options)
        assert states.has_log(image), "the kernel left no log: the test is wrong"
        return states.judge(subject, image, ours)
    return run


def test_new_file(replayed):
    def work(mnt):
        files.write(f"{mnt}/new", b"fsynced" * 5000, sync=True)
        files.write(f"{mnt}/lost", b"x")
    tree = replayed(work)
    assert "new" in tree and "lost" not in tree


def write(path, size, seed=1, **kw):
    files.write(path, bytes((i * seed + i // 251) & 0xFF for i in range(251)) * (size // 251 + 1), **kw)


# ---- names ----

def test_directory_of_new_names(replayed):
    """fsync of a directory logs what is in it, and makes the inodes exist."""
    def work(mnt):
        os.mkdir(f"{mnt}/d")
        for i in range(40):
            files.write(f"{mnt}/d/f{i}", b"y" * i)
        os.mkdir(f"{mnt}/d/sub")
        os.symlink("f1", f"{mnt}/d/link")
        states.fsync(f"{mnt}/d")
    tree = replayed(work)
    assert len([p for p in tree if p.startswith("d/")]) == 42


def test_unlinked_names(replayed):
    """Ranges of the directory's log: what is in them and not in the log is gone."""
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        for i in range(300):
            files.write(f"{mnt}/d/a name that is not short {i}", b"z" * 50)

    def work(mnt):
        for i in range(0, 300, 3):
            os.unlink(f"{mnt}/d/a name that is not short {i}")
        files.write(f"{mnt}/d/another", b"w")
        states.fsync(f"{mnt}/d")
    tree = replayed(work, prepare)
    assert len([p for p in tree if p.startswith("d/")]) == 201


def test_removed_trees(replayed):
    """A directory that was removed with all below it: only its parent was synced."""
    def prepare(mnt):
        os.makedirs(f"{mnt}/p/gone/deeper/still")
        for i in range(20):
            write(f"{mnt}/p/gone/deeper/f{i}", 9000)
            os.link(f"{mnt}/p/gone/deeper/f{i}", f"{mnt}/p/gone/deeper/still/l{i}")
        os.link(f"{mnt}/p/gone/deeper/f0", f"{mnt}/p/kept")

    def work(mnt):
        for folder, dirs, names in os.walk(f"{mnt}/p/gone", topdown=False):
            for n in names:
                os.unlink(os.path.join(folder, n))
            os.rmdir(folder)
        states.fsync(f"{mnt}/p")
    tree = replayed(work, prepare)
    assert set(tree) == {".", ".chunks", "p", "p/kept"} and tree["p/kept"].links == 1


def test_renamed_file(replayed):
    def prepare(mnt):
        os.mkdir(f"{mnt}/one")
        os.mkdir(f"{mnt}/two")
        write(f"{mnt}/one/old", 9000)

    def work(mnt):
        os.rename(f"{mnt}/one/old", f"{mnt}/two/new")
        states.fsync(f"{mnt}/two/new")
        write(f"{mnt}/one/old", 100, 3, sync=True)
    replayed(work, prepare)


def test_renamed_directory(replayed):
    """What is below it comes along; its parents were synced before, or the kernel would commit."""
    def prepare(mnt):
        os.makedirs(f"{mnt}/one/old/inner")
        os.mkdir(f"{mnt}/two")
        write(f"{mnt}/one/old/f", 9000)

    def work(mnt):
        write(f"{mnt}/one/x", 100, sync=True)
        states.fsync(f"{mnt}/one")
        states.fsync(f"{mnt}/two")
        os.rename(f"{mnt}/one/old", f"{mnt}/two/new")
        write(f"{mnt}/one/x", 200, sync=True)
    tree = replayed(work, prepare)
    assert "two/new/f" in tree


def test_renamed_over_another(replayed):
    def prepare(mnt):
        for name in "abc":
            write(f"{mnt}/{name}", 5000, ord(name))

    def work(mnt):
        os.rename(f"{mnt}/a", f"{mnt}/b")
        write(f"{mnt}/a", 3000, 9)
        states.fsync(f"{mnt}/b")
        states.fsync(f"{mnt}/a")
        os.rename(f"{mnt}/c", f"{mnt}/a")
        states.fsync(f"{mnt}/a")
    replayed(work, prepare)


def test_names_exchanged(replayed):
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        write(f"{mnt}/d/a", 5000)
        write(f"{mnt}/d/b", 7000, 2)

    def work(mnt):
        for name in "ab":
            os.setxattr(f"{mnt}/d/{name}", "user.was", name.encode())
        files.LIBC.renameat2(-100, f"{mnt}/d/a".encode(), -100, f"{mnt}/d/b".encode(), 2)
        states.fsync(f"{mnt}/d/a")
    replayed(work, prepare)


def test_links(replayed):
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        write(f"{mnt}/f", 5000)
        write(f"{mnt}/g", 5000)
        os.link(f"{mnt}/g", f"{mnt}/d/g2")

    def work(mnt):
        for i in range(5):
            os.link(f"{mnt}/f", f"{mnt}/d/link{i}")
        os.unlink(f"{mnt}/g")
        states.fsync(f"{mnt}/f")
        states.fsync(f"{mnt}/d/g2")
    tree = replayed(work, prepare)
    assert tree["f"].links == 6 and tree["d/g2"].links == 1


def test_link_counts_of_what_only_a_directory_lists(replayed):
    """A new link, synced through its directory alone: the count is fixed up afterwards."""
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        write(f"{mnt}/f", 5000)

    def work(mnt):
        os.link(f"{mnt}/f", f"{mnt}/d/link")
        write(f"{mnt}/d/x", 10)
        states.fsync(f"{mnt}/d")
    replayed(work, prepare)


@pytest.mark.parametrize("how", ["some removed", "some added"])
def test_many_links_to_one_file(replayed, how):
    """More names in one directory than an INODE_REF holds: INODE_EXTREFs."""
    def name(mnt, i):
        return f"{mnt}/d/a rather long name for a link, number {i:04}"

    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        write(f"{mnt}/d/f", 5000)
        for i in range(400):
            os.link(f"{mnt}/d/f", name(mnt, i))

    def work(mnt):
        if how == "some removed":
            write(f"{mnt}/d/f", 100, 5, sync=True)
            for i in range(0, 400, 7):
                os.unlink(name(mnt, i))
            write(f"{mnt}/d/x", 10, sync=True)
        else:
            for i in range(400, 410):
                os.link(f"{mnt}/d/f", name(mnt, i))
        states.fsync(f"{mnt}/d")
    tree = replayed(work, prepare)
    assert tree["d/f"].links == 401 + (10 if how == "some added" else -58)


def test_symlinks_and_special_files(replayed):
    def work(mnt):
        os.mkdir(f"{mnt}/d")
        os.symlink("target " * 30, f"{mnt}/d/symlink")
        os.mkfifo(f"{mnt}/d/fifo", 0o640)
        os.mknod(f"{mnt}/d/device", 0o020600, os.makedev(240, 77))
        os.mknod(f"{mnt}/d/block", 0o060600, os.makedev(7, 1 << 19))
        os.mknod(f"{mnt}/d/socket", 0o140600)
        states.fsync(f"{mnt}/d")
    tree = replayed(work)
    assert len(tree) == 8


# ---- attributes ----

def test_attributes(replayed):
    def prepare(mnt):
        write(f"{mnt}/f", 5000)
        os.mkdir(f"{mnt}/d")

    def work(mnt):
        for name in "fd":
            os.chmod(f"{mnt}/{name}", 0o6751)
            os.chown(f"{mnt}/{name}", 1234, 4321)
            os.utime(f"{mnt}/{name}", ns=(5 * 10**9 + 7, 10**18 + 5))
            states.fsync(f"{mnt}/{name}")
    replayed(work, prepare)


def test_xattrs_set_and_deleted(replayed):
    def prepare(mnt):
        write(f"{mnt}/f", 5000)
        for i in range(30):
            os.setxattr(f"{mnt}/f", f"user.x{i}", b"v" * i)

    def work(mnt):
        for i in range(0, 30, 2):
            os.removexattr(f"{mnt}/f", f"user.x{i}")
        os.setxattr(f"{mnt}/f", "user.x1", b"changed")
        os.setxattr(f"{mnt}/f", "user.large", b"L" * 12000)
        os.setxattr(f"{mnt}/f", "trusted.new", b"")
        states.fsync(f"{mnt}/f")
    tree = replayed(work, prepare)
    assert len(tree["f"].xattrs) == 17


def test_acls(replayed):
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")

    def work(mnt):
        run("setfacl", "-m", "u:1000:rwx,d:u:1001:r-x", f"{mnt}/d")
        write(f"{mnt}/d/f", 10)
        states.fsync(f"{mnt}/d/f")
        states.fsync(f"{mnt}/d")
    replayed(work, prepare)


# ---- contents ----

def test_overwritten_and_appended(replayed):
    def prepare(mnt):
        write(f"{mnt}/f", 1 << 20)

    def work(mnt):
        files.write(f"{mnt}/f", b"new" * 3000, offset=100_000)
        files.write(f"{mnt}/f", b"end" * 30000, offset=(1 << 20) + 12345)
        states.fsync(f"{mnt}/f", data_only=True)
        files.write(f"{mnt}/f", b"again" * 9000, offset=200_000, sync=True)
    replayed(work, prepare)


def test_holes(replayed):
    def prepare(mnt):
        write(f"{mnt}/f", 1 << 20)
        write(f"{mnt}/g", 1 << 18)

    def work(mnt):
        files.fallocate(f"{mnt}/f", 40960, 200_000, files.PUNCH_HOLE | files.KEEP_SIZE)
        states.fsync(f"{mnt}/f")
        os.truncate(f"{mnt}/g", 100)
        os.truncate(f"{mnt}/g", 1 << 19)
        files.write(f"{mnt}/g", b"tail", offset=1 << 20, sync=True)
    replayed(work, prepare)


@pytest.mark.parametrize("size", [0, 1, 4096, 5000, 300_000])
def test_truncated(replayed, size):
    def prepare(mnt):
        write(f"{mnt}/f", 400_000)
        files.fallocate(f"{mnt}/f", 400_000, 400_000, files.KEEP_SIZE)

    def work(mnt):
        os.truncate(f"{mnt}/f", size)
        states.fsync(f"{mnt}/f")
    tree = replayed(work, prepare)
    assert tree["f"].size == size


def test_inline(replayed):
    def prepare(mnt):
        write(f"{mnt}/small", 300)
        write(f"{mnt}/grows", 300)
        write(f"{mnt}/shrinks", 9000)

    def work(mnt):
        write(f"{mnt}/small", 1200, 3, sync=True)
        write(f"{mnt}/new", 2000, 5, sync=True)
        write(f"{mnt}/grows", 9000, 7, sync=True)
        os.truncate(f"{mnt}/shrinks", 0)
        write(f"{mnt}/shrinks", 20, 3, sync=True)
    replayed(work, prepare)


@pytest.mark.parametrize("kind", ["zlib", "lzo", "zstd"])
def test_compressed(replayed, kind):
    def prepare(mnt):
        files.write(f"{mnt}/old", b"compress me " * 50000)

    def work(mnt):
        files.write(f"{mnt}/old", b"other words " * 3000, offset=131072 + 4096)
        states.fsync(f"{mnt}/old")
        files.write(f"{mnt}/new", b"as short as can be " * 40000, sync=True)
        files.write(f"{mnt}/inline", b"0" * 3000, sync=True)
    replayed(work, prepare, options=f"compress={kind}")


def test_first_compression_of_the_file_system(replayed):
    """The feature's flag came with the log's superblock, or must be set by the replay."""
    replayed(lambda mnt: files.write(f"{mnt}/new", b"short " * 40000, sync=True), options="compress=zstd")


def test_preallocated(replayed):
    def prepare(mnt):
        files.fallocate(f"{mnt}/f", 0, 1 << 20)

    def work(mnt):
        files.write(f"{mnt}/f", b"middle" * 5000, offset=300_000, sync=True)
        files.fallocate(f"{mnt}/f", 1 << 20, 1 << 20, files.KEEP_SIZE)
        states.fsync(f"{mnt}/f")
        files.fallocate(f"{mnt}/new", 0, 123_456)
        states.fsync(f"{mnt}/new")
    replayed(work, prepare)


def test_without_checksums(replayed):
    def prepare(mnt):
        files.nocow(f"{mnt}/f")
        write(f"{mnt}/f", 100_000)

    def work(mnt):
        write(f"{mnt}/f", 60_000, 3)
        files.write(f"{mnt}/f", b"e" * 60_000, offset=90_000, sync=True)
        files.nocow(f"{mnt}/g")
        write(f"{mnt}/g", 60_000, 3, sync=True)
    replayed(work, prepare)


def test_extents_shared_by_clones(replayed):
    """One extent in several files and places, some committed before and some in the log only."""
    def prepare(mnt):
        write(f"{mnt}/old", 400_000)

    def work(mnt):
        write(f"{mnt}/new", 300_000, 3, sync=True)
        for source, length in (("old", 200_704), ("new", 200_704)):
            clone(f"{mnt}/{source}", 4096, f"{mnt}/of-{source}", 8192, length)
            states.fsync(f"{mnt}/of-{source}")
        clone(f"{mnt}/new", 0, f"{mnt}/new", 1 << 20, 262_144)
        states.fsync(f"{mnt}/new")
    replayed(work, prepare)


def test_large_file(replayed):
    """Checksums of many leaves."""
    def work(mnt):
        write(f"{mnt}/f", 40 << 20)
        files.write(f"{mnt}/f", b"hole before" * 4000, offset=60 << 20, sync=True)
    replayed(work)


# ---- subvolumes ----

def test_several_subvolumes(replayed):
    def prepare(mnt):
        for name in ("s1", "s2", "s1/nested"):
            run("btrfs", "subvolume", "create", f"{mnt}/{name}")
            write(f"{mnt}/{name}/f", 9000)
        run("btrfs", "subvolume", "snapshot", f"{mnt}/s1", f"{mnt}/snap")

    def work(mnt):
        for name in ("s1", "s2", "s1/nested", "snap", "."):
            write(f"{mnt}/{name}/f", 20_000, 3, sync=True)
            os.mkdir(f"{mnt}/{name}/d")
            write(f"{mnt}/{name}/d/new", 5000, 3, sync=True)
    replayed(work, prepare)


def test_mounted_subvolume_in_a_renamed_directory(subject, scratch):
    """subvol= means the names as they are after the replay."""
    def prepare(mnt):
        os.makedirs(f"{mnt}/a/b")
        os.mkdir(f"{mnt}/c")
        run("btrfs", "subvolume", "create", f"{mnt}/a/b/s")

    def work(mnt):
        write(f"{mnt}/a/x", 100, sync=True)
        states.fsync(f"{mnt}/a")
        states.fsync(f"{mnt}/c")
        os.rename(f"{mnt}/a/b", f"{mnt}/c/moved")
        write(f"{mnt}/a/x", 200, sync=True)
        write(f"{mnt}/c/moved/s/in it", 300, sync=True)
    image = states.make(os.path.join(scratch, "img"), prepare, work)
    assert states.has_log(image)
    m = subject.mount(image, "subvol=c/moved/s")
    assert os.listdir(m.path) == ["in it"]
    m.umount()


# ---- without a name ----

def test_unlinked_while_open(replayed):
    """Synced through a descriptor when its last name was gone."""
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        write(f"{mnt}/d/f", 90_000)

    def work(mnt):
        f = open(f"{mnt}/d/f", "r+b")
        f.write(b"changed" * 900)
        f.flush()
        os.unlink(f"{mnt}/d/f")
        os.fsync(f.fileno())
        write(f"{mnt}/d/g", 10, sync=True)
        return f
    replayed(work, prepare)


def test_tmpfile(replayed):
    """O_TMPFILE: one that stays without a name, one that gets one."""
    def work(mnt):
        lost, found = (os.open(mnt, os.O_TMPFILE | os.O_RDWR, 0o600) for _ in range(2))
        for fd in (lost, found):
            os.write(fd, b"t" * 50_000)
            os.fsync(fd)
        os.link(f"/proc/self/fd/{found}", f"{mnt}/found", src_dir_fd=0, follow_symlinks=True)
        os.fsync(found)
        return [os.fdopen(fd, "rb") for fd in (lost, found)]
    tree = replayed(work)
    assert set(tree) == {".", ".chunks", "found"}


# ---- forms of images ----

@pytest.mark.parametrize("mkfs", [("-O", "^no-holes"), ("-n", "4096"), ("--mixed",), ("-R", "^free-space-tree"),
                                  ("--csum", "blake2b"), ("-O", "^extref,^skinny-metadata"),
                                  ("-d", "dup", "-m", "dup")],
                         ids=lambda m: " ".join(m))
def test_forms(replayed, mkfs):
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        write(f"{mnt}/d/f", 300_000)
        for i in range(100):
            write(f"{mnt}/d/n{i}", 100)

    def work(mnt):
        os.truncate(f"{mnt}/d/f", 1 << 20)
        files.write(f"{mnt}/d/f", b"w" * 50_000, offset=700_000)
        files.fallocate(f"{mnt}/d/f", 40960, 100_000, files.PUNCH_HOLE | files.KEEP_SIZE)
        states.fsync(f"{mnt}/d/f")
        for i in range(0, 100, 2):
            os.unlink(f"{mnt}/d/n{i}")
            write(f"{mnt}/d/m{i}", 3000)
        states.fsync(f"{mnt}/d")
    replayed(work, prepare, mkfs=mkfs)


@pytest.mark.parametrize("profile", ["raid1", "raid5"])
def test_several_devices(subject, scratch, profile):
    base = devices.make(scratch, [512] * 3, "-d", profile, "-m", "raid1")
    with devices.KernelDevices(base, states.OPTIONS, allow_complaints=True) as mnt:
        states.make_chunks(mnt)
        for attempt in range(3):        # a chunk that is made makes the first fsync a commit
            write(f"{mnt}/f", 300_000, attempt)
            states.commit(mnt)
            write(f"{mnt}/f", 100_000, 3, sync=True)
            write(f"{mnt}/new{attempt}", 200_000, 5, sync=True)
            if states.has_log(base[0]):
                break
        image = devices.copy(base)
    assert states.has_log(image[0])
    twins, since = devices.copy(image, ".kernel"), time.time_ns()
    with devices.KernelDevices(twins, allow_complaints=True) as mnt:
        want = states.look(mnt, since)
    m = subject.mount(image[0], devices.options(image))
    got = states.look(m.path, since)
    m.umount()
    states.treeview.assert_same(want, states.forgive(want, got), ("kernel", "btrfuse"))
    devices.check(image)


def test_free_space_tree_is_built(replayed):
    """The mount that replays builds the tree, too."""
    def prepare(mnt):
        write(f"{mnt}/f", 500_000)

    def work(mnt):
        write(f"{mnt}/f", 300_000, 3, sync=True)
        write(f"{mnt}/f", 30_000, 5, sync=True)
    replayed(work, prepare, mkfs=("-R", "^free-space-tree"), ours="space_cache=v2")


def prepare_quotas(mnt, enable):
    run("btrfs", "subvolume", "create", f"{mnt}/s")
    write(f"{mnt}/s/f", 300_000)
    clone(f"{mnt}/s/f", 0, f"{mnt}/shared", 0, 200_704)
    enable(mnt)


def work_with_quotas(mnt):
    write(f"{mnt}/s/f", 100_000, 3, sync=True)
    write(f"{mnt}/s/new", 200_000, 5, sync=True)
    clone(f"{mnt}/s/f", 0, f"{mnt}/s/g", 8192, 65_536)
    states.fsync(f"{mnt}/s/g")


def test_quotas(subject, scratch):
    """What a replay brings back is accounted like anything else."""
    def enable(mnt):
        run("btrfs", "quota", "enable", mnt)
        quotas.rescan(mnt)
    image = states.make(os.path.join(scratch, "img"), lambda mnt: prepare_quotas(mnt, enable), work_with_quotas)
    assert states.has_log(image)
    states.judge(subject, image)
    quotas.verify(image)


def test_simple_quotas(subject, scratch):
    image = states.make(os.path.join(scratch, "img"), lambda mnt: prepare_quotas(mnt, simple_quotas.enable), work_with_quotas)
    assert superblock.read(image).u64(superblock.LOG_ROOT)
    want, since = states.kernel_view(image), time.time_ns()
    m = subject.mount(image)
    got = states.look(m.path, since)
    m.umount()
    states.treeview.assert_same(want, states.forgive(want, got), ("kernel", "btrfuse"))
    simple_quotas.verify(image)
