"""What is installed: the Debian package builds, and after `dpkg -i` mount(8), fstab and umount(8) know btrfuse."""
import glob
import os
import shutil

import pytest

from harness import image as images
from harness import places
from harness.shell import run

pytestmark = pytest.mark.plain     # it is not the build under test that is installed
needs_tools = pytest.mark.skipif(not shutil.which("dpkg-buildpackage"), reason="needs Debian's dpkg-dev and debhelper")


@pytest.fixture(scope="module")
def package(session_scratch):
    """The .deb, built from what git has."""
    tree = os.path.join(session_scratch, "deb", "btrfuse")
    os.makedirs(tree)
    run("sh", "-c", f"git -C {places.SOURCE} ls-files -z | tar -C {places.SOURCE} --null -T - -cf - | tar -C {tree} -xf -")
    run("sh", "-c", f"cd {tree} && DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -b -us -uc -d", timeout=600)
    return glob.glob(os.path.join(session_scratch, "deb", "*.deb"))[0]


@pytest.fixture
def installed(package, request):
    if request.config.getoption("--subject") == "kernel":
        pytest.skip("about our own package")
    run("dpkg", "-i", package)
    yield
    run("dpkg", "-P", "btrfuse")


@needs_tools
@pytest.mark.fuse_only
def test_package_holds_programs_helpers_and_pages(package):
    names = run("dpkg-deb", "-c", package).stdout
    for path in ("usr/bin/btrfuse", "usr/bin/btrfusectl", "usr/sbin/mount.btrfuse", "usr/sbin/mount.fuse.btrfuse",
                 "usr/sbin/umount.fuse.btrfuse", "usr/share/man/man8/btrfuse.8.gz",
                 "usr/share/man/man8/btrfusectl.8.gz", "usr/share/bash-completion/completions/btrfuse"):
        assert path in names, path


@needs_tools
@pytest.mark.fuse_only
@pytest.mark.parametrize("kind", ["btrfuse", "fuse.btrfuse"])
def test_mount_by_type(installed, image, scratch, kind):
    where = os.path.join(scratch, "mnt")
    os.mkdir(where)
    run("mount", "-t", kind, "-o", "noatime", image, where)
    try:
        open(os.path.join(where, "f"), "w").close()
    finally:
        run("umount", where)
    images.check(image)


@needs_tools
@pytest.mark.fuse_only
def test_fstab_and_remount(installed, image, scratch):
    where, fstab = os.path.join(scratch, "mnt"), os.path.join(scratch, "fstab")
    os.mkdir(where)
    with open(fstab, "w") as f:
        f.write(f"{image} {where} btrfuse defaults,noauto 0 0\n")
    run("mount", "-T", fstab, where)
    try:
        open(os.path.join(where, "f"), "w").close()
        run("mount", "-T", fstab, "-o", "remount,ro", where)
        with pytest.raises(OSError):
            open(os.path.join(where, "g"), "w")
        run("mount", "-T", fstab, "-o", "remount,rw", where)
        open(os.path.join(where, "g"), "w").close()
    finally:
        run("umount", where)
    images.check(image)
