"""Balances on small and full images: either a group moves or it stays; nothing is ever aborted for lack of space."""
import errno
import os

import pytest

from harness import dump, files, image as images, ioctls
from harness.kernel import KernelMount

EVERYTHING = dict(data={}, metadata={}, system={})


def fill(mnt, mib, small):
    """Small files first, then pieces of 4 MiB up to @mib or until it is full."""
    try:
        for n in range(small):
            files.write(f"{mnt}/s{n}", os.urandom(3000))
        for n in range(0, mib, 4):
            files.write(f"{mnt}/b{n}", os.urandom(4 << 20))
    except OSError as e:
        assert e.errno == errno.ENOSPC


def balance_on(subject, path, mib, used, small, *mkfs):
    """The result of a full balance, and the chunks that were there before and still are."""
    images.make(path, mib, *mkfs)
    with KernelMount(path) as mnt:
        fill(mnt, used, small)
    before = {c.logical for c in dump.chunks(path)}
    m = subject.mount(path)
    result = ioctls.balance(m.path, **EVERYTHING)
    content = {n: files.read(m.join(n)) for n in sorted(os.listdir(m.path))[:20]}
    os.unlink(m.join(sorted(content)[0]))       # not read-only
    m.umount()
    images.check(path)
    return result, before & {c.logical for c in dump.chunks(path)}


@pytest.mark.parametrize("mib, used, small, mkfs", [
    (512, 36, 0, ()), (200, 30, 100, ()), (109, 36, 500, ("-m", "single")), (150, 75, 2000, ("-m", "single"))], ids=str)
def test_everything_moves(subject, scratch, mib, used, small, mkfs):
    result, left = balance_on(subject, os.path.join(scratch, "img"), mib, used, small, *mkfs)
    assert result.error == 0
    assert not left, "an earlier chunk still exists"


@pytest.mark.parametrize("mib, used, small, mkfs", [
    (109, 10, 100, ()), (128, 64, 2000, ()), (150, 150, 500, ("-m", "single"))], ids=str)
def test_what_does_not_fit_stays(subject, scratch, mib, used, small, mkfs):
    """ENOSPC or success, a valid image, and still writable."""
    result, _ = balance_on(subject, os.path.join(scratch, "img"), mib, used, small, *mkfs)
    assert result.error in (0, errno.ENOSPC)


@pytest.mark.hooks
@pytest.mark.parametrize("point", ["al.data", "al.meta"])
def test_space_ends_in_the_middle(subject, scratch, point):
    """A reservation that fails while a group is half moved: ENOSPC, and a second balance does the rest."""
    path = images.make(os.path.join(scratch, "img"), 512)
    with KernelMount(path) as mnt:
        fill(mnt, 60, 300)
    before = {c.logical for c in dump.chunks(path)}
    m = subject.mount(path, hooks=True)
    m.hooks.arm("rl.copied")
    balance = ioctls.BalanceThread(m.path, **EVERYTHING)
    m.hooks.wait("rl.copied", 20)
    m.hooks.command(f"fail {point} {errno.ENOSPC} 100")
    m.hooks.release("rl.copied")
    assert balance.finish().error == errno.ENOSPC
    m.hooks.release("all")
    assert ioctls.balance(m.path, **EVERYTHING).error == 0
    m.umount()
    images.judge(path)
    assert not before & {c.logical for c in dump.chunks(path)}
