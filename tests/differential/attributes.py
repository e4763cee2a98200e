"""Operations on attributes: mode, owner, times, flags, xattrs, ACLs; and looking at them."""
import os
import stat
import struct

from harness import ioctls

from .operation import Operation
from .side import AsUser

ANY = ("file", "file", "dir", "link", "special")
XATTRS = ["user.a", "user.b", "user." + "l" * 200, "trusted.t", "security.s", "user.empty"]
ACLS = ("system.posix_acl_access", "system.posix_acl_default")


def random_acl(rng):
    """The binary form of the xattr: version 2, then (tag, rights, id) for owner, users, group, groups, mask, others."""
    entries = [(0x01, rng.randrange(8), -1)]
    entries += [(0x02, rng.randrange(8), uid) for uid in sorted(rng.sample((1000, 1001, 1002), rng.randrange(3)))]
    entries += [(0x04, rng.randrange(8), -1)]
    entries += [(0x08, rng.randrange(8), gid) for gid in sorted(rng.sample((1000, 1001), rng.randrange(2)))]
    entries += [(0x10, rng.randrange(8), -1)] + [(0x20, rng.randrange(8), -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)


def chmod(world, rng):
    path, mode, uid = world.some(rng, "file", "dir", "special"), rng.randrange(0o10000), rng.choice((0, 0, 1000))
    if not path:
        return None
    if world.kinds[path] == "dir":
        mode |= 0o700

    def call(side):
        with AsUser(uid):
            os.chmod(side.path(path), mode)
    return Operation(f"chmod {mode:#o} {path!r} as {uid}", call, (path,))


def chown(world, rng):
    path, owner, group = world.some(rng, *ANY), rng.choice((-1, 0, 1000, 1001, 70_000)), rng.choice((-1, 0, 1000, 1001))
    uid = rng.choice((0, 0, 0, 1000)) if (owner, group) != (-1, -1) else 0     # FUSE does not let us refuse that

    def call(side):
        with AsUser(uid):
            os.chown(side.path(path), owner, group, follow_symlinks=False)
    return path and Operation(f"chown {owner}:{group} {path!r} as {uid}", call, (path,))


def utimes(world, rng):
    path = world.some(rng, *ANY)
    when = rng.choice((rng.randrange(10 ** 18), rng.randrange(-10 ** 15, 0), 5 * 10 ** 9 * 10 ** 9 + rng.randrange(10 ** 9), 0))

    def call(side):
        os.utime(side.path(path), ns=(rng_free_atime(when), when), follow_symlinks=False)
    return path and Operation(f"utimes {when} {path!r}", call, (path,))


def rng_free_atime(when):
    return abs(when) // 7


def flags(world, rng):
    """chattr +C, and off again, on files and directories (inherited from there)."""
    path, on = world.some(rng, "file", "dir", "dir"), rng.random() < 0.7

    def call(side):
        full = side.path(path)
        now = ioctls.get_flags(full)
        ioctls.set_flags(full, now | ioctls.FS_NOCOW_FL if on else now & ~ioctls.FS_NOCOW_FL)
        return ioctls.get_flags(full)
    return path and Operation(f"chattr {'+' if on else '-'}C {path!r}", call, (path,))


def set_xattr(world, rng):
    path, name = world.some(rng, *ANY), rng.choice(XATTRS)
    value = b"" if name == "user.empty" else rng.randbytes(rng.choice((1, 20, 300, 4000, 15_000)))
    how = rng.choice((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE))

    def call(side):
        os.setxattr(side.path(path), name, value, how, follow_symlinks=False)
    return path and Operation(f"setxattr {name} of {len(value)} how {how} {path!r}", call, (path,))


def remove_xattr(world, rng):
    path, name = world.some(rng, *ANY), rng.choice(XATTRS + list(ACLS))
    if not path or world.is_frozen(path):
        return None

    def call(side):
        os.removexattr(side.path(path), name, follow_symlinks=False)
    return Operation(f"removexattr {name} {path!r}", call, (path,))


def get_xattrs(world, rng):
    path, name = world.some(rng, *ANY), rng.choice(XATTRS + list(ACLS))

    def call(side):
        names = sorted(os.listxattr(side.path(path), follow_symlinks=False))
        try:
            return names, os.getxattr(side.path(path), name, follow_symlinks=False)
        except OSError as e:
            return names, e.errno
    return path and Operation(f"getxattr {name} {path!r}", call)


def set_acl(world, rng):
    path, name, value = world.some(rng, "file", "dir", "dir"), rng.choice(ACLS), random_acl(rng)
    if not path or world.is_frozen(path):       # the kernel forgets to look whether the subvolume is read-only
        return None

    def call(side):
        os.setxattr(side.path(path), name, value)
    return Operation(f"setxattr {name} of {len(value)} {path!r}", call, (path,))


def access(world, rng):
    path, uid, wanted = world.some(rng, "file", "dir", "special"), rng.choice((1000, 1001, 1002)), rng.randrange(1, 8)

    def call(side):
        with AsUser(uid):
            if wanted & os.W_OK:
                os.setxattr(side.path(path), "user.by", b"%d" % uid)
            return sorted(os.listdir(side.path(path))) if os.path.isdir(side.path(path)) else None
    return path and Operation(f"access {wanted} {path!r} as {uid}", call, (path,))


def look(world, rng):
    path = world.some(rng, *ANY) or world.new_name(rng)

    def call(side):
        st = os.lstat(side.path(path))
        return oct(st.st_mode & ~stat.S_ISGID), st.st_uid, st.st_gid, st.st_size, st.st_nlink, st.st_rdev
    return Operation(f"stat {path!r}", call)


def list_folder(world, rng):
    path = world.some(rng, "dir") or ""
    return Operation(f"list {path!r}", lambda side: sorted(os.listdir(side.path(path))))


def read_link(world, rng):
    path = world.some(rng, "link", "file")
    return path and Operation(f"readlink {path!r}", lambda side: os.readlink(side.path(path)))


ALL = ((chmod, 4), (chown, 3), (utimes, 4), (flags, 2), (set_xattr, 5), (remove_xattr, 1.5), (get_xattrs, 1.5), (set_acl, 2.5),
       (access, 1), (look, 3), (list_folder, 2), (read_link, 0.5))
