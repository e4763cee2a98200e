"""The ends of what a file system has to hold: names, links, sizes, depth, crowds. The kernel is asked the same where it may differ."""
import ctypes
import errno
import mmap
import os
import random
import resource

import pytest

from harness import files, image as images
from harness.kernel import KernelMount
from harness.shell import run

LINKS = 65_535
LAST = (1 << 63) - 1        # the largest size of a file


def outcome(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]


def test_names_of_any_bytes(subject, image):
    """Every byte but 0 and '/', alone and in names of 255; names that differ in one bit; as entry, link, target and attribute."""
    rng = random.Random(255)
    allowed = [b for b in range(1, 256) if b != 47]
    names = {bytes([b]) for b in allowed if b != 46} | {bytes(rng.choices(allowed, k=255)) for _ in range(300)}
    names |= {b"x" * 254 + bytes([b]) for b in allowed} | {"ä".encode() * 127 + b"a", b"..." + b"\xff" * 252, b"-" * 255}
    m = subject.mount(image)
    root = os.fsencode(m.path)
    os.mkdir(root + b"/d")
    for n, name in enumerate(sorted(names)):
        path = root + b"/d/" + name
        (os.mkdir, lambda p: os.symlink(name, p), lambda p: os.mknod(p, 0o600))[n % 3](path)
    assert set(os.listdir(root + b"/d")) == names
    for n, name in enumerate(sorted(names)):
        if n % 3 == 1:
            assert os.readlink(root + b"/d/" + name) == name
    for n, name in enumerate(sorted(names)[::5]):
        moved = b"%03d" % n + name[:252]
        os.rename(root + b"/d/" + name, root + b"/d/" + moved)
        names = names - {name} | {moved}
    assert outcome(os.mkdir, root + b"/d/" + b"\xff" * 256) == "ENAMETOOLONG"
    m.umount()
    images.check(image)
    with KernelMount(image) as mnt:
        assert set(os.listdir(os.fsencode(mnt) + b"/d")) == names


def test_links_up_to_the_limit(subject, image, full):
    """Half by the kernel, the others by us; none after the last, and a place is free again when one goes."""
    count = LINKS if full else 3000
    with KernelMount(image) as mnt:
        os.mkdir(f"{mnt}/many")
        files.write(f"{mnt}/f", b"linked")
        for n in range(count // 2):
            os.link(f"{mnt}/f", f"{mnt}/many/{n}")
    m = subject.mount(image)
    for n in range(count // 2, count - 1):
        os.link(m.join("f"), m.join(f"many/{n}"))
    assert os.stat(m.join("many/77")).st_nlink == count
    if full:
        assert outcome(os.link, m.join("many/5"), m.join("more")) == "EMLINK"
    os.unlink(m.join("many/471"))
    os.link(m.join("f"), m.join("many/other"))
    if full:
        assert outcome(os.link, m.join("f"), m.join("more")) == "EMLINK"
    for n in range(1000, 2000):
        os.unlink(m.join(f"many/{n}"))
    assert os.stat(m.join("many/other")).st_nlink == count - 1000 and files.read(m.join("many/77")) == b"linked"
    m.umount()
    images.check(image)


@pytest.fixture
def no_size_limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def play_huge(root):
    seen = []
    fd = os.open(f"{root}/huge", os.O_CREAT | os.O_RDWR, 0o644)

    def step(call, *args):
        seen.append((call.__name__, args[1:], outcome(call, *args), os.fstat(fd).st_size))
    step(os.ftruncate, fd, LAST)
    step(os.pread, fd, 100, LAST - 50)
    step(os.lseek, fd, 0, os.SEEK_DATA)
    step(os.lseek, fd, 5, os.SEEK_HOLE)
    step(os.ftruncate, fd, 0)
    for off in (LAST - 4095, LAST - 8191, LAST - 100, LAST - 1, LAST, LAST - (1 << 20)):
        step(os.pwrite, fd, b"end" * 5, off)
        step(os.pread, fd, 100, off)
    step(os.pwrite, fd, b"start", 0)
    step(os.lseek, fd, 0, os.SEEK_HOLE)
    step(os.lseek, fd, 1 << 20, os.SEEK_DATA)
    step(os.fsync, fd)
    step(os.lseek, fd, 1 << 20, os.SEEK_DATA)
    step(os.ftruncate, fd, LAST - 3)
    step(os.ftruncate, fd, 1 << 62)
    step(os.pread, fd, 100, (1 << 62) - 10)
    step(os.ftruncate, fd, 3)
    step(os.pread, fd, 100, 0)
    step(os.ftruncate, fd, LAST)
    os.close(fd)
    return seen


def play_huge_ranges(root):
    fd = os.open(f"{root}/ranges", os.O_CREAT | os.O_RDWR, 0o644)
    os.ftruncate(fd, 1 << 40)
    seen = []
    for mode in (0, 1, 3, 0x10, 0x11):
        for off, length in ((LAST - 4095, 4096), (LAST - 8191, 4096), (LAST - 4096, 8192), (1 << 50, LAST), (0, 0), (5 << 40, 4096)):
            got = files.LIBC.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length))
            seen.append((mode, off, length, got and errno.errorcode[ctypes.get_errno()], os.fstat(fd).st_size))
    os.close(fd)
    return seen


@pytest.mark.parametrize("play", [play_huge, play_huge_ranges])
def test_eight_exbibytes(subject, image, no_size_limit, play):
    """Sparse files of 8 EiB - 1, and what lies beyond: every answer as the kernel's."""
    twin = images.copy(image)
    with KernelMount(twin) as mnt:
        want = play(mnt)
    m = subject.mount(image)
    got = play(m.path)
    m.umount()
    assert [(g, w) for g, w in zip(got, want) if g != w] == []
    images.judge(image, read_all=False)


