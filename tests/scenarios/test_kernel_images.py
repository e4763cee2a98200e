"""Images that the kernel made: read the same as the kernel reads them, written to, and still right for the kernel."""
import os
import re

import pytest

from harness import dump, files, image as images, ioctls, treeview
from harness.kernel import KernelMount
from harness.shell import run


def btrfs(*argv):
    return run("btrfs", *argv)


def populate(mnt):
    """Everything a default image of a 6.18 kernel may hold."""
    files.write(f"{mnt}/inline", b"small enough to sit in the tree\n")
    files.write(f"{mnt}/inline-2048", b"i" * 2048)
    files.write(f"{mnt}/one-block", b"b" * 2049)
    files.write(f"{mnt}/big", os.urandom(12_000_000), sync=True)
    files.write(f"{mnt}/holes", b"start")
    files.write(f"{mnt}/holes", b"middle", 1_000_000)
    files.write(f"{mnt}/holes", b"far", 6 << 30)
    files.fallocate(f"{mnt}/prealloc", 0, 1 << 20)
    files.write(f"{mnt}/prealloc", os.urandom(8192), 65536, sync=True)
    files.fallocate(f"{mnt}/beyond", 0, 1 << 20, files.KEEP_SIZE)
    files.nocow(f"{mnt}/nocow")
    files.write(f"{mnt}/nocow", os.urandom(500_000), sync=True)
    os.mkdir(f"{mnt}/links")
    files.write(f"{mnt}/links/first", b"x")
    for i in range(400):
        os.link(f"{mnt}/links/first", f"{mnt}/links/a-long-enough-name-for-extended-references-{i}")
    os.symlink("inline", f"{mnt}/symlink")
    os.mkfifo(f"{mnt}/fifo")
    files.write(f"{mnt}/meta", b"")
    os.setxattr(f"{mnt}/meta", "user.big", b"v" * 5000)
    os.setxattr(f"{mnt}/meta", "trusted.t", b"1")
    run("setfacl", "-m", "u:1000:rwx", f"{mnt}/meta")
    os.chmod(f"{mnt}/meta", 0o4711)
    os.utime(f"{mnt}/meta", ns=(123, 456_000_000_789))
    os.mkdir(f"{mnt}/many")
    for i in range(800):
        files.write(f"{mnt}/many/{i:05}", b"%d" % i * (i % 300))


def add_subvolumes(mnt):
    btrfs("subvolume", "create", f"{mnt}/sub")
    btrfs("subvolume", "create", f"{mnt}/sub/nested")
    for i in range(300):
        files.write(f"{mnt}/sub/f{i}", os.urandom(5000))
    files.write(f"{mnt}/sub/nested/n", b"nested")
    run("sync", "-f", mnt)
    btrfs("subvolume", "snapshot", f"{mnt}/sub", f"{mnt}/snap")
    btrfs("subvolume", "snapshot", "-r", f"{mnt}/sub", f"{mnt}/snap-ro")
    for i in range(0, 300, 7):
        files.write(f"{mnt}/snap/f{i}", os.urandom(3000), 1000)
        os.unlink(f"{mnt}/sub/f{i + 1}")
    run("cp", "--reflink=always", f"{mnt}/big", f"{mnt}/clone")
    files.write(f"{mnt}/clone", os.urandom(40_000), 1 << 20)
    run("sync", "-f", mnt)


def many_references(mnt):
    """One extent with more references than fit inline: keyed backrefs; and full backrefs by deleting the owner."""
    btrfs("subvolume", "create", f"{mnt}/refs")
    files.write(f"{mnt}/refs/base", os.urandom(65536), sync=True)
    for i in range(700):
        run_reflink(f"{mnt}/refs/base", f"{mnt}/refs/clone{i:04}")
    btrfs("subvolume", "create", f"{mnt}/owner")
    for i in range(4500):            # three levels of nodes: interior ones get shared
        files.write(f"{mnt}/owner/f{i:04}", b"%06d" % i * 330)
    run("sync", "-f", mnt)
    btrfs("subvolume", "snapshot", f"{mnt}/owner", f"{mnt}/heir")
    files.write(f"{mnt}/heir/f0003", b"changed")
    files.write(f"{mnt}/owner/f2000", os.urandom(20_000))
    files.write(f"{mnt}/owner/f4000", os.urandom(20_000))
    btrfs("subvolume", "snapshot", f"{mnt}/owner", f"{mnt}/heir2")
    run("sync", "-f", mnt)
    files.write(f"{mnt}/owner/f2000", os.urandom(20_000))
    run("sync", "-f", mnt)
    btrfs("subvolume", "delete", f"{mnt}/owner")
    btrfs("subvolume", "sync", mnt)


