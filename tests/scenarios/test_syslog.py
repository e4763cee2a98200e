"""In the background faults go to syslog: one line each, that says what is broken."""
import os
import socket

import pytest

from harness import dump, files, image as images
from harness.shell import run, wait_until
from harness.subject import dead_or_mounted

pytestmark = pytest.mark.fuse_only


@pytest.fixture
def syslog(scratch):
    """What btrfuse says to /dev/log while this test runs; whoever listens there otherwise hears nothing."""
    there = os.path.exists("/dev/log")
    path = os.path.join(scratch, "log") if there else "/dev/log"
    box = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    box.bind(path)
    box.settimeout(0.3)
    if there:
        run("mount", "--bind", path, "/dev/log")

    def read():
        lines = []
        try:
            while True:
                lines.append(box.recv(65536).decode(errors="replace").rstrip("\0\n"))
        except TimeoutError:
            return [line for line in lines if "btrfuse[" in line]
    yield read
    box.close()
    run("umount", "/dev/log") if there else os.unlink("/dev/log")


def test_one_line_for_each_fault(subject, image, scratch, syslog):
    m = subject.mount(image)
    files.write(m.join("good"), b"g" * 8192, sync=True)
    files.write(m.join("bad"), os.urandom(8192), sync=True)
    ino = files.inode(m.join("bad"))
    m.umount()
    with open(image, "r+b") as f:
        for at in dump.physical(image, dump.file_extents(image, ino)[0].disk):
            f.seek(at)
            f.write(os.urandom(4096))
    point = os.path.join(scratch, "mnt")
    os.mkdir(point)
    assert run(subject.binary, image, point).out == ""
    try:
        assert files.read(f"{point}/good") == b"g" * 8192
        assert syslog() == []
        with pytest.raises(OSError):
            files.read(f"{point}/bad")
        lines = syslog()
    finally:
        run("umount", point)
        wait_until(lambda: not dead_or_mounted(point), what="umount")
    assert lines and len(set(lines)) == len(lines), lines
    assert all("\n" not in line for line in lines), lines
    assert any(f"inode {ino}" in line for line in lines) or any("checksum" in line for line in lines), lines
