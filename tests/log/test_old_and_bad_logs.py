"""Logs that this kernel does not write: those of old kernels are replayed, damaged ones refused by name and left alone."""
import os
import struct

import pytest

from harness import files, image as images, superblock
from harness.crc32c import crc32c
from harness.kernel import Loop
from harness.shell import run
from harness.subject import MountRefused

from . import nodes, states

pytestmark = pytest.mark.fuse_only


@pytest.fixture
def logged(scratch):
    """A state with names, extents and deletions in its log."""
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        run("btrfs", "subvolume", "create", f"{mnt}/d/100")
        for i in range(20):
            files.write(f"{mnt}/d/{i}", b"old" * 3000)

    def work(mnt):
        for i in range(0, 20, 2):
            os.unlink(f"{mnt}/d/{i}")
        for i in range(30, 35):
            files.write(f"{mnt}/d/{i}", b"new" * 5000)
        states.fsync(f"{mnt}/d")
        files.write(f"{mnt}/d/1", b"changed" * 2000, sync=True)
    image = states.make(os.path.join(scratch, "img"), prepare, work)
    assert states.has_log(image)
    return image


def refused(subject, image, options=""):
    before = images.sha256(image)
    with pytest.raises(MountRefused) as e:
        subject.mount(image, options)
    assert e.value.code == 1 and images.sha256(image) == before, "a refused image was changed"
    line, = e.value.text.strip().splitlines()
    assert "log" in line and "nologreplay" in line, line
    return line


def name_hash(name):
    return ~crc32c(name, 0xFFFFFFFE) & 0xFFFFFFFF


def test_log_with_dir_items(subject, logged):
    """Until 5.16 kernels logged a DIR_ITEM beside each DIR_INDEX, and ranges of hashes beside those of indexes."""
    added = 0
    for leaf in nodes.logs(logged)[5]:
        items = leaf.items()
        for item in list(items):
            if item.key[1] == nodes.DIR_INDEX:
                name = item.data[30:30 + struct.unpack_from("<H", item.data, 27)[0]]
                items.append(nodes.Item((item.key[0], nodes.DIR_ITEM, name_hash(name)), item.data))
                added += 1
            elif item.key[1] == nodes.DIR_LOG_INDEX:
                items = [i for i in items if i.key[:2] != (item.key[0], nodes.DIR_LOG_ITEM)]
                items.append(nodes.Item((item.key[0], nodes.DIR_LOG_ITEM, 0), b"\xff" * 8))
        leaf.put_items(items)
        leaf.write()
    assert added >= 5
    tree = states.judge(subject, logged)
    assert len([p for p in tree if p.startswith("d/")]) == 16


@pytest.mark.parametrize("changed", [False, True])
def test_log_with_a_subvolume(subject, logged, changed):
    """Old kernels logged all entries of the leaves that they met, those of subvolumes, too; they never changed one."""
    entry, = (item for leaf in nodes.tree(logged, 5) for item in leaf.items()
              if item.key[1] == nodes.DIR_INDEX and item.data[8] == nodes.ROOT_ITEM)
    leaf = nodes.logs(logged)[5][0]
    if changed:
        entry.data = entry.data[:-1] + b"1"
    leaf.put_items(leaf.items() + [entry])
    leaf.write()
    if changed:
        assert "subvolume" in refused(subject, logged)
    else:
        states.judge(subject, logged)


def without(image, gone):
    """Takes items out of the log of the top subvolume; how many there were."""
    count = 0
    for leaf in nodes.logs(image)[5]:
        items = [i for i in leaf.items() if not gone(i.key)]
        count += len(leaf.items()) - len(items)
        leaf.put_items(items)
        leaf.write()
    return count


def test_new_name_without_its_directory(subject, scratch):
    """The inode's reference alone says that its old name is gone: what has the name now makes way, what lost it goes."""
    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        for name in ("old", "victim", "other"):
            files.write(f"{mnt}/d/{name}", name.encode() * 2000)

    def work(mnt):
        files.write(f"{mnt}/d/old", b"changed" * 2000, sync=True)
        os.rename(f"{mnt}/d/old", f"{mnt}/d/victim")
        states.fsync(f"{mnt}/d/victim")
    image = states.make(os.path.join(scratch, "img"), prepare, work)
    assert without(image, lambda key: key[1] in (nodes.DIR_INDEX, nodes.DIR_LOG_INDEX)) > 1
    tree = states.judge(subject, image)
    assert [p for p in tree if p.startswith("d/")] == ["d/other", "d/victim"] and tree["d/victim"].links == 1


def test_new_name_that_only_its_directory_lists(subject, scratch):
    """The entry alone says that a file has one more name, and which file has the name of another."""
    inodes = []

    def prepare(mnt):
        os.mkdir(f"{mnt}/d")
        for name in ("file", "d/taken"):
            files.write(f"{mnt}/{name}", name.encode() * 2000)
            inodes.append(os.stat(f"{mnt}/{name}").st_ino)

    def work(mnt):
        os.link(f"{mnt}/file", f"{mnt}/d/link")
        os.unlink(f"{mnt}/d/taken")
        os.link(f"{mnt}/file", f"{mnt}/d/taken")
        files.write(f"{mnt}/d/new", b"n")
        states.fsync(f"{mnt}/d")
    image = states.make(os.path.join(scratch, "img"), prepare, work)
    assert without(image, lambda key: key[0] in inodes) > 1
    tree = states.judge(subject, image)
    assert tree["file"].links == 3 and tree["d/taken"].same_inode_as == tree["d/link"].same_inode_as


