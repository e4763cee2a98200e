"""What can be read of a damaged image can be copied out: errors belong to files, the mount stays up, nothing is written."""
import os
import re

import pytest

from harness import dump, files, image as images, superblock
from harness.kernel import KernelMount
from harness.shell import run
from harness.subject import MountRefused

pytestmark = pytest.mark.fuse_only
COUNT = 400


def content(i):
    return b"%06d" % i * (i % 30 + 1) if i % 2 else bytes([i % 256]) * 5000


@pytest.fixture
def filled(image):
    """Small inline files and larger ones, enough for several leaves; then two more commits."""
    with KernelMount(image) as mnt:
        for i in range(COUNT):
            files.write(f"{mnt}/f{i:03}", content(i))
        run("sync", "-f", mnt)
        for n in ("late1", "late2"):
            files.write(f"{mnt}/{n}", b"late", sync=True)
            run("sync", "-f", mnt)
    return image


def spoil(image, logical, at=0, length=16):
    """Noise over every copy of a block."""
    for physical in dump.physical(image, logical):
        with open(image, "r+b") as f:
            f.seek(physical + at)
            f.write(os.urandom(length))


def root_of(image, name):
    """Address of a tree's top node."""
    text = images.dump_tree(image, "-r")
    return int(re.search(rf"^{name} key \(.*\) (\d+) level", text, re.M).group(1))


def read_all(path):
    """(name -> content, names that cannot be read)."""
    good, bad = {}, set()
    for name in os.listdir(path):
        try:
            good[name] = files.read(os.path.join(path, name))
        except OSError as e:
            assert e.errno == 5, e
            bad.add(name)
    return good, bad


def assert_whole(good):
    for name, data in good.items():
        assert data == (b"late" if name.startswith("late") else content(int(name[1:]))), name


def rescue(subject, image, words):
    before = images.sha256(image)
    m = subject.mount(image, f"ro,rescue={words}")
    good, bad = read_all(m.path)
    m.umount()
    text = m.stderr()
    assert images.sha256(image) == before, "a rescue mount wrote"
    assert_whole(good)
    return good, bad, text


def test_only_read_only(subject, filled):
    with pytest.raises(MountRefused, match="rescue= needs -o ro"):
        subject.mount(filled, "rescue=all")
    with pytest.raises(MountRefused, match="usebackuproot needs -o ro"):
        subject.mount(filled, "usebackuproot")
    with pytest.raises(MountRefused, match="rescue"):
        subject.mount(filled, "ro,rescue=everything")


@pytest.mark.parametrize("words", ["usebackuproot", "all"])
def test_backup_root(subject, filled, words):
    spoil(filled, superblock.read(filled).u64(superblock.TREE_ROOT), 40)
    with pytest.raises(MountRefused, match="cannot read the root tree"):
        subject.mount(filled, "ro")
    good, bad, text = rescue(subject, filled, words)
    assert not bad and len(good) >= COUNT and "trying the root tree of generation" in text


@pytest.mark.parametrize("tree", ["extent tree", "checksum tree", "device tree", "free space tree"])
def test_bad_global_tree(subject, filled, tree):
    spoil(filled, root_of(filled, tree))
    with pytest.raises(MountRefused, match="tree: Input/output error"):
        subject.mount(filled, "ro")
    good, bad, _ = rescue(subject, filled, "ignorebadroots")
    assert not bad and len(good) == COUNT + 2


def test_damaged_leaf_costs_its_files_only(subject, filled):
    leaves = re.findall(r"^leaf (\d+) items", images.dump_tree(filled, "-t", "5"), re.M)
    spoil(filled, int(leaves[len(leaves) // 2]), 4000)
    m = subject.mount(filled, "ro")
    for _ in range(2):
        good, bad = read_all(m.path)
        assert_whole(good)
        assert bad and len(good) > COUNT // 2
    assert "is bad in every copy" in m.stderr()
    m.umount()
    # without the checksum the leaf's structure is still judged, and what the noise hit is the files' own data or refused
    m = subject.mount(filled, "ro,rescue=ignoremetacsums")
    good, _ = read_all(m.path)
    m.umount()
    assert len(good) >= COUNT // 2


def test_node_checksums_ignored(subject, filled):
    """Only the checksum itself is wrong: every file is there again."""
    for leaf in re.findall(r"^leaf (\d+) items", images.dump_tree(filled, "-t", "5"), re.M)[1:]:
        spoil(filled, int(leaf), 0, 4)
    good, bad, _ = rescue(subject, filled, "ignoremetacsums")
    assert not bad and len(good) == COUNT + 2


def test_data_checksums_ignored(subject, filled):
    inode = next(int(k[0]) for k, lines in dump.items(filled, 5) if k[1] == "INODE_REF" and "name: f100" in " ".join(lines))
    extent = next(e for e in dump.file_extents(filled, inode) if e.kind == "regular")
    spoil(filled, extent.disk, 100, 1)
    m = subject.mount(filled, "ro")
    good, bad = read_all(m.path)
    assert bad == {"f100"} and f"inode {inode}: cannot be read whole" in m.stderr()
    m.umount()
    m = subject.mount(filled, "ro,rescue=ignoredatacsums")
    got = files.read(m.join("f100"))
    m.umount()
    assert len(got) == 5000 and sum(a != b for a, b in zip(got, content(100))) <= 1


@pytest.mark.parametrize("flag", [1 << 38, 1 << 39, 1 << 40])
def test_unfinished_conversions(subject, filled, flag):
    superblock.edit(filled, lambda sb: sb.or_u64(superblock.FLAGS, flag))
    with pytest.raises(MountRefused, match="unfinished"):
        subject.mount(filled, "ro")
    good, bad, _ = rescue(subject, filled, "ignoresuperflags")
    assert not bad and len(good) == COUNT + 2
