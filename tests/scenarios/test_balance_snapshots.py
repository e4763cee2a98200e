"""Balance of trees that many snapshots share: sharing is kept exactly, however many there are."""
import os

from harness import dump, files, image as images, ioctls
from harness.kernel import KernelMount
from harness.shell import run


def used(image, kind):
    groups, types = dump.block_groups(image), {c.logical: c.type for c in dump.chunks(image)}
    return sum(g[1] for logical, g in groups.items() if types[logical].startswith(kind))


def test_sharing_is_kept(subject, image, full):
    """1,000 snapshots (60 in a short run), some changed after they were taken."""
    count = 1000 if full else 60
    with KernelMount(image) as mnt:
        run("btrfs", "subvolume", "create", f"{mnt}/sub")
        for n in range(300):
            files.write(f"{mnt}/sub/f{n}", os.urandom(3000 + n * 40))
        for n in range(count):
            run("btrfs", "subvolume", "snapshot", f"{mnt}/sub", f"{mnt}/s{n}")
            if n % 7 == 0:
                files.write(f"{mnt}/s{n}/f{n % 300}", b"changed in the snapshot" * 100)
                files.write(f"{mnt}/sub/f{(n * 3) % 300}", b"changed in the source" * 200)
        want = {p: files.read(f"{mnt}/{p}") for n in range(0, count, count // 20) for p in (f"s{n}/f{n % 300}", f"s{n}/f7")}
    before = {kind: used(image, kind) for kind in ("METADATA", "DATA")}
    groups = {c.logical for c in dump.chunks(image)}
    m = subject.mount(image)
    assert ioctls.balance(m.path, data={}, metadata={}).error == 0
    for path, data in want.items():
        assert files.read(m.join(path)) == data
    m.umount()
    assert not groups & {c.logical for c in dump.chunks(image) if not c.type.startswith("SYSTEM")}, "a group was left"
    after = {kind: used(image, kind) for kind in before}
    assert after["DATA"] == before["DATA"] and after["METADATA"] <= before["METADATA"] * 1.02 + (64 << 10), (before, after)
    images.check(image)
    with KernelMount(image) as mnt:
        for path, data in want.items():
            assert files.read(f"{mnt}/{path}") == data
        images.scrub(mnt)
