"""Operations on names: create, mkdir, mknod, symlink, link, unlink, rmdir, rename."""
import os
import stat

from .operation import Operation
from .side import RENAME_EXCHANGE, RENAME_NOREPLACE, AsUser, renameat2
from .world import join

USERS = (0, 0, 0, 1000, 1001)
NO_DRIVER = range(512, 4096)            # majors that no device has: opening one must not reach hardware or a terminal
MODES = (0o644, 0o600, 0o777, 0o4755, 0o2755, 0o1777, 0o000)


def create(world, rng):
    path, mode, uid = world.new_name(rng), rng.choice(MODES), rng.choice(USERS)
    flags = os.O_CREAT | os.O_WRONLY | rng.choice((0, os.O_EXCL, os.O_TRUNC))

    def call(side):
        with AsUser(uid):
            os.close(os.open(side.path(path), flags | os.O_NONBLOCK, mode))
    return Operation(f"create {path!r} {flags:#o} {mode:#o} as {uid}", call, (path,), lambda _: world.born(path, "file"))


def mkdir(world, rng):
    path, mode, uid = world.new_name(rng), rng.choice((0o755, 0o777, 0o777, 0o2777, 0o700)), rng.choice(USERS)

    def call(side):
        with AsUser(uid):
            os.mkdir(side.path(path), mode)
    return Operation(f"mkdir {path!r} {mode:#o} as {uid}", call, (path,), lambda _: world.born(path, "dir"))


def mknod(world, rng):
    path = world.new_name(rng)
    kind = rng.choice((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFREG))
    device = os.makedev(rng.choice(NO_DRIVER), rng.randrange(1 << 18)) if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0

    def call(side):
        os.mknod(side.path(path), kind | 0o640, device)
    return Operation(f"mknod {path!r} {kind:#o} {device:#x}", call, (path,),
                     lambda _: world.born(path, "file" if kind == stat.S_IFREG else "special"))


def symlink(world, rng):
    path, target = world.new_name(rng), "t" * rng.choice((1, 10, 300, 2000, 4000))

    def call(side):
        os.symlink(target, side.path(path))
    return Operation(f"symlink {path!r} of {len(target)}", call, (path,), lambda _: world.born(path, "link"))


def link(world, rng):
    old, new = world.some(rng, "file", "file", "link", "special", "dir"), world.new_name(rng)

    def call(side):
        os.link(side.path(old), side.path(new), follow_symlinks=False)
    return old and Operation(f"link {old!r} {new!r}", call, (new,), lambda _: world.born(new, world.kinds[old]))


def unlink(world, rng):
    path = world.some(rng, "file", "file", "link", "special", "dir") if rng.random() < 0.97 else world.new_name(rng)
    if not path or world.is_fixed(path):
        return None

    def call(side):
        os.unlink(side.path(path))
    return Operation(f"unlink {path!r}", call, (path,), lambda _: world.gone(path))


def rmdir(world, rng):
    path = world.movable(rng, "dir")
    empty = [p for p, k in world.kinds.items() if k == "dir" and p and not world.is_fixed(p)
             and not any(q.startswith(p + "/") for q in world.kinds)]
    if empty and rng.random() < 0.7:
        path = rng.choice(empty)

    def call(side):
        os.rmdir(side.path(path))
    return path and Operation(f"rmdir {path!r}", call, (path,), lambda _: world.gone(path))


def rename(world, rng):
    old = world.movable(rng, "file", "dir", "link", "special")
    new = world.new_name(rng) if rng.random() < 0.6 else world.movable(rng, "file", "dir", "link", "special")
    if old and rng.random() < 0.05:
        new = join(old, "inside")
    if not old or not new or world.is_fixed(new):
        return None
    flags = rng.choice((0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE))

    def call(side):
        before = [identity(side.path(p)) for p in (old, new)]
        renameat2(side.path(old), side.path(new), flags)
        return before[0] == before[1]

    def done(same_file):
        if not same_file:               # a rename between two links of one file does nothing
            (world.exchanged if flags == RENAME_EXCHANGE else world.moved)(old, new)
    return Operation(f"rename {old!r} {new!r} flags {flags}", call, (old, new), done)


def identity(path):
    try:
        st = os.lstat(path)
    except OSError:
        return path
    return st.st_dev, st.st_ino



ALL = ((create, 10), (mkdir, 5), (mknod, 2), (symlink, 3), (link, 4), (unlink, 7), (rmdir, 2), (rename, 9))
