"""Every on-disk form that mkfs and btrfstune can make: filled by the kernel, changed by us, judged, and changed again."""
import lzma
import os
import random

import pytest

from harness import files, image as images, places, superblock, treeview
from harness.kernel import KernelMount
from harness.shell import run
from harness.subject import MountRefused

pytestmark = pytest.mark.fuse_only

FORMS = {
    "no-skinny-no-extref-holes": ("-O", "^skinny-metadata,^extref,^no-holes"),
    "no-tree-v1": ("-R", "^free-space-tree"),
    "mixed": ("-M",),
    "mixed-v1": ("-M", "-R", "^free-space-tree", "-O", "^no-holes"),
    "node-4k": ("-n", "4096"),
    "node-8k": ("-n", "8192"),
    "node-64k": ("-n", "65536"),
    "everything-old": ("-n", "4096", "-O", "^skinny-metadata,^extref,^no-holes", "-R", "^free-space-tree"),
}
# Sectors that the kernel of a 4 KiB page cannot do: btrfs check and we judge.
SECTORS = {
    "sector-8k": ("-s", "8192", "-n", "16384"),
    "sector-16k-mixed": ("-s", "16384", "-n", "16384", "-M"),
    "sector-64k": ("-s", "65536", "-n", "65536"),
}


OLD_CACHE_MIB = 2048        # the kernel caches groups of 100 MiB and more


def kernel_fills(mnt):
    """What the older forms keep differently: holes, links, references, preallocation, space-cache inodes."""
    os.mkdir(f"{mnt}/k")
    files.write(f"{mnt}/k/big", os.urandom(3 << 20))
    files.write(f"{mnt}/k/sparse", b"start")
    files.write(f"{mnt}/k/sparse", b"end", 3 << 20)
    files.fallocate(f"{mnt}/k/prealloc", 0, 1 << 20)
    files.write(f"{mnt}/k/first", b"1" * 3000)
    for i in range(40):
        os.link(f"{mnt}/k/first", f"{mnt}/k/link-{i:03}")
    for i in range(300):
        files.write(f"{mnt}/k/f{i:03}", b"%d" % i * (i * 7))
    run("btrfs", "subvolume", "create", f"{mnt}/sub")
    files.write(f"{mnt}/sub/shared", os.urandom(1 << 20))
    run("btrfs", "subvolume", "snapshot", f"{mnt}/sub", f"{mnt}/snap")


def change(mnt, seed):
    """A bit of every operation, in new files and in those that are there."""
    rng = random.Random(seed)
    home = f"{mnt}/ours{seed}"
    os.mkdir(home)
    for i in range(120):
        files.write(f"{home}/f{i}", rng.randbytes(rng.choice((0, 10, 1900, 4096, 20_000))))
    files.write(f"{home}/big", rng.randbytes(4 << 20), sync=True)
    for i in range(30):
        at = rng.randrange(4 << 20)
        files.write(f"{home}/big", rng.randbytes(rng.randrange(1, 90_000)), at)
    files.write(f"{home}/sparse", b"x", 9_999_999)
    files.fallocate(f"{home}/prealloc", 4096, 1 << 20)
    files.write(f"{home}/prealloc", rng.randbytes(5000), 300_000, sync=True)
    files.fallocate(f"{home}/big", 131_072, 262_144, files.KEEP_SIZE | files.PUNCH_HOLE)
    for i in range(60):
        os.link(f"{home}/f1", f"{home}/a-link-with-a-longer-name-{i:03}")
    os.setxattr(f"{home}/f2", "user.x", rng.randbytes(1500))
    os.symlink("f1", f"{home}/symlink")
    for folder, _, names in list(os.walk(mnt)):
        for n in sorted(names):
            path, dice = os.path.join(folder, n), rng.randrange(12)
            if os.path.islink(path):
                continue
            if dice == 0:
                os.unlink(path)
            elif dice == 1:
                os.rename(path, path + ".renamed")
            elif dice == 2:
                os.truncate(path, rng.randrange(100_000))
            elif dice == 3:
                files.write(path, rng.randbytes(rng.randrange(30_000)), rng.randrange(20_000))


