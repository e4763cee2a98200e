"""Who may do what: modes, owners, set-id bits, ACLs. After each test the image must check clean."""
import errno
import os
import shutil
import stat
import subprocess

import pytest

from harness import files, image as images
from harness.files import as_user
from harness.shell import run

from .test_posix import read, write


def test_modes_and_owners(mounted):
    write(mounted.join("f"), b"x")
    os.chmod(mounted.join("f"), 0o4751)
    os.chown(mounted.join("f"), 1234, 4321)
    st = os.stat(mounted.join("f"))
    assert (st.st_uid, st.st_gid) == (1234, 4321)
    assert stat.S_IMODE(st.st_mode) == 0o751      # chown takes setuid away
    os.chmod(mounted.join("f"), 0o6755)
    assert stat.S_IMODE(os.stat(mounted.join("f")).st_mode) == 0o6755


def test_umask(mounted):
    old = os.umask(0o027)
    try:
        os.close(os.open(mounted.join("f"), os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(mounted.join("d"), 0o777)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(mounted.join("f")).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(mounted.join("d")).st_mode) == 0o750


def test_setgid_directory_passes_its_group_on(mounted):
    os.mkdir(mounted.join("d"))
    os.chown(mounted.join("d"), 0, 777)
    os.chmod(mounted.join("d"), 0o2775)
    write(mounted.join("d/f"), b"")
    os.mkdir(mounted.join("d/e"))
    assert os.stat(mounted.join("d/f")).st_gid == 777
    assert os.stat(mounted.join("d/e")).st_gid == 777
    assert os.stat(mounted.join("d/e")).st_mode & stat.S_ISGID


@pytest.fixture
def shared_mount(subject, image):
    m = subject.mount(image, "allow_other")
    yield m
    m.umount()
    images.check(image)


def test_permissions_are_enforced(shared_mount, unprivileged):
    write(shared_mount.join("secret"), b"x")
    os.chmod(shared_mount.join("secret"), 0o600)
    os.mkdir(shared_mount.join("closed"), 0o700)
    assert as_user(unprivileged, lambda: read(shared_mount.join("secret"))) == errno.EACCES
    assert as_user(unprivileged, lambda: os.listdir(shared_mount.join("closed"))) == errno.EACCES
    assert as_user(unprivileged, lambda: write(shared_mount.join("new"), b"")) == errno.EACCES
    assert as_user(unprivileged, lambda: os.chmod(shared_mount.join("secret"), 0o777)) == errno.EPERM


def test_write_takes_setuid_away(shared_mount, unprivileged):
    write(shared_mount.join("f"), b"x")
    os.chmod(shared_mount.join("f"), 0o6777)
    assert as_user(unprivileged, lambda: write(shared_mount.join("f"), b"y", os.O_WRONLY)) == 0
    assert stat.S_IMODE(os.stat(shared_mount.join("f")).st_mode) == 0o777


@pytest.mark.parametrize("change", [lambda p: write(p, b"y", os.O_WRONLY | os.O_APPEND), lambda p: os.truncate(p, 100),
                                    lambda p: write(p, b"", os.O_WRONLY | os.O_TRUNC), lambda p: files.fallocate(p, 0, 1 << 16)],
                         ids=["append", "truncate", "truncate at open", "fallocate"])
@pytest.mark.parametrize("member", [False, True], ids=["outsider", "member"])
def test_setgid_without_execution_goes_with_a_writer_of_another_group(shared_mount, unprivileged, change, member):
    write(shared_mount.join("f"), b"x" * 5000)
    os.chown(shared_mount.join("f"), 0, unprivileged[1] if member else 0)
    os.chmod(shared_mount.join("f"), 0o6767)
    assert as_user(unprivileged, lambda: change(shared_mount.join("f"))) == 0
    assert stat.S_IMODE(os.stat(shared_mount.join("f")).st_mode) == (0o2767 if member else 0o767)


@pytest.mark.parametrize("change", [lambda p: write(p, b"y", os.O_WRONLY | os.O_APPEND), lambda p: os.truncate(p, 1 << 20),
                                    lambda p: files.fallocate(p, 0, 1 << 21), lambda p: files.fallocate(p, 1 << 19, 4096, 3)],
                         ids=["append", "truncate", "fallocate", "punch"])
def test_changed_program_runs_without_its_setuid(shared_mount, unprivileged, change):
    """The kernel goes by the mode that it has cached, so it must have been told."""
    program = shared_mount.join("id")
    shutil.copy("/usr/bin/id", program)
    files.write(program, b"x", 1 << 20)
    os.chmod(program, 0o6777)
    user = {"user": unprivileged[0], "group": unprivileged[1], "extra_groups": [], "capture_output": True, "text": True}
    assert subprocess.run([program, "-u"], **user).stdout == "0\n"
    assert as_user(unprivileged, lambda: change(program)) == 0
    assert subprocess.run([program, "-u"], **user).stdout == f"{unprivileged[0]}\n"


def test_sticky_directory(shared_mount, unprivileged):
    os.mkdir(shared_mount.join("t"))
    os.chmod(shared_mount.join("t"), 0o1777)
    write(shared_mount.join("t/mine"), b"")
    assert as_user(unprivileged, lambda: os.unlink(shared_mount.join("t/mine"))) == errno.EPERM
    assert as_user(unprivileged, lambda: write(shared_mount.join("t/his"), b"")) == 0
    assert os.stat(shared_mount.join("t/his")).st_uid == unprivileged[0]


def test_acls_are_enforced(shared_mount, unprivileged):
    write(shared_mount.join("f"), b"x")
    os.chmod(shared_mount.join("f"), 0o600)
    assert as_user(unprivileged, lambda: read(shared_mount.join("f"))) == errno.EACCES
    run("setfacl", "-m", f"u:{unprivileged[0]}:r", shared_mount.join("f"))
    assert as_user(unprivileged, lambda: read(shared_mount.join("f"))) == 0
    assert as_user(unprivileged, lambda: write(shared_mount.join("f"), b"y")) == errno.EACCES
    os.chmod(shared_mount.join("f"), 0o600)       # the mask now hides the entry
    assert as_user(unprivileged, lambda: read(shared_mount.join("f"))) == errno.EACCES


def test_acl_inheritance(mounted):
    os.mkdir(mounted.join("d"))
    run("setfacl", "-d", "-m", "u:1234:rwx,g::rx,o::-", mounted.join("d"))
    write(mounted.join("d/f"), b"")
    os.mkdir(mounted.join("d/e"))
    out = run("getfacl", "-cpn", mounted.join("d/f")).stdout
    assert "user:1234:rwx" in out and "other::---" in out
    out = run("getfacl", "-cpn", mounted.join("d/e")).stdout
    assert "default:user:1234:rwx" in out and "user:1234:rwx" in out


def test_acl_removal(mounted):
    write(mounted.join("f"), b"")
    run("setfacl", "-m", "u:1:rw", mounted.join("f"))
    assert "system.posix_acl_access" in os.listxattr(mounted.join("f"))
    run("setfacl", "-b", mounted.join("f"))
    assert "system.posix_acl_access" not in os.listxattr(mounted.join("f"))


def test_chown_to_nobody_takes_setid_away(mounted):
    write(mounted.join("f"), b"")
    os.chmod(mounted.join("f"), 0o6755)
    os.chown(mounted.join("f"), -1, -1)
    assert stat.S_IMODE(os.stat(mounted.join("f")).st_mode) == 0o755


def test_no_acl_can_be_removed(mounted):
    os.mkdir(mounted.join("d"))
    os.removexattr(mounted.join("d"), "system.posix_acl_default")
    os.removexattr(mounted.join("d"), "system.posix_acl_access")


def setid_after(path, mode, change, ids=None):
    """The mode that @change, made by root or by @ids, leaves of a file with @mode."""
    write(path, b"x" * 8192)
    os.chmod(path, mode)
    assert (as_user(ids, change) if ids else change() or 0) == 0
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("change", ("fallocate", "punch", "copy"))
def test_setid_bits_go_only_with_a_strangers_change(shared_mount, unprivileged, change):
    """No flag of these requests says who may keep the bits (CAP_FSETID), as one of a write does."""
    path, source = shared_mount.join("f"), shared_mount.join("source")
    write(source, b"y" * 4096)

    def copy():
        with open(source, "rb") as src, open(path, "r+b") as dst:
            os.copy_file_range(src.fileno(), dst.fileno(), 4096)
    call = {"fallocate": lambda: files.fallocate(path, 0, 16384) or 0,
            "punch": lambda: files.fallocate(path, 0, 4096, files.PUNCH_HOLE | files.KEEP_SIZE) or 0,
            "copy": lambda: copy() or 0}[change]
    assert setid_after(path, 0o6777, call) == 0o6777
    assert setid_after(path, 0o6777, call, unprivileged) == 0o777
