"""What fsync and sync promised of the file system under test, kept until something may have changed it again."""
import os

from harness import treeview


class Promises:
    def __init__(self):
        self.entries, self.inodes = {}, {}      # path -> Entry, path -> (device, inode)

    def broken_by(self, operation, side):
        """Called before the operation: what it may change is no longer promised."""
        for path in operation.touches:
            identity = inode_of(lambda: os.lstat(side.path(path)))
            self._forget(lambda p, i: p == path or p.startswith(path + "/") or (identity and i == identity))
        if operation.handle:
            identity = inode_of(lambda: os.fstat(side.fds[operation.handle]))
            self._forget(lambda _, i: i == identity)

    def made_by(self, operation, side):
        if operation.promises == "*":
            for path, entry in treeview.look(side.root).items():
                self._remember(path, entry, side)
        elif operation.promises:
            self._remember(operation.promises, treeview.look_at(side.root, operation.promises), side)

    def _remember(self, path, entry, side):
        identity = inode_of(lambda: os.lstat(side.path(path)))
        if identity and entry:
            self.entries[path], self.inodes[path] = entry, identity

    def _forget(self, test):
        for path in [p for p, i in self.inodes.items() if test(p, i)]:
            del self.entries[path], self.inodes[path]

    def verify(self, view):
        """@view holds every promised file, whole."""
        lost = []
        for path, want in self.entries.items():
            got = view.get(path)
            if got is None:
                lost.append(f"{path}: fsynced, and gone")
            elif want.type == oct(0o100000):
                lost += [f"{path}: fsynced, and {name} changed: {getattr(want, name)!r} to {getattr(got, name)!r}"
                         for name in ("type", "mode", "owner", "size", "xattrs", "content") if getattr(want, name) != getattr(got, name)]
        assert not lost, "\n".join(lost[:20])


def inode_of(look):
    try:
        st = look()
    except OSError:
        return None
    return st.st_dev, st.st_ino