def test_node_that_does_not_read(subject, logged):
    leaf = nodes.logs(logged)[5][0]
    leaf.raw[5000] ^= 1
    leaf.write(seal=False)
    assert str(leaf.logical) in refused(subject, logged)
    m = subject.mount(logged, "ro,nologreplay")
    assert sorted(os.listdir(m.join("d")), key=int) == [str(i) for i in (*range(20), 100)]
    m.umount()


def change_extent(image, change):
    for leaf in nodes.logs(image)[5]:
        items = leaf.items()
        for item in items:
            if item.key[1] == nodes.EXTENT_DATA and item.data[20] == 1:
                data = bytearray(item.data)
                change(data)
                item.data = bytes(data)
                leaf.put_items(items)
                leaf.write()
                return
    raise LookupError("the log has no regular extent")


@pytest.mark.parametrize("what", ["nowhere", "in a node", "another length", "too long"])
def test_extent_that_cannot_be(subject, logged, what):
    def change(data):
        at, disk = 21, struct.unpack_from("<Q", data, 21)[0]
        if what == "nowhere":
            struct.pack_into("<Q", data, at, 1 << 50)
        elif what == "in a node":
            struct.pack_into("<Q", data, at, superblock.read(logged).u64(superblock.TREE_ROOT))
        elif what == "another length":      # the extent is new: its end then lies in another one, or it is cut short
            struct.pack_into("<Q", data, at, disk - 4096)
        else:
            struct.pack_into("<Q", data, at + 24, 1 << 30)
    change_extent(logged, change)
    refused(subject, logged)


def test_item_that_no_log_has(subject, logged):
    leaf = nodes.logs(logged)[5][-1]
    leaf.put_items(leaf.items() + [nodes.Item((1 << 40, 168, 4096), bytes(24))])
    leaf.write()
    refused(subject, logged)


def test_range_that_ends_before_it_begins(subject, logged):
    for leaf in nodes.logs(logged)[5]:
        items = leaf.items()
        for item in items:
            if item.key[1] == nodes.DIR_LOG_INDEX:
                item.key = (item.key[0], item.key[1], (1 << 63) + item.key[2])
                item.data = struct.pack("<Q", 7)
        leaf.put_items(items)
        leaf.write()
    refused(subject, logged)


def test_name_without_an_inode(subject, logged):
    for leaf in nodes.logs(logged)[5]:
        items = [i for i in leaf.items() if not (i.key[1] == 1 and i.key[0] >= 279)]
        leaf.put_items(items)
        leaf.write()
    refused(subject, logged)


def test_log_that_points_into_a_tree(subject, logged):
    """A node that is in use is no log's, whatever it says."""
    superblock.edit(logged, lambda sb: sb.put_u64(superblock.LOG_ROOT, sb.u64(superblock.TREE_ROOT)))
    refused(subject, logged)


# ---- read-only ----

def test_read_only_mount_replays(subject, logged):
    want = states.kernel_view(logged)
    m = subject.mount(logged, "ro")
    got = states.look(m.path, 1 << 62)
    with pytest.raises(OSError):
        os.mkdir(m.join("x"))
    m.umount()
    states.treeview.assert_same(want, states.forgive(want, got), ("kernel", "btrfuse"))
    assert not states.has_log(logged)
    images.check(logged)


def test_read_only_mount_of_a_device(subject, logged, scratch):
    loop = Loop(logged)
    mountpoint = os.path.join(scratch, "mnt")
    os.mkdir(mountpoint)
    try:
        run(subject.binary, "-o", "ro", loop.device, mountpoint)
        assert len(os.listdir(os.path.join(mountpoint, "d"))) == 16
        run("umount", mountpoint)
    finally:
        loop.close()
    assert not states.has_log(logged)
    images.check(logged)


def test_read_only_device(subject, logged, scratch):
    """Nothing can be replayed there: refused with the way out, which works."""
    before = images.sha256(logged)
    loop = Loop(logged, readonly=True)
    mountpoint = os.path.join(scratch, "mnt")
    os.mkdir(mountpoint)
    try:
        done = run(subject.binary, "-o", "ro", loop.device, mountpoint, check=False)
        assert done.returncode == 1 and "nologreplay" in done.stderr
        run(subject.binary, "-o", "ro,nologreplay", loop.device, mountpoint)
        assert len(os.listdir(os.path.join(mountpoint, "d"))) == 21
        run("umount", mountpoint)
    finally:
        loop.close()
    assert images.sha256(logged) == before


def test_nologreplay_is_for_reading(subject, logged):
    refused(subject, logged, "nologreplay")


def test_rescue_replays_nothing(subject, logged):
    refused(subject, logged, "ro,rescue=idatacsums")
    m = subject.mount(logged, "ro,rescue=nologreplay:idatacsums")
    m.umount()