def run_reflink(source, target):
    import fcntl
    with open(source, "rb") as s, open(target, "wb") as t:
        fcntl.ioctl(t.fileno(), 0x40049409, s.fileno())


def make_rich(path):
    images.make(path, 640)
    with KernelMount(path, "commit=1") as mnt:      # the cleaner wakes with the commits
        populate(mnt)
        add_subvolumes(mnt)
        many_references(mnt)


@pytest.fixture
def rich(image_cache, scratch):
    return image_cache("rich", make_rich, os.path.join(scratch, "rich"))


def kernel_view(path, **kw):
    twin = images.copy(path, path + ".kernel")
    with KernelMount(twin, "ro") as mnt:
        return treeview.look(mnt, **kw)


def test_reads_like_the_kernel(subject, rich):
    want = kernel_view(rich)
    before = images.sha256(rich)
    m = subject.mount(rich, "ro")
    treeview.assert_same(treeview.look(m.path), want, ("ours", "kernel"))
    m.umount()
    assert images.sha256(rich) == before, "a read-only mount changed the image"


def test_reads_like_the_kernel_read_write(subject, rich):
    want = kernel_view(rich)
    m = subject.mount(rich, "noatime")
    treeview.assert_same(treeview.look(m.path), want, ("ours", "kernel"))
    m.umount()
    images.judge(rich)


def test_rich_image_is_rich(subject, rich):
    """The test image really holds what the tests are about."""
    text = images.dump_tree(rich, "-e")
    for word in ("extent data backref", "FULL_BACKREF", "shared block backref", "shared data backref"):
        assert word in text, word
    assert re.search(r"INODE_EXTREF", images.dump_tree(rich, "-t", "5"))


@pytest.mark.parametrize("option,entry", [("subvol=sub", "f0"), ("subvol=sub/nested", "n"), ("subvol=/snap", "f0")])
def test_subvol(subject, rich, option, entry):
    m = subject.mount(rich, option)
    assert os.path.exists(m.join(entry))
    m.umount()


def test_subvolid_and_default(subject, rich):
    with KernelMount(rich) as mnt:
        ident = int(re.search(r"ID (\d+) .* path sub$", run("btrfs", "subvolume", "list", mnt).stdout, re.M).group(1))
        run("btrfs", "subvolume", "set-default", ident, mnt)
    m = subject.mount(rich, "")
    assert os.path.exists(m.join("f0")) and not os.path.exists(m.join("sub"))
    m.umount()
    m = subject.mount(rich, "subvolid=5")
    assert os.path.exists(m.join("sub/f0"))
    m.umount()
    m = subject.mount(rich, f"subvolid={ident}")
    assert os.path.exists(m.join("nested/n"))
    m.umount()


def test_readonly_snapshot_refuses_writes(subject, rich):
    m = subject.mount(rich)
    with pytest.raises(OSError) as e:
        files.write(m.join("snap-ro/new"), b"")
    assert e.value.errno == 30
    with pytest.raises(OSError):
        files.write(m.join("snap-ro/f0"), b"x")
    with pytest.raises(OSError):
        os.unlink(m.join("snap-ro/f0"))
    m.umount()


def test_nested_inode_numbers_are_unique(subject, rich):
    m = subject.mount(rich)
    seen = {}
    for folder, dirs, names in os.walk(m.path):
        for n in dirs + names:
            st = os.lstat(os.path.join(folder, n))
            if subject.is_kernel and st.st_ino == 2:      # placeholders of nested subvolumes share a device
                continue
            if st.st_nlink == 1 or n in dirs:
                key = (st.st_dev, st.st_ino)
                assert key not in seen, (os.path.join(folder, n), seen[key])
                seen[key] = os.path.join(folder, n)
    assert not run("find", m.path, "-type", "f", check=False).stderr
    m.umount()


def change_everywhere(mnt):
    """A bit of everything, in every subvolume."""
    for top in ("", "sub/", "snap/", "heir/"):
        names = sorted(n for n in os.listdir(os.path.join(mnt, top)) if n.startswith("f") and n != "fifo")[:40]
        for i, n in enumerate(names):
            path = os.path.join(mnt, top, n)
            if i % 4 == 0:
                os.unlink(path)
            elif i % 4 == 1:
                files.write(path, os.urandom(9000), 2000)
            elif i % 4 == 2:
                os.truncate(path, 1500)
            else:
                os.rename(path, path + "-renamed")
        files.write(os.path.join(mnt, top, "fresh"), os.urandom(70_000))
    for n in ("nocow", "prealloc", "big", "clone", "holes", "refs/base", "refs/clone0003", "refs/clone0500"):
        files.write(os.path.join(mnt, n), os.urandom(30_000), 12_288)
    for n in os.listdir(f"{mnt}/links")[:200]:
        os.unlink(f"{mnt}/links/{n}")
    files.write(f"{mnt}/inline", b"x" * 5000, 10)
    for i in range(0, 700, 3):
        os.unlink(f"{mnt}/refs/clone{i:04}")