def rounds(subject, path, kernel=True):
    view = None
    for seed in range(2):
        m = subject.mount(path)
        if view:
            treeview.assert_same(view, treeview.look(m.path), ("before", "remounted"))
        change(m.path, seed)
        view = treeview.look(m.path)
        m.umount()
        if kernel:
            images.judge(path)
            with KernelMount(path, "ro") as mnt:
                treeview.assert_same(view, treeview.look(mnt), ("ours", "kernel"))
        else:
            images.check(path)
    m = subject.mount(path, "ro")
    treeview.assert_same(view, treeview.look(m.path), ("live", "remounted"))
    m.umount()


@pytest.mark.parametrize("form", FORMS)
def test_form(subject, scratch, form):
    path = images.make(os.path.join(scratch, "img"), 256, *FORMS[form])
    with KernelMount(path) as mnt:
        kernel_fills(mnt)
    rounds(subject, path)


@pytest.mark.parametrize("form", SECTORS)
def test_sectors_larger_than_a_page(subject, scratch, form):
    path = images.make(os.path.join(scratch, "img"), 256, *SECTORS[form])
    rounds(subject, path, kernel=False)


# ---- forms that this mkfs cannot make, or only btrfstune ----

def from_store(name, path):
    """An image that the tests bring with them."""
    with lzma.open(os.path.join(places.SOURCE, "tests", "images", name + ".xz")) as f, open(path, "wb") as out:
        at = 0
        while piece := f.read(1 << 20):
            if any(piece):
                out.seek(at)
                out.write(piece)
            at += len(piece)
        out.truncate(at)
    return path


def test_block_group_tree(subject, scratch):
    path = from_store("block-group-tree", os.path.join(scratch, "img"))
    with KernelMount(path) as mnt:
        kernel_fills(mnt)
    rounds(subject, path)
    assert "BLOCK_GROUP_ITEM" not in images.dump_tree(path, "-e"), "a group item in the extent tree"
    assert "BLOCK_GROUP_ITEM" in images.dump_tree(path, "-t", "11")


@pytest.mark.parametrize("how", ["-m", "-M"])
def test_changed_fsid(subject, scratch, how):
    """The superblock shows another id than the nodes carry."""
    path = images.make(os.path.join(scratch, "img"), 256)
    with KernelMount(path) as mnt:
        kernel_fills(mnt)
    new = "12345678-1234-1234-1234-123456789abc"
    run("btrfstune", *(["-M", new] if how == "-M" else ["-m"]), path)
    assert images.super_field(path, "fsid") != images.super_field(path, "metadata_uuid")
    rounds(subject, path)


def test_big_tree_of_bitmaps_is_built(subject, scratch):
    """space_cache=v2 on an image without the tree: extents and bitmaps, as btrfs check wants them; no v1 cache is left."""
    path = images.make(os.path.join(scratch, "img"), OLD_CACHE_MIB, "-R", "^free-space-tree")
    fragment_with_kernel(path, "max_inline=0,space_cache=v1")
    assert "FREE_SPACE " in images.dump_tree(path, "-t", "1")
    m = subject.mount(path, "space_cache=v2")
    files.write(m.join("after"), os.urandom(500_000))
    m.umount()
    images.judge(path)
    text = images.dump_tree(path, "-t", "10")
    assert "FREE_SPACE_BITMAP" in text and "FREE_SPACE_EXTENT" in text
    assert "(FREE_SPACE " not in images.dump_tree(path, "-t", "1"), "the old cache is still there"
    assert int(images.super_field(path, "cache_generation")) == 0
    rounds(subject, path)


def fragment_with_kernel(path, options="max_inline=0"):
    with KernelMount(path, options) as mnt:
        for i in range(3000):
            files.write(f"{mnt}/{i}", b"x" * 4096)
        run("sync", "-f", mnt)
        for i in range(0, 3000, 2):
            os.unlink(f"{mnt}/{i}")


def test_tree_without_valid_flag_is_rebuilt(subject, scratch):
    """The tree's content is not believed: here it is wrong, and the image still comes out right."""
    path = images.make(os.path.join(scratch, "img"), 256)
    fragment_with_kernel(path)
    stale = images.copy(path, path + ".stale")
    with KernelMount(stale) as mnt:
        for i in range(1, 3000, 2):
            os.unlink(f"{mnt}/{i}")
        files.write(f"{mnt}/big", os.urandom(3 << 20))
    m = subject.mount(stale)
    m.umount()
    superblock.edit(stale, lambda sb: sb.and_u64(superblock.COMPAT_RO, ~superblock.FREE_SPACE_TREE_VALID))
    m = subject.mount(stale, "ro")
    m.umount()
    assert int(images.super_field(stale, "compat_ro_flags"), 0) & 3 == 1, "a read-only mount changed flags"
    m = subject.mount(stale)
    files.write(m.join("after"), os.urandom(500_000))
    m.umount()
    images.judge(stale)
    assert int(images.super_field(stale, "compat_ro_flags"), 0) & 3 == 3