def test_deep_tree(subject, image):
    """A thousand levels, a path of 60 KB: made, walked and removed through descriptors, as rm -r does."""
    m = subject.mount(image)
    fd = os.open(m.path, os.O_RDONLY)
    for n in range(1000):
        os.mkdir(f"level-{n:03}-{'x' * 50}", dir_fd=fd)
        below = os.open(f"level-{n:03}-{'x' * 50}", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    assert len(run("find", m.path, timeout=60).stdout.splitlines()) == 1002
    m.umount()
    images.check(image)
    with KernelMount(image) as mnt:
        assert len(run("find", mnt, timeout=60).stdout.splitlines()) == 1002
    m = subject.mount(image)
    run("rm", "-r", *[m.join(n) for n in os.listdir(m.path)], timeout=60)
    assert os.listdir(m.path) == []
    m.umount()
    images.check(image)


@pytest.mark.timeout(1800)
def test_crowded_directory_changes_while_it_is_read(subject, scratch, full):
    """Names that were there all the time are seen exactly once, whatever comes and goes meanwhile."""
    count = 1_000_000 if full else 12_000
    image = images.make(os.path.join(scratch, "img"), 8192 if full else 512)
    m = subject.mount(image)
    os.mkdir(m.join("d"))
    folder = os.open(m.join("d"), os.O_RDONLY)
    for n in range(count):
        os.mknod(f"n{n}", 0o600, dir_fd=folder)
    rng, seen, made, gone = random.Random(1), [], 0, set()
    with os.scandir(m.join("d")) as entries:
        for e in entries:
            seen.append(e.name)
            if len(seen) % 3 == 0:
                os.mknod(f"made{made}", 0o600, dir_fd=folder)
                made += 1
                victim = f"n{rng.randrange(count)}"
                if victim not in gone:
                    os.unlink(victim, dir_fd=folder)
                    gone.add(victim)
                other = rng.randrange(made)
                if f"made{other}" not in gone:
                    os.rename(f"made{other}", f"made{other}", src_dir_fd=folder, dst_dir_fd=folder)
    stayed = {f"n{n}" for n in range(count)} - gone
    assert len(seen) == len(set(seen)), "a name came twice"
    assert stayed <= set(seen), "a name was left out"
    assert set(os.listdir(m.join("d"))) == stayed | {f"made{n}" for n in range(made)}
    os.close(folder)
    m.umount()
    images.check(image)


def fork_each(count, work):
    pids = []
    for n in range(count):
        pid = os.fork()
        if not pid:
            try:
                work(n)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
def test_many_appenders(mounted, direct):
    """Twelve processes append to one file: every piece is there once and whole."""
    path, pieces = mounted.join("log"), 100
    length = 4096 if direct else 1000

    def append(who):
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | (os.O_DIRECT if direct else 0), 0o644)
        buf = mmap.mmap(-1, 4096)
        for n in range(pieces):
            buf[:] = (b"%02d-%04d." % (who, n)) * 512
            assert os.write(fd, memoryview(buf)[:length]) == length
    fork_each(12, append)
    data = files.read(path)
    assert len(data) == 12 * pieces * length
    got = sorted(data[at:at + length] for at in range(0, len(data), length))
    assert got == sorted(((b"%02d-%04d." % (w, n)) * 512)[:length] for w in range(12) for n in range(pieces))


def test_map_shared_by_processes_and_read_directly(mounted):
    """A store by one process is seen by another's map and by O_DIRECT; an O_DIRECT write is seen in the maps."""
    path, pages = mounted.join("f"), 64
    files.write(path, bytes(pages * 4096))
    fd = os.open(path, os.O_RDWR)
    ours = mmap.mmap(fd, pages * 4096)
    ask, answer = os.pipe(), os.pipe()
    if not os.fork():
        theirs = mmap.mmap(os.open(path, os.O_RDWR), pages * 4096)
        while True:
            n = os.read(ask[0], 1)[0]
            if n == 255:
                os._exit(0)
            theirs[n * 4096 + 1] = theirs[n * 4096] + 1
            os.write(answer[1], bytes([theirs[n * 4096 + 2]]))
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, 4096)
    for n in range(pages):
        ours[n * 4096] = n
        os.write(ask[1], bytes([n]))
        os.read(answer[0], 1)
        assert ours[n * 4096 + 1] == n + 1
        os.preadv(direct, [buf], n * 4096)
        assert (buf[0], buf[1]) == (n, n + 1)
        buf[2] = 200
        os.pwritev(direct, [buf], n * 4096)
        assert ours[n * 4096 + 2] == 200
        os.write(ask[1], bytes([n]))
        assert os.read(answer[0], 1)[0] == 200
    os.close(direct)
    os.write(ask[1], b"\xff")
    os.wait()
    ours.close()
    os.close(fd)
    assert files.read(path)[:3] == bytes([0, 1, 200])


def test_capabilities_go_with_a_write(mounted):
    """security.capability does not outlive a change of what it was given to."""
    caps = bytes.fromhex("0100000200200000000000000000000000000000")
    for name, step in (("write", lambda p: files.write(p, b"y")), ("truncate", lambda p: os.truncate(p, 1)),
                       ("chown", lambda p: os.chown(p, 1, 1)), ("fallocate", lambda p: files.fallocate(p, 0, 100_000)),
                       ("append", lambda p: files.write(p, b"y", flags=os.O_WRONLY | os.O_APPEND))):
        path = mounted.join(name)
        files.write(path, b"x" * 100)
        os.setxattr(path, "security.capability", caps)
        step(path)
        assert "security.capability" not in os.listxattr(path), name
