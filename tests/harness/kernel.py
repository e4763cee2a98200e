"""Mounting an image with the kernel's btrfs: the second opinion, and the subject that proves the tests themselves."""
import os
import tempfile
import time

from . import superblock
from .kmsg import KernelLog
from .shell import CommandFailed, run


def log_pending(image):
    return superblock.read(image).u64(superblock.LOG_ROOT) != 0


class Loop:
    """A loop device over a file; detached by close(), whatever happened."""

    def __init__(self, path, readonly=False):
        self.path = path
        argv = ["losetup", "-f", "--show"] + (["-r"] if readonly else []) + [path]
        for attempt in range(20):
            try:
                self.device = run(*argv).stdout.strip()
                return
            except CommandFailed:        # several tests at once ask for the same free device
                if attempt == 19:
                    raise
                time.sleep(0.05)

    def close(self):
        """Detaches it, and waits until it is gone: a program of somebody else that looks at all devices may have it open."""
        if self.device:
            for _ in range(50):
                run("losetup", "-d", self.device, check=False)
                if not self._is_there():
                    break
                time.sleep(0.05)
            self.device = None

    def _is_there(self):
        try:
            with open(f"/sys/block/{os.path.basename(self.device)}/loop/backing_file") as f:
                return f.read().strip() == self.path
        except OSError:
            return False


class KernelMount:
    """`with KernelMount(image) as mnt:`; on leaving, complaints of the kernel are a failure."""

    def __init__(self, image, options="", mountpoint=None, allow_complaints=False):
        self.image, self.options, self.allow_complaints = image, options, allow_complaints
        self.path = mountpoint or tempfile.mkdtemp(prefix="kernel.", dir=os.path.dirname(image))
        self.own_mountpoint = mountpoint is None
        self.mounted, self.loop, self.log = False, None, None
        self.complaints = []

    def mount(self):
        # where fsync left a log the kernel replays it first, with ro too, if it can write
        readonly = "ro" in self.options.split(",") and not log_pending(self.image)
        self.log = KernelLog()
        self.loop = Loop(self.image, readonly)
        try:
            self._mount()
        except BaseException:
            self.complaints = self.log.complaints(self.loop.device)
            self.close()
            raise
        self.mounted = True
        return self

    def _mount(self):
        """A fusermount3 of somebody else copies the whole mount table for a moment: what was unmounted meanwhile is still open
        then, and its twin refused."""
        for attempt in range(100):
            try:
                return run("mount", "-t", "btrfs", *(["-o", self.options] if self.options else []), self.loop.device, self.path)
            except CommandFailed as e:
                if "File exists" not in str(e) or attempt == 99:
                    raise
                time.sleep(0.05)

    def umount(self):
        try:
            if self.mounted:
                for attempt in range(100):
                    done = run("umount", self.path, check=False)
                    if done.returncode == 0:
                        break
                    if attempt == 99:
                        raise CommandFailed(["umount", self.path], done.returncode, done.out)
                    time.sleep(0.05)
                self.mounted = False
            self.complaints += self.log.complaints(self.loop.device)
        finally:
            self.close()
        if self.complaints and not self.allow_complaints:
            raise AssertionError("the kernel complains about the image:\n" + "\n".join(self.complaints))

    def close(self):
        if self.mounted:
            run("umount", "-l", self.path, check=False)
            self.mounted = False
        if self.loop:
            self.loop.close()
        if self.log:
            self.log.close()
        if self.own_mountpoint and os.path.isdir(self.path) and not os.path.ismount(self.path):
            os.rmdir(self.path)

    def __enter__(self):
        return self.mount().path

    def __exit__(self, kind, *_):
        if kind is None:
            self.umount()
        else:
            self.close()
