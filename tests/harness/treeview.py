"""A whole tree as a comparable value: name, type, mode, owner, size, link count, mtime, xattrs, content and holes."""
import errno
import hashlib
import os
import stat
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    type: str
    mode: int
    owner: tuple
    size: int
    links: int
    mtime_ns: int
    xattrs: tuple
    content: str
    holes: tuple
    same_inode_as: str      # first name of a hard link group


def look(root, holes=True, mtimes=True, xattrs=True, skip=()):
    """{relative path: Entry} of everything below @root. Hard link groups are named by their first path."""
    view, seen = {}, {}
    stack = [""]
    while stack:
        folder = stack.pop()
        for name in sorted(os.listdir(os.path.join(root, folder) if folder else root)):
            path = os.path.join(folder, name)
            if path in skip:
                continue
            full = os.path.join(root, path)
            st = os.lstat(full)
            if stat.S_ISDIR(st.st_mode):
                stack.append(path)
            view[path] = _entry(full, path, st, seen, holes, mtimes, xattrs)
    st = os.lstat(root)
    view["."] = _entry(root, ".", st, seen, holes, mtimes, xattrs)
    return view


def look_at(root, path):
    """The Entry of one path (without its hard link group), or None."""
    full = os.path.join(root, path)
    try:
        return _entry(full, path, os.lstat(full), {}, True, True, True)
    except FileNotFoundError:
        return None


def _entry(full, path, st, seen, holes, mtimes, xattrs):
    kind = stat.S_IFMT(st.st_mode)
    regular = kind == stat.S_IFREG
    group = ""
    if kind != stat.S_IFDIR and st.st_nlink > 1:
        group = seen.setdefault((st.st_dev, st.st_ino), path)
    content = ""
    if regular:
        content = file_digest(full)
    elif kind == stat.S_IFLNK:
        content = os.readlink(full)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        content = f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}"
    # the placeholder of a subvolume inside a snapshot has no time of its own: inode 2 in the kernel, index 0xffff here
    timeless = kind == stat.S_IFDIR and (st.st_ino == 2 or st.st_ino >> 48 == 0xFFFF)
    return Entry(oct(kind), stat.S_IMODE(st.st_mode), (st.st_uid, st.st_gid), st.st_size,
                 1 if kind == stat.S_IFDIR else st.st_nlink, st.st_mtime_ns if mtimes and not timeless else 0,
                 read_xattrs(full) if xattrs else (), content, file_holes(full) if regular and holes else (), group)


def file_digest(path):
    """A digest of what can be read, quick for sparse files: aligned pieces that are all zero count as not there."""
    digest, step = hashlib.blake2b(digest_size=16), 1 << 16
    with open(path, "rb", buffering=0) as f:
        done = 0
        for start, end in file_holes(path):
            at = max(start // step * step, done)
            while at < end:
                piece = os.pread(f.fileno(), step, at)
                if any(piece):
                    digest.update(at.to_bytes(8, "little") + piece)
                at += step
            done = max(done, at)
    return digest.hexdigest()


def read_xattrs(path):
    names = [n for n in os.listxattr(path, follow_symlinks=False)]
    return tuple((n, os.getxattr(path, n, follow_symlinks=False)) for n in sorted(names))


def file_holes(path):
    """(start, end) of the data stretches, as SEEK_DATA and SEEK_HOLE tell them."""
    found = []
    fd = os.open(path, os.O_RDONLY)
    try:
        end, at = os.fstat(fd).st_size, 0
        while at < end:
            try:
                start = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno == errno.ENXIO:
                    break
                raise
            at = os.lseek(fd, start, os.SEEK_HOLE)
            found.append((start, at))
    finally:
        os.close(fd)
    return tuple(found)


def differences(one, other, names=("one", "other"), limit=20):
    """In words, what differs; an empty list if nothing does."""
    found = []
    for path in sorted(set(one) | set(other)):
        a, b = one.get(path), other.get(path)
        if a is None or b is None:
            found.append(f"{path}: only in {names[0] if b is None else names[1]}")
        elif a != b:
            parts = [f"{k}: {getattr(a, k)!r} / {getattr(b, k)!r}" for k in a.__dataclass_fields__
                     if getattr(a, k) != getattr(b, k)]
            found.append(f"{path}: ({names[0]} / {names[1]}) " + "; ".join(parts))
        if len(found) >= limit:
            found.append("...")
            break
    return found


def assert_same(one, other, names=("one", "other")):
    found = differences(one, other, names)
    assert not found, "\n".join([f"{names[0]} and {names[1]} differ:"] + found)
