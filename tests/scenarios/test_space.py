"""Space: full file systems, deleting on them, superblock copies inside chunks, memory limits, small commits."""
import errno
import os
import re
import time

import pytest

from harness import dump, files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run


def fill(folder, piece=1 << 20, limit=4000, sync_every=16):
    """Writes files until the file system is full; returns how many were written whole."""
    for n in range(limit):
        try:
            files.write(os.path.join(folder, f"fill{n:05}"), os.urandom(piece), sync=n % sync_every == 0)
        except OSError as e:
            assert e.errno == errno.ENOSPC, e
            return n
    raise AssertionError("never full")


def test_fill_and_delete(subject, scratch):
    """A full file system says ENOSPC, can still delete, and is as roomy afterwards."""
    image = images.make(os.path.join(scratch, "img"), 256)
    m = subject.mount(image)
    first = fill(m.path)
    assert first > 100
    for name in os.listdir(m.path):
        os.unlink(m.join(name))
    ioctls.sync_fs(m.path)
    second = fill(m.path)
    assert abs(second - first) <= max(8, first // 10)
    m.umount()
    images.judge(image)


def test_fill_with_small_files(subject, scratch):
    """Metadata runs out, not data."""
    image = images.make(os.path.join(scratch, "img"), 160)
    m = subject.mount(image)
    count = fill(m.path, piece=1800, limit=200_000, sync_every=1000)
    assert count > 2000
    for name in sorted(os.listdir(m.path))[:count // 2]:
        os.unlink(m.join(name))
    files.write(m.join("again"), b"x" * 1000, sync=True)
    m.umount()
    images.judge(image)


def test_accepted_means_kept(subject, scratch):
    """What a buffered write accepted on an almost full file system is there after the flush."""
    image = images.make(os.path.join(scratch, "img"), 160)
    m = subject.mount(image)
    kept = {}
    try:
        for n in range(10_000):
            data = os.urandom(64 << 10)
            files.write(m.join(f"f{n}"), data)
            kept[f"f{n}"] = data
    except OSError as e:
        assert e.errno == errno.ENOSPC
    m.umount()
    m = subject.mount(image, "ro")
    for name, data in kept.items():
        assert files.read(m.join(name)) == data, name
    m.umount()
    images.judge(image)


def test_superblock_copies_survive_a_full_image(subject, scratch):
    """Above 256 MiB of data there is a chunk around the copy at 64 MiB; nothing may be allocated on it."""
    image = images.make(os.path.join(scratch, "img"), 512)
    m = subject.mount(image)
    fill(m.path, piece=4 << 20)
    m.umount()
    images.judge(image)
    assert images.super_field(image, "magic", 1) == "_BHRfS_M"
    assert images.super_field(image, "generation", 1) == images.super_field(image, "generation")


def test_free_space_tree_stays_valid(subject, image):
    m = subject.mount(image)
    for i in range(300):
        files.write(m.join(f"f{i}"), os.urandom(30_000))
    for i in range(0, 300, 2):
        os.unlink(m.join(f"f{i}"))
    m.umount()
    flags = re.search(r"compat_ro_flags.*?\((.*?)\)", images.dump_super(image), re.S).group(1)
    assert "FREE_SPACE_TREE_VALID" in flags.replace(" ", "")
    images.judge(image)


def test_backup_roots_rotate(subject, image):
    m = subject.mount(image)
    for i in range(5):
        files.write(m.join("f"), b"%d" % i, sync=True)
    m.umount()
    generations = [int(g) for g in re.findall(r"backup_tree_root:\s+\d+\s+gen: (\d+)", images.dump_super(image, "-f"))]
    assert len(generations) == 4 and max(generations) - min(generations) == 3, generations
    assert max(generations) == int(images.super_field(image, "generation"))


@pytest.mark.fuse_only
def test_bad_dup_copy_is_repaired(subject, image):
    """Whichever copy of the nodes is bad, all is read; the copy that is read first is then written right again."""
    with KernelMount(image) as mnt:
        for i in range(300):
            files.write(f"{mnt}/f{i}", b"x" * 1500)
    text = images.dump_tree(image, "-t", "5")
    pairs = [dump.physical(image, int(n)) for n in re.findall(r"^leaf (\d+) items", text, re.M)]
    repaired = []
    for side in (0, 1):
        good = [read_at(image, pair[side], 16384) for pair in pairs]
        for pair in pairs:
            damage(image, pair[side])
        m = subject.mount(image, "noatime")
        for i in range(300):
            assert files.read(m.join(f"f{i}")) == b"x" * 1500
        m.umount()
        repaired.append(sum(read_at(image, pair[side], 16384) == want for pair, want in zip(pairs, good)))
        for pair, want in zip(pairs, good):
            write_at(image, pair[side], want)
    assert max(repaired) >= len(pairs) - 1, (repaired, len(pairs))     # the root may have been copied by the mount
    images.judge(image)


@pytest.mark.fuse_only
def test_bad_copy_of_data_is_repaired(subject, scratch):
    """The copy that is read first is bad: the reader gets the other, and the first is right again afterwards."""
    image = images.make(os.path.join(scratch, "img"), 512, "-d", "dup")
    data = os.urandom(1 << 20)
    with KernelMount(image) as mnt:
        files.write(f"{mnt}/f", data)
        inode = files.inode(f"{mnt}/f")
    disk = dump.file_extents(image, inode)[0].disk
    first, second = dump.physical(image, disk + 40960)
    for bad in (first, second):
        damage(image, bad)
        m = subject.mount(image)
        assert files.read(m.join("f")) == data
        m.umount()
        if bad == first:
            assert read_at(image, first, 4096) == data[40960:45056]
    write_at(image, second, data[40960:45056])
    images.judge(image)


def damage(image, offset):
    with open(image, "r+b") as f:
        f.seek(offset + 2000)
        f.write(b"\xaa" * 500)


def write_at(image, offset, data):
    with open(image, "r+b") as f:
        f.seek(offset)
        f.write(data)


def read_at(image, offset, length):
    with open(image, "rb") as f:
        f.seek(offset)
        return f.read(length)


@pytest.mark.fuse_only
def test_node_bad_in_both_copies(subject, image):
    """EIO for what it held, one line in the log, nothing written over it, the rest goes on."""
    with KernelMount(image) as mnt:
        os.mkdir(f"{mnt}/d")
        for i in range(600):
            files.write(f"{mnt}/d/f{i:03}", b"x" * 1500)
    leaves = [int(n) for n in re.findall(r"^leaf (\d+) items", images.dump_tree(image, "-t", "5"), re.M)]
    victim = leaves[len(leaves) // 2]
    places = dump.physical(image, victim)
    for at in places:
        damage(image, at)
    before = [read_at(image, at, 16384) for at in places]
    m = subject.mount(image)
    bad = 0
    for i in range(600):
        try:
            assert files.read(m.join(f"d/f{i:03}")) == b"x" * 1500
        except OSError as e:
            assert e.errno == errno.EIO
            bad += 1
    assert 0 < bad < 100
    lines = [l for l in m.stderr().splitlines() if str(victim) in l]
    assert 1 <= len(lines) <= 3, m.stderr()
    files.write(m.join("still-works"), b"yes", sync=True)
    m.umount()
    assert [read_at(image, at, 16384) for at in places] == before


@pytest.mark.fuse_only
def test_bad_data_is_an_error(subject, image):
    with KernelMount(image) as mnt:
        files.write(f"{mnt}/f", os.urandom(65536), sync=True)
        inode = files.inode(f"{mnt}/f")
    extent = dump.file_extents(image, inode)[0]
    damage(image, dump.physical(image, extent.disk + 8192)[0])
    m = subject.mount(image)
    with open(m.join("f"), "rb", buffering=0) as f:
        assert len(os.pread(f.fileno(), 4096, 0)) == 4096
        with pytest.raises(OSError) as e:
            os.pread(f.fileno(), 4096, 8192)
        assert e.value.errno == errno.EIO
        assert len(os.pread(f.fileno(), 4096, 16384)) == 4096
    m.umount()


def many_files(path, count, size_mib):
    images.make(path, size_mib)
    with KernelMount(path, "commit=300") as mnt:
        per = 2000
        for d in range(count // per):
            os.mkdir(f"{mnt}/d{d:04}")
            folder = os.open(f"{mnt}/d{d:04}", os.O_RDONLY)
            for i in range(per):
                os.close(os.open(f"f{i:04}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=folder))
            os.close(folder)


@pytest.mark.fuse_only
@pytest.mark.plain
def test_memory_with_many_files(subject, image_cache, scratch, full):
    """cache_size=32M: 128 MiB of resident memory at most, plus 64 bytes for each inode that the kernel holds; and changing
    one file commits less than 1 MiB."""
    count = 1_000_000 if full else 100_000
    image = image_cache(f"many{count}", lambda p: many_files(p, count, 8192 if full else 2048), os.path.join(scratch, "many"))
    m = subject.mount(image, "cache_size=32M")
    seen = 0
    for folder in os.scandir(m.path):
        for e in os.scandir(folder.path):
            e.stat()
            seen += 1
    assert seen == count
    assert m.status("VmHWM") * 1024 < (128 << 20) + 64 * count, m.status("VmHWM")
    ioctls.sync_fs(m.path)
    before = write_bytes(m.pid)
    files.write(m.join("d0003/f0005"), b"one change", sync=True)
    assert write_bytes(m.pid) - before < 1 << 20
    m.umount()
    images.check(image, csums=False)


def write_bytes(pid):
    with open(f"/proc/{pid}/io") as f:
        return int(re.search(r"wchar: (\d+)", f.read()).group(1))


@pytest.mark.fuse_only
def test_sigkill_loses_only_what_was_not_synced(subject, image):
    m = subject.mount(image)
    for i in range(30):
        files.write(m.join(f"synced{i}"), os.urandom(10_000) + b"%d" % i, sync=True)
    want = {f"synced{i}": files.read(m.join(f"synced{i}")) for i in range(30)}
    for i in range(30):
        files.write(m.join(f"loose{i}"), os.urandom(10_000))
    m.kill()
    images.judge(image)
    m = subject.mount(image)
    for name, data in want.items():
        assert files.read(m.join(name)) == data
    m.umount()


def test_big_offsets(subject, image):
    m = subject.mount(image)
    files.write(m.join("f"), b"far", 7 << 40, sync=True)
    assert os.stat(m.join("f")).st_size == (7 << 40) + 3
    m.umount()
    images.judge(image)


def test_large_file(subject, image):
    m = subject.mount(image)
    data = os.urandom(1 << 20)
    for i in range(150):
        files.write(m.join("f"), data, i << 20)
    m.umount()
    m = subject.mount(image, "ro")
    with open(m.join("f"), "rb", buffering=0) as f:
        for i in range(150):
            assert f.read(1 << 20) == data
    inode = files.inode(m.join("f"))
    m.umount()
    images.judge(image)
    assert len(dump.file_extents(image, inode)) < 40, "sequential writes go out as large extents"


def test_idle_mount_writes_nothing(subject, image):
    m = subject.mount(image, "commit=1")
    files.write(m.join("f"), b"x", sync=True)
    time.sleep(1.5)
    before = images.super_field(image, "generation")
    time.sleep(2.5)
    assert images.super_field(image, "generation") == before
    m.umount()


def test_shrinking_metadata(subject, image):
    """Deleting everything leaves a tree as small as a fresh one."""
    m = subject.mount(image)
    for d in range(5):
        os.mkdir(m.join(f"d{d}"))
        for i in range(500):
            files.write(m.join(f"d{d}/f{i}"), b"y" * 1900)
    ioctls.sync_fs(m.path)
    run("find", m.path, "-mindepth", "1", "-delete")
    m.umount()
    images.judge(image)
    assert images.dump_tree(image, "-t", "5").count(" items ") <= 1


def test_root_items_count_their_nodes(subject, image):
    """bytes_used of a root item is what the kernel sizes its global reserve by: it takes nodes off it that we added."""
    m = subject.mount(image)
    for i in range(4000):
        files.write(m.join(f"file-with-a-name-{i:05}"), b"%d" % i * 400)
    files.write(m.join("big"), os.urandom(8 << 20))
    m.umount()
    m = subject.mount(image)
    for i in range(0, 4000, 3):
        os.unlink(m.join(f"file-with-a-name-{i:05}"))
    m.umount()
    nodesize = int(images.super_field(image, "nodesize"))
    roots = images.dump_tree(image, "-t", "root")
    for name, tree in (("EXTENT_TREE", 2), ("FS_TREE", 5), ("CSUM_TREE", 7)):
        used = int(re.search(rf"key \({name} ROOT_ITEM 0\).*?bytes_used (\d+)", roots, re.S).group(1))
        nodes = len(re.findall(r"^(?:leaf|node) \d+ (?:items|level)", images.dump_tree(image, "-t", str(tree)), re.M))
        assert used == nodes * nodesize, (name, used, nodes)
