"""A file's size is not forgotten when its bytes were in memory while the inode item was written."""
import os

from harness import files, image as images, ioctls


def grow_while_dirty(mnt):
    """A nodatacow file whose old end is dirty in memory when a commit writes its item; then written back in place."""
    path = files.nocow(f"{mnt}/f")
    files.write(path, b"a" * 920, sync=True)
    files.write(path, b"b" * 3176, 920)
    files.commit(mnt)
    return path


def test_buffered(subject, image):
    m = subject.mount(image)
    path = grow_while_dirty(m.path)
    ioctls.sync_fs(m.path)
    m.umount()
    again = subject.mount(image)
    assert files.read(again.join("f")) == b"a" * 920 + b"b" * 3176, path
    again.umount()
    images.judge(image)


def test_fsynced_then_killed(subject, image):
    m = subject.mount(image)
    path = grow_while_dirty(m.path)
    fd = os.open(path, os.O_RDWR)
    os.fdatasync(fd)
    os.close(fd)
    if hasattr(m, "kill"):
        m.kill()
    else:
        m.umount()
    again = subject.mount(image)
    assert os.stat(again.join("f")).st_size == 4096
    again.umount()
    images.judge(image)


def test_grown_over_a_hole_by_a_direct_write(subject, image):
    """The unaligned old end becomes a dirty zero-filled block; the direct write behind it raises the size."""
    m = subject.mount(image)
    path = files.nocow(m.join("f"))
    files.write(path, b"a" * 920, sync=True)
    from harness.blocks import DirectFile
    direct = DirectFile(path)
    direct.write(b"d" * 8192, 122880)
    direct.close()
    files.commit(m.path)
    m.umount()
    again = subject.mount(image)
    assert os.stat(again.join("f")).st_size == 131072
    again.umount()
    images.judge(image)