def test_old_cache_is_not_left_believable(subject, scratch):
    """The kernel's v1 cache says what was free before us. After our commit its generation is not the superblock's, and
    the kernel, which allocates a lot then, overwrites nothing of ours."""
    path = images.make(os.path.join(scratch, "img"), OLD_CACHE_MIB, "-R", "^free-space-tree")
    with KernelMount(path, "space_cache=v1") as mnt:
        kernel_fills(mnt)
    assert images.super_field(path, "cache_generation") == images.super_field(path, "generation")
    assert "(FREE_SPACE " in images.dump_tree(path, "-t", "1")
    m = subject.mount(path)
    ours = os.urandom(20 << 20)
    files.write(m.join("ours"), ours)
    m.umount()
    assert images.super_field(path, "cache_generation") != images.super_field(path, "generation")
    with KernelMount(path, "space_cache=v1") as mnt:
        files.write(f"{mnt}/theirs", os.urandom(60 << 20), sync=True)
        assert files.read(f"{mnt}/ours") == ours
    images.judge(path)


@pytest.mark.parametrize("options", [("-R", "^free-space-tree"), ("-M",)], ids=["v1", "mixed"])
def test_balance(subject, scratch, options):
    """Relocation of groups that hold data and nodes, and of those that hold the old cache's inodes."""
    path = images.make(os.path.join(scratch, "img"), OLD_CACHE_MIB, *options)
    old_cache = "^free-space-tree" in options
    with KernelMount(path, "space_cache=v1" if old_cache else "") as mnt:
        kernel_fills(mnt)
    assert ("(FREE_SPACE " in images.dump_tree(path, "-t", "1")) == old_cache
    m = subject.mount(path)
    view = treeview.look(m.path)
    run(subject.ctl, "balance", "start", "--full-balance", m.path, timeout=60)
    treeview.assert_same(view, treeview.look(m.path), ("before", "after"))
    change(m.path, 3)
    view = treeview.look(m.path)
    m.umount()
    images.judge(path)
    with KernelMount(path, "ro") as mnt:
        treeview.assert_same(view, treeview.look(mnt), ("ours", "kernel"))


@pytest.mark.parametrize("bit,name", [(1 << 12, "zoned"), (1 << 13, "extent tree v2"), (1 << 14, "RAID stripe tree"),
                                      (1 << 17, "remap tree"), (1 << 40, "unknown")])
def test_refused_by_name(subject, scratch, bit, name):
    path = images.make(os.path.join(scratch, "img"))
    superblock.edit(path, lambda sb: sb.or_u64(superblock.INCOMPAT, bit))
    before = images.sha256(path)
    for options in ("", "ro"):
        with pytest.raises(MountRefused, match=name):
            subject.mount(path, options)
    assert images.sha256(path) == before


@pytest.mark.parametrize("first", [0, 1])
def test_change_of_fsid_cut_short(subject, scratch, first):
    """btrfstune died between the superblocks of two devices: they show different ids, and belong together."""
    paths = [os.path.join(scratch, n) for n in ("one", "two")]
    for path in paths:
        with open(path, "wb") as f:
            f.truncate(256 << 20)
    images.mkfs("-m", "raid1", "-d", "raid1", *paths)
    m = subject.mount(paths[0], f"device={paths[1]}")
    files.write(m.join("f"), b"content" * 1000)
    m.umount()

    def begin_change(sb):
        sb.or_u64(superblock.FLAGS, superblock.CHANGING_FSID_V2)
        sb.or_u64(superblock.INCOMPAT, superblock.METADATA_UUID)
        sb.data[superblock.METADATA_UUID_AT:superblock.METADATA_UUID_AT + 16] = sb.data[32:48]
        sb.data[32:48] = os.urandom(16)
    superblock.edit(paths[1], begin_change)
    m = subject.mount(paths[first], f"ro,device={paths[1 - first]}")
    assert files.read(m.join("f")) == b"content" * 1000
    m.umount()
