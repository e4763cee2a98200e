"""What a kernel leaves that is killed while it works: relocation trees, half-deleted subvolumes. Each image is what was on
the disk after one of the kernel's commits; here it is finished or put to rest, and nothing of the content changes."""
import contextlib
import ctypes
import os
import random
import re
import struct
import threading
import time

import pytest

from harness import devices, dump, files, image as images, ioctls, superblock, treeview
from harness.kernel import KernelMount
from harness.recorded_kernel import RecordedKernel
from harness.shell import run, wait_until
from harness.subject import MountRefused

pytestmark = pytest.mark.fuse_only

LIBC = ctypes.CDLL(None)


@contextlib.contextmanager
def many_commits(mnt):
    """The kernel commits all the time, so that what it does is cut into many pieces."""
    done = threading.Event()

    def commit():
        fd = os.open(mnt, os.O_RDONLY)
        while not done.wait(0.002):
            LIBC.syncfs(fd)
        os.close(fd)
    thread = threading.Thread(target=commit, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(20)


def fill(image, count, *mkfs):
    """A subvolume, snapshots of it, a snapshot of one of these: trees that share and trees that do not any more."""
    rng = random.Random(48)
    images.make(image, 300, "-n", "4096", *mkfs)
    with KernelMount(image) as mnt:
        run("btrfs", "subvolume", "create", f"{mnt}/work")
        for n in range(count):
            overwrite(f"{mnt}/work/f{n}", rng, (10, 700, 5000))
        for k in range(3):
            run("btrfs", "subvolume", "snapshot", f"{mnt}/work", f"{mnt}/snap{k}")
            for n in range(k, count, 41):
                overwrite(f"{mnt}/work/f{n}", rng, (6000,))
        run("btrfs", "subvolume", "snapshot", f"{mnt}/snap0", f"{mnt}/again")
        for n in range(0, count, 29):
            os.unlink(f"{mnt}/again/f{n}")


def overwrite(path, rng, sizes):
    with open(path, "wb") as f:
        f.write(rng.randbytes(rng.choice(sizes)))


class Killed:
    """The images that a kernel left, by what is in them, and what the mount shows."""

    def __init__(self, folder, build, work, kind_of, count, options=""):
        os.mkdir(folder)
        image = os.path.join(folder, "img")
        fill(image, count)
        recorded = RecordedKernel(build, [image], options)
        with recorded as mnt:
            with many_commits(mnt):
                work(mnt)
            self.view = treeview.look(mnt)
        self.images = {}
        for _, build_state in recorded.commits():
            build_state([image + ".state"])
            kind = kind_of(image + ".state")
            if kind and kind not in self.images:
                self.images[kind] = f"{folder}/{kind}"
                os.rename(image + ".state", self.images[kind])

    def take(self, scratch, *kinds):
        """A copy of the first kind that there is."""
        kind = next((k for k in kinds if k in self.images), None)
        assert kind, f"the kernel left no such image, only {sorted(self.images)}"
        return images.copy(self.images[kind], os.path.join(scratch, "img"))


def root_items(image):
    """(tree, refs, has progress) of every ROOT_ITEM."""
    for block in images.dump_tree(image, "-t", "root").split("\n\titem ")[1:]:
        found = re.match(r"\d+ key \((\S+) ROOT_ITEM \S+\)", block)
        if found:
            progress = re.search(r"drop(?:_progress)? key \((\d+)", block)
            yield found.group(1), int(re.search(r"\brefs (\d+)", block).group(1)), bool(int(progress.group(1)))


def relocation_kind(image):
    trees = [(refs, progress) for tree, refs, progress in root_items(image) if tree == "TREE_RELOC"]
    copies = "ORPHAN_ITEM" in images.dump_tree(image, "-t", "DATA_RELOC_TREE")
    if trees:
        return f"trees_with_refs_{trees[0][0]}"
    return "copies" if copies else None


def deletion_kind(image):
    dead = [progress for tree, refs, progress in root_items(image) if refs == 0 and tree.isdigit()]
    if any(dead):
        return f"half_with_{len(dead)}_dead"
    return f"dead_{len(dead)}" if dead else None


def balance(mnt):
    run("btrfs", "balance", "start", "--full-balance", mnt)


def delete(mnt):
    """Sharing ones first, the one that owns most of the nodes last but one."""
    for name in ("snap0", "work", "snap2"):
        run("btrfs", "subvolume", "delete", f"{mnt}/{name}")
    run("btrfs", "subvolume", "sync", mnt, timeout=60)


@pytest.fixture(scope="module")
def relocating(session_scratch, build):
    return Killed(os.path.join(session_scratch, "relocating"), build, balance, relocation_kind, 600)


@pytest.fixture(scope="module")
def deleting(session_scratch, build):
    return Killed(os.path.join(session_scratch, "deleting"), build, delete, deletion_kind, 2400, "commit=1")


def is_clean(image):
    assert deleted(image)
    assert not [tree for tree, *_ in root_items(image) if tree == "TREE_RELOC"]
    assert "ORPHAN_ITEM" not in images.dump_tree(image, "-t", "root")
    assert "ORPHAN_ITEM" not in images.dump_tree(image, "-t", "DATA_RELOC_TREE")


@pytest.mark.parametrize("kind", ["copies", "trees_with_refs_0", "trees_with_refs_1"])
def test_balance_goes_on(subject, scratch, relocating, kind):
    """The kernel was in the middle of moving a group: that one begins again, and the balance ends here."""
    image = relocating.take(scratch, kind)
    m = subject.mount(image)
    wait_until(lambda: ioctls.balance_progress(m.path).error, 30, what="the end of the balance")
    treeview.assert_same(relocating.view, treeview.look(m.path), ("kernel", "btrfuse"))
    m.umount()
    is_clean(image)
    assert "BALANCE" not in images.dump_tree(image, "-t", "root")
    images.judge(image)


def test_readonly_looks_only(subject, scratch, relocating):
    image = relocating.take(scratch, "trees_with_refs_1")
    before = images.sha256(image)
    m = subject.mount(image, "ro")
    treeview.assert_same(relocating.view, treeview.look(m.path), ("kernel", "btrfuse"))
    m.umount()
    assert images.sha256(image) == before


def deleted(image):
    return not [tree for tree, refs, _ in root_items(image) if refs == 0 and tree.isdigit()]


HALF = ("half_with_3_dead", "half_with_2_dead", "half_with_1_dead")


@pytest.mark.parametrize("kinds", [("dead_3", "dead_2"), HALF, HALF[1:] + HALF[:1]], ids=["whole", "first", "second"])
def test_deletion_goes_on(subject, scratch, deleting, kinds):
    """While the rest of the trees, which share nodes with the dying ones, is written to."""
    image = deleting.take(scratch, *kinds)
    rng = random.Random(23)
    m = subject.mount(image)
    for n in range(0, 2400, 20):
        overwrite(m.join("snap1", f"f{n}"), rng, (100, 5000))
    view = treeview.look(m.join("snap1"))
    assert ioctls.balance(m.path, data={"limit": 1}).error == 0      # waits for the deletion
    treeview.assert_same(view, treeview.look(m.join("snap1")), ("before", "after"))
    m.umount()
    is_clean(image)
    images.judge(image)


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_deletion_is_interrupted(subject, scratch, deleting, how):
    """In the middle, again and again, here and in the kernel: each goes on where the other was."""
    image = deleting.take(scratch, *HALF)
    subject.mount(image).umount()
    images.check(image)
    images.judge(image)                      # on a copy the kernel takes it up
    for _ in range(50):
        if deleted(image):
            break
        m = subject.mount(image, "commit=1")
        time.sleep(0.02)
        ioctls.sync_fs(m.path)
        getattr(m, how)()
        images.check(image)
    is_clean(image)




def test_remounted_readonly_deletes_nothing(subject, scratch, deleting):
    image = deleting.take(scratch, "dead_3", *HALF)
    helper = os.path.join(scratch, "mount.btrfuse")
    os.symlink(subject.binary, helper)
    m = subject.mount(image)
    run(helper, image, m.path, "-o", "remount,ro")
    before = images.sha256(image)
    time.sleep(0.3)
    assert images.sha256(image) == before
    run(helper, image, m.path, "-o", "remount,rw")
    assert ioctls.balance(m.path, data={"limit": 1}).error == 0
    m.umount()
    is_clean(image)
    images.check(image)


def test_quotas_follow_a_deletion(subject, scratch):
    """The kernel was told to delete and had no time to begin; check adds up who holds what when it is done here."""
    image = os.path.join(scratch, "img")
    fill(image, 500, "-R", "quota")
    with KernelMount(image, "commit=300", allow_complaints=True) as mnt:
        for name in ("snap0", "work", "snap2"):
            run("btrfs", "subvolume", "delete", f"{mnt}/{name}")
    assert not deleted(image)
    m = subject.mount(image)
    assert ioctls.balance(m.path, data={"limit": 1}).error == 0
    m.umount()
    is_clean(image)
    images.check(image)


@pytest.fixture(scope="module")
def replacing(session_scratch, build):
    """A device replace of the kernel that was killed: two devices and the target. (Of a file system on one device this
    kernel would not find the target again.)"""
    folder = os.path.join(session_scratch, "replacing")
    os.mkdir(folder)
    paths, target = devices.make(folder, [150, 150], "-d", "raid0", "-m", "raid1"), os.path.join(folder, "target")
    with open(target, "wb") as f:
        f.truncate(150 << 20)
    with devices.KernelDevices(paths) as mnt:
        for n in range(20):
            overwrite(f"{mnt}/f{n}", random.Random(n), (900_000,))
    recorded = RecordedKernel(build, paths, spares=[target])
    with recorded as mnt:
        run("btrfs", "replace", "start", "-B", "-f", "1", recorded.spares[0], mnt)
    killed = [path + ".killed" for path in [*paths, target]]
    for _, build_state in recorded.commits():
        build_state(killed)
        if all(has_superblock(path) for path in killed) and "DEV_REPLACE" in images.dump_tree(killed[0], "-t", "dev"):
            break
    assert replace_state(killed[0]).startswith("started")
    return killed


DEVID = 201             # in a superblock


def has_superblock(path):
    with open(path, "rb") as f:
        f.seek(65536 + 64)
        return f.read(8) == b"_BHRfS_M"


NODE_HEADER = 101
REPLACE_STATE = ("never started", "started", "finished", "cancelled", "suspended")


def replace_state(image):
    """Words for the state and how far it came, from the item's bytes: no tool prints them."""
    text = images.dump_tree(image, "-t", "dev")
    leaf = int(re.search(r"^leaf (\d+)", text, re.M).group(1))
    at = int(re.search(r"DEV_REPLACE 0\) itemoff (\d+)", text).group(1))
    with open(image, "rb") as f:
        f.seek(dump.physical(image, leaf)[0] + NODE_HEADER + at)
        _, left, _, _, state = struct.unpack("<5Q", f.read(40))
    return f"{REPLACE_STATE[state]} at {left}"


@pytest.mark.parametrize("given", ["without_target", "all"])
def test_replace_is_put_to_rest(subject, scratch, replacing, given):
    """What is written goes to the source; the kernel that takes the replace up copies all of it."""
    paths = [images.copy(path, os.path.join(scratch, str(n))) for n, path in enumerate(replacing)]
    m = subject.mount(paths[0], devices.options(paths if given == "all" else paths[:2]))
    for n in range(0, 20, 3):
        overwrite(m.join(f"f{n}"), random.Random(-n), (700_000,))
    view = treeview.look(m.path)
    m.umount()
    assert replace_state(paths[0]) == "suspended at 0"
    with devices.KernelDevices(paths, allow_complaints=True) as mnt:
        wait_until(lambda: "finished" in run("btrfs", "replace", "status", "-1", mnt).out, 30, what="the end of the replace")
        treeview.assert_same(view, treeview.look(mnt), ("btrfuse", "kernel"))
        scrub = run("btrfs", "scrub", "start", "-B", mnt).out
    assert "no errors found" in scrub
    devices.judge([paths[2], paths[1]])


def test_replace_target_alone_is_refused(subject, replacing):
    with pytest.raises(MountRefused) as refused:
        subject.mount(replacing[2])
    assert "replace" in str(refused.value)


def shrink(mnt, _):
    run("btrfs", "filesystem", "resize", "2:300M", mnt)


def remove(mnt, _):
    run("btrfs", "device", "remove", "2", mnt)


def add(mnt, spares):
    run("btrfs", "device", "add", "-f", spares[0], mnt)


def replace(mnt, spares):
    run("btrfs", "replace", "start", "-B", "-f", "2", spares[0], mnt)


def remount_only(mnt, _):
    """The free-space tree is built at the mount."""
    files.write(f"{mnt}/late", b"late")


@pytest.mark.parametrize("work,mkfs,options", [
    (shrink, (), ""), (remove, (), ""), (add, (), ""), (replace, (), ""),
    (remount_only, ("-R", "^free-space-tree"), "space_cache=v2")], ids=lambda v: getattr(v, "__name__", ""))
def test_after_every_commit(subject, build, scratch, full, work, mkfs, options):
    """The devices as they were after commits of the kernel at work: mounted, written to, clean."""
    paths = devices.make(scratch, [500, 500], "-d", "single", "-m", "dup", *mkfs)
    spare = os.path.join(scratch, "spare")
    with open(spare, "wb") as f:
        f.truncate(500 << 20)
    with devices.KernelDevices(paths, "space_cache=v1" if mkfs else "", allow_complaints=True) as mnt:
        for n in range(60 if full else 20):
            overwrite(f"{mnt}/f{n}", random.Random(n), (2_900_000,))
    recorded = RecordedKernel(build, paths, options, spares=[spare])
    with recorded as mnt:
        work(mnt, recorded.spares)
        run("btrfs", "filesystem", "sync", mnt)
    view, judged = None, 0
    for number, build_state in list_some(recorded.commits(), full):
        states = [f"{path}.{number}" for path in [*paths, spare]]
        build_state(states)
        used = [path for path in states if has_superblock(path)]
        here = [path for path in used if super_field(path, DEVID)]       # the target of a replace has none yet
        if len(here) < min(2, super_field(used[0], superblock.NUM_DEVICES)):
            continue                        # cut between the superblocks of two devices: no commit yet
        m = subject.mount(used[0], devices.options(used))
        now = treeview.look(m.path, mtimes=False)
        if view:
            treeview.assert_same(view, without_late(now), ("first", f"commit {number}"))
        view = without_late(now)
        overwrite(m.join("ours"), random.Random(number), (3_000_000,))
        os.unlink(m.join("ours"))
        m.umount()
        devices.check(members(used))
        judged += 1
        for path in states:
            os.unlink(path)
    assert judged


def super_field(path, at):
    with open(path, "rb") as f:
        f.seek(superblock.OFFSETS[0] + at)
        return int.from_bytes(f.read(8), "little")


def members(paths):
    """Without the target of an unfinished replace, and without what was replaced."""
    newest = {}
    for path in paths:
        devid, generation = (int(images.super_field(path, name)) for name in (r"dev_item\.devid", "generation"))
        if devid and generation >= newest.get(devid, (0,))[0]:
            newest[devid] = generation, path
    return [path for _, path in newest.values()]


def without_late(view):
    return {path: entry for path, entry in view.items() if path not in ("late", ".")}


def list_some(commits, full):
    """Three at most, and with --full all."""
    for number, build_state in commits:
        if full or number in (0, 1, 5):
            yield number, build_state
