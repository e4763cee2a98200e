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
                 "usr/sbin/mount.fuseblk.btrfuse", "usr/sbin/umount.fuse.btrfuse", "usr/sbin/umount.fuseblk.btrfuse", "usr/share/man/man8/btrfuse.8.gz",
                 "usr/share/man/man8/btrfusectl.8.gz", "usr/share/bash-completion/completions/btrfuse",
                 "usr/share/bash-completion/completions/btrfusectl"):
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


@needs_tools
@pytest.mark.fuse_only
def test_remount_without_fstab(installed, image, scratch):
    """mount(8) adds what it finds in the table of mounts, which is FUSE's own."""
    where = os.path.join(scratch, "mnt")
    os.mkdir(where)
    run("mount", "-t", "btrfuse", "-o", "ro,nosuid", image, where)
    try:
        run("mount", "-o", "remount,rw", where)
        open(os.path.join(where, "f"), "w").close()
        run("mount", "-o", "remount,ro", where)
        at_once = images.sha256(image)
        with pytest.raises(OSError):
            open(os.path.join(where, "g"), "w")
    finally:
        run("umount", where)
    assert images.sha256(image) == at_once
    images.check(image)


@needs_tools
@pytest.mark.fuse_only
def test_partition_of_an_image_by_mount(installed, image, scratch):
    """mount(8) makes a loop device of `offset=` itself; it goes with the mount."""
    where, disk = os.path.join(scratch, "mnt"), os.path.join(scratch, "disk")
    os.mkdir(where)
    run("dd", f"if={image}", f"of={disk}", "bs=1M", "seek=1", "conv=sparse", "status=none")
    run("mount", "-t", "btrfuse", "-o", "offset=1048576", disk, where)
    try:
        open(os.path.join(where, "f"), "w").close()
    finally:
        run("umount", where)
    assert disk not in run("losetup", "-a").stdout
    run("dd", f"if={disk}", f"of={image}", "bs=1M", "skip=1", "conv=sparse,notrunc", "status=none")
    images.check(image)


@needs_tools
@pytest.mark.fuse_only
def test_completion_knows_the_verbs(installed):
    """bash asked for what may come next."""
    def words(program, *line):
        script = f"""_init_completion() {{ cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=("${{COMP_WORDS[@]}}") cword=$COMP_CWORD; }}
                     _filedir() {{ :; }}; . /usr/share/bash-completion/completions/{program}
                     COMP_WORDS=({program} {" ".join(line)}) COMP_CWORD={len(line)}; _{program} 2>/dev/null; echo "${{COMPREPLY[@]}}" """
        return run("bash", "-c", script).stdout.split()
    assert words("btrfusectl", "st") == ["stats"]
    assert words("btrfusectl", "balance", "pa") == ["pause"]
    assert "offset=" in words("btrfuse", "-o", "off")