def test_changes_to_a_rich_image(subject, rich):
    m = subject.mount(rich)
    frozen = {n: files.read(m.join("snap-ro", n)) for n in os.listdir(m.join("snap-ro")) if n.startswith("f")}
    change_everywhere(m.path)
    view = treeview.look(m.path)
    for n, data in frozen.items():
        assert files.read(m.join("snap-ro", n)) == data, f"the snapshot's {n} changed"
    m.umount()
    images.judge(rich)
    treeview.assert_same(view, kernel_view(rich), ("live", "kernel"))
    m = subject.mount(rich, "ro")
    treeview.assert_same(view, treeview.look(m.path), ("live", "remounted"))
    m.umount()


def test_kernel_goes_on_with_our_image(subject, rich):
    """Kernel, ours, kernel, ours: each finds what the other left, snapshots and deletions included."""
    m = subject.mount(rich)
    files.write(m.join("ours"), b"1" * 100_000)
    m.umount()
    with KernelMount(rich, "commit=1") as mnt:
        assert files.read(f"{mnt}/ours") == b"1" * 100_000
        run("btrfs", "subvolume", "snapshot", f"{mnt}/sub", f"{mnt}/snap2")
        run("btrfs", "subvolume", "delete", f"{mnt}/snap")
        run("btrfs", "subvolume", "sync", mnt)
        files.write(f"{mnt}/ours", b"2" * 50_000, 25_000)
    m = subject.mount(rich)
    assert files.read(m.join("ours")) == b"1" * 25_000 + b"2" * 50_000 + b"1" * 25_000
    assert not os.path.exists(m.join("snap"))
    files.write(m.join("snap2/f0"), b"3", 0)
    m.umount()
    images.judge(rich)


def test_snapshot_keeps_its_content(subject, rich):
    """Overwrites in the source, nodatacow and prealloc among them, are not seen by a snapshot."""
    with KernelMount(rich) as mnt:
        files.nocow(f"{mnt}/sub/nc")
        files.write(f"{mnt}/sub/nc", os.urandom(1 << 20), sync=True)
        files.fallocate(f"{mnt}/sub/pre", 0, 1 << 20)
        run("btrfs", "subvolume", "snapshot", "-r", f"{mnt}/sub", f"{mnt}/frozen")
        before = treeview.look(f"{mnt}/frozen")
    m = subject.mount(rich)
    for at in range(0, 1 << 20, 131_072):
        files.write(m.join("sub/nc"), os.urandom(4096), at, sync=True)
        files.write(m.join("sub/pre"), os.urandom(4096), at, sync=True)
    treeview.assert_same(before, treeview.look(m.join("frozen")))
    m.umount()
    images.judge(rich)
    with KernelMount(rich, "ro") as mnt:
        treeview.assert_same(before, treeview.look(f"{mnt}/frozen"))


def test_orphans_are_cleaned_up(subject, image, scratch):
    """A file unlinked but open when the machine stopped is deleted at the next mount."""
    with KernelMount(image) as mnt:
        fd = os.open(f"{mnt}/gone", os.O_CREAT | os.O_RDWR)
        os.write(fd, os.urandom(1 << 20))
        os.fsync(fd)
        files.write(f"{mnt}/stays", b"x")
        os.unlink(f"{mnt}/gone")
        ioctls.sync_fs(mnt)
        crashed = images.copy(image, os.path.join(scratch, "crashed"))
        os.close(fd)
    assert "ORPHAN_ITEM" in images.dump_tree(crashed, "-t", "5")
    used = sum(u for _, u, _ in dump.block_groups(crashed).values())
    m = subject.mount(crashed)
    assert os.listdir(m.path) == ["stays"]
    m.umount()
    images.judge(crashed)
    assert "ORPHAN_ITEM" not in images.dump_tree(crashed, "-t", "5")
    assert sum(u for _, u, _ in dump.block_groups(crashed).values()) < used - (1 << 20) + 65536


@pytest.mark.fuse_only
def test_placeholders_look_the_same_each_time(subject, rich):
    """A snapshot does not hold the subvolumes inside its source: empty folders stand there, as old as the snapshot."""
    m = subject.mount(rich, "ro")
    times = os.stat(m.join("snap/nested")).st_mtime_ns, os.stat(m.join("snap-ro/nested")).st_mtime_ns
    m.umount()
    m = subject.mount(rich, "ro")
    assert (os.stat(m.join("snap/nested")).st_mtime_ns, os.stat(m.join("snap-ro/nested")).st_mtime_ns) == times
    assert os.listdir(m.join("snap/nested")) == []
    m.umount()
