"""What the run knows: the names that exist, by what they are, as the reference left them; and the file handles that are open.

The world only steers the choice of operations. Whether both sides are right is decided by comparing them with each other.
"""
import os
import stat

NAMES = [f"n{i}" for i in range(24)] + ["with space", "x" * 255, "\udcff\udcfe", "ümläut", "-dash", "a.b.c"]
MAX_DEPTH = 5
FROZEN = "frozen"                       # where starting images have their read-only snapshot
INO_MASK, SUBVOLUME = (1 << 48) - 1, 256


class World:
    def __init__(self, root):
        self.kinds = {"": "dir"}        # path -> file, dir, link, special
        self.fixed = set()              # subvolumes and placeholders: not moved, not removed
        self.handles = {}               # id -> path at open
        self._next_handle = 0
        for folder, dirs, names in os.walk(root):
            base = os.path.relpath(folder, root)
            for name in dirs + names:
                path = name if base == "." else f"{base}/{name}"
                st = os.lstat(os.path.join(root, path))
                if stat.S_ISDIR(st.st_mode) and is_placeholder(st.st_ino):
                    self.fixed.add(path)
                    continue            # a placeholder is nobody's: the kernel keeps changes to it in memory only
                self.kinds[path] = kind_of(st.st_mode)
                if stat.S_ISDIR(st.st_mode) and st.st_ino & INO_MASK == SUBVOLUME:
                    self.fixed.add(path)

    # ---- choices ----

    def some(self, rng, *kinds):
        """An existing path of one of the kinds, or None."""
        found = [p for p, k in self.kinds.items() if k in kinds and p]
        return rng.choice(found) if found else None

    def folder(self, rng):
        found = [p for p, k in self.kinds.items() if k == "dir" and p.count("/") < MAX_DEPTH - 1]
        return rng.choice(found)

    def new_name(self, rng):
        """A path for something new; now and then one that exists, or one below what is no directory."""
        if rng.random() < 0.02:
            return join(self.some(rng, "file", "link", "special") or "", rng.choice(NAMES))
        return join(self.folder(rng), rng.choice(NAMES))

    def movable(self, rng, *kinds):
        found = [p for p, k in self.kinds.items() if k in kinds and p and p not in self.fixed
                 and not any(f.startswith(p + "/") for f in self.fixed)]
        return rng.choice(found) if found else None

    def is_fixed(self, path):
        return path in self.fixed or any(f.startswith(path + "/") for f in self.fixed)

    def is_frozen(self, path):
        return path.split("/")[0] == FROZEN

    # ---- what happened ----

    def born(self, path, kind):
        self.kinds.setdefault(path, kind)

    def gone(self, path):
        self.kinds.pop(path, None)

    def moved(self, old, new):
        inside = {p: k for p, k in self.kinds.items() if p == old or p.startswith(old + "/")}
        for p in inside:
            del self.kinds[p]
        self.gone(new)
        for p, k in inside.items():
            self.kinds[new + p[len(old):]] = k

    def exchanged(self, one, other):
        self.moved(one, "\0")
        self.moved(other, one)
        self.moved("\0", other)

    def opened(self, path):
        self._next_handle += 1
        self.handles[self._next_handle] = path
        return self._next_handle


def is_placeholder(ino):
    """Of a subvolume inside a snapshot: inode 2 for the kernel, the last range of numbers for btrfuse."""
    return ino & INO_MASK == 2 or ino >> 48 == 0xffff


def join(folder, name):
    return f"{folder}/{name}" if folder else name


def kind_of(mode):
    return {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}.get(stat.S_IFMT(mode), "special")
