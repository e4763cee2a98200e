"""Round after round on one image: filling and emptying it, and handing it to and fro between btrfuse and the kernel."""
import errno
import os
import random
import shutil

import pytest

from harness import files, image as images, ioctls, treeview
from harness.kernel import KernelMount

OPTIONS = ("", "nodatacow", "compress=zstd", "commit=1", "compress-force=lzo", "nodatasum")


def fill(folder, size, rng):
    """Files of about @size bytes until there is no space; what fsync or sync accepted is kept in mind and returned."""
    kept, block = {}, rng.randbytes(2 * size)
    for n in range(1_000_000):
        path = os.path.join(folder, f"{n}")
        at = rng.randrange(size)
        data = block[at:at + rng.randrange(1, size)]
        try:
            files.write(path, data)
            if n % 64 == 0:
                files.write(path, data, sync=True)
        except OSError as e:
            assert e.errno == errno.ENOSPC, e
            if os.path.exists(path):
                os.unlink(path)
            return kept
        kept[path] = data
    raise AssertionError("never full")


def test_filling_and_emptying(subject, scratch, full):
    """ENOSPC at once and never read-only, everything accepted is there, emptied completely: as roomy in the last round as in the first."""
    image, rng = images.make(os.path.join(scratch, "img"), 180), random.Random(3)
    counts = {}
    for n in range(10 if full else 2):
        kind, size = (("large", 8 << 20), ("small", 2500))[n % 2]
        m = subject.mount(image)
        os.mkdir(m.join("d"))
        kept = fill(m.join("d"), size, rng)
        for path in rng.sample(sorted(kept), min(len(kept), 200)):
            assert files.read(path) == kept[path]
        counts.setdefault(kind, []).append(sum(map(len, kept.values())))
        if n % 3 == 1:      # emptied after a remount
            m.umount()
            images.check(image)
            m = subject.mount(image)
        shutil.rmtree(m.join("d"))
        files.write(m.join("space again"), bytes(1 << 20), sync=True)
        os.unlink(m.join("space again"))
        ioctls.sync_fs(m.path)
        m.umount()
        images.check(image)
    for kind, sums in counts.items():
        assert min(sums) > 0.8 * max(sums), (kind, sums)
    images.judge(image)


def change(root, rng, names):
    """Some random changes; @names is what there is: a dict of path to content."""
    for _ in range(40):
        what = rng.randrange(7)
        path = rng.choice(sorted(names)) if names else None
        if what <= 2 or not path:
            path = os.path.join(root, f"f{rng.randrange(1000)}")
            names[path] = rng.randbytes(rng.choice((10, 3000, 5000, 70_000, 900_000)))
            if os.path.exists(path):
                os.unlink(path)
            files.write(path, names[path], sync=rng.random() < 0.2)
        elif what == 3:
            os.unlink(path)
            del names[path]
        elif what == 4:
            to = os.path.join(root, f"r{rng.randrange(100)}")
            os.rename(path, to)
            names[to] = names.pop(path)
        elif what == 5:
            size = rng.randrange(2 * len(names[path]) + 1)
            os.truncate(path, size)
            names[path] = names[path][:size].ljust(size, b"\0")
        else:
            at, data = rng.randrange(len(names[path]) + 1), rng.randbytes(rng.randrange(1, 30_000))
            files.write(path, data, at, flags=os.O_WRONLY)
            old = names[path]
            names[path] = old[:at] + data + old[at + len(data):]


def relative(names, root):
    return {os.path.relpath(p, root): data for p, data in names.items()}


@pytest.mark.fuse_only
def test_to_and_fro_with_the_kernel(subject, image, full):
    """Each writes where the other left off and finds everything as it was; the kernel never has a word to say."""
    rng, content = random.Random(8), {}
    for n in range(100 if full else 6):
        if n % 2:
            mount = KernelMount(image, rng.choice(("", "compress=zlib", "nodatacow")))
            mount.mount()
        else:
            mount = subject.mount(image, rng.choice(OPTIONS))
        names = {os.path.join(mount.path, p): data for p, data in content.items()}
        assert sorted(os.listdir(mount.path)) == sorted(content)
        for path, data in names.items():
            assert files.read(path) == data, (n, path)
        change(mount.path, rng, names)
        content = relative(names, mount.path)
        view = treeview.look(mount.path)
        mount.umount()
        if n % 10 == 5:
            images.check(image)
    m = subject.mount(image, "ro")
    treeview.assert_same(treeview.look(m.path), view)
    m.umount()
    images.judge(image)
