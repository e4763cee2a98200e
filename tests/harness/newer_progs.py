"""btrfs-progs 6.14 from Debian's backports, unpacked beside the installed 6.2 and never installed: for what 6.2 cannot make or check."""
import contextlib
import glob
import os

from .shell import run

RELEASE = "bookworm"


def unpack(folder):
    """Fetches the package once into @folder; returns it as Progs."""
    tree = os.path.join(folder, "tree")
    if not os.path.isdir(tree):
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        sources = os.path.join(folder, "sources.list")
        with open(sources, "w") as f:
            f.write(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror()} {RELEASE}-backports main\n")
        own = ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/nonexistent", "-o", f"Dir::State::lists={folder}/lists",
               "-o", f"Dir::Cache={folder}/cache", "-o", "APT::Sandbox::User=root"]
        run("apt-get", *own, "update", timeout=180)
        run("apt-get", *own, "download", "btrfs-progs", cwd=folder, timeout=180)
        run("dpkg", "-x", glob.glob(os.path.join(folder, "btrfs-progs_*.deb"))[0], tree)
    return Progs(tree)


def mirror():
    """Where this machine gets Debian from."""
    lines = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Identifier: Packages").stdout.splitlines()
    return next(uri for uri, *rest in map(str.split, lines) if rest == [RELEASE, "main"])


class Progs:
    def __init__(self, tree):
        self.tree = tree

    def path(self, name):
        """A program of the package."""
        found = [p for p in (os.path.join(self.tree, d, name) for d in ("bin", "sbin", "usr/bin", "usr/sbin")) if os.path.exists(p)]
        return found[0]

    def run(self, name, *argv, **kw):
        return run(self.path(name), *argv, **kw)

    @contextlib.contextmanager
    def in_use(self):
        """Whoever runs a program by its name gets ours meanwhile."""
        before = os.environ["PATH"]
        os.environ["PATH"] = os.pathsep.join((os.path.dirname(self.path("btrfs")), os.path.dirname(self.path("mkfs.btrfs")), before))
        try:
            yield
        finally:
            os.environ["PATH"] = before
