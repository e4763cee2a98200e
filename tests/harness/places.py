"""Where things are: the source tree, the build under test, and a scratch folder that can do O_DIRECT."""
import mmap
import os
import shutil
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def does_o_direct(folder):
    path = os.path.join(folder, f".odirect.{os.getpid()}")
    try:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_DIRECT", 0), 0o600)
    except OSError:
        return False
    finally:
        if os.path.exists(path):
            os.unlink(path)
    try:
        return os.pwrite(fd, mmap.mmap(-1, 4096), 0) == 4096
    except OSError:
        return False
    finally:
        os.close(fd)


def scratch_parent():
    """Memory first (fast, and a shared disk does not decide), any folder that can do O_DIRECT otherwise."""
    for folder in (os.environ.get("BTRFUSE_TEST_TMP"), "/dev/shm", "/var/tmp", "/tmp"):
        if folder and os.access(folder, os.W_OK) and does_o_direct(folder) and \
                shutil.disk_usage(folder).free > 3 << 30:
            return folder
    raise RuntimeError("no folder that can do O_DIRECT with 3 GiB free: set BTRFUSE_TEST_TMP")


def make_scratch():
    path = tempfile.mkdtemp(prefix="btrfuse-test.", dir=scratch_parent())
    os.chmod(path, 0o755)
    return path
