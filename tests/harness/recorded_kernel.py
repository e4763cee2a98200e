"""The kernel's btrfs on disks that log what is written to them: every image that it would have left, had it been killed."""
import os
import subprocess

from . import copying, recorder
from .devices import KernelDevices
from .kernel import Loop
from .shell import run, wait_until

SUPER = recorder.SUPERBLOCKS[0]


class RecordedDisk:
    """An image behind a file that records: `.path` is that file, `.log_path` the record."""

    def __init__(self, binary, image):
        self.image, self.log_path, self.before = image, image + ".log", image + ".before"
        copying.sparse_copy(image, self.before)
        self.folder = image + ".recorded"
        os.makedirs(self.folder, exist_ok=True)
        self.process = subprocess.Popen([binary, image, self.log_path, self.folder])
        self.path = os.path.join(self.folder, "disk")
        wait_until(lambda: os.path.ismount(self.folder), what="the recording disk")

    def close(self):
        run("umount", self.folder, check=False)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            run("umount", "-l", self.folder, check=False)
            self.process.kill()
            self.process.wait(20)


class RecordedKernel:
    """`with RecordedKernel(build, images) as mnt:` the kernel's mount over recorded disks; @spares are images that it
    may be given meanwhile (`.spares` are loop devices over them). Afterwards commits() builds what was on all of them
    after each of its commits."""

    def __init__(self, build, images, options="", spares=()):
        self.binary = os.path.join(build, "tests", "harness", "recording-disk")
        self.images, self.options, self.spare_images = images, options, spares
        self.disks, self.spare_loops, self.mount = [], [], None

    def __enter__(self):
        try:
            for image in [*self.images, *self.spare_images]:
                self.disks.append(RecordedDisk(self.binary, image))
            paths = [d.path for d in self.disks]
            self.spare_loops = [Loop(path) for path in paths[len(self.images):]]
            self.spares = [loop.device for loop in self.spare_loops]
            mountpoint = self.images[0] + ".mnt"
            os.makedirs(mountpoint, exist_ok=True)
            self.mount = KernelDevices(paths[:len(self.images)], self.options, mountpoint=mountpoint)
            return self.mount.mount().path
        except BaseException:
            self._close()
            raise

    def _close(self):
        if self.mount:
            self.mount.close()
        for loop in self.spare_loops:
            run("btrfs", "device", "scan", "-u", loop.device, check=False)
            loop.close()
        for disk in self.disks:
            disk.close()

    def __exit__(self, kind, *_):
        if kind is None:
            self.mount.umount()
        self._close()

    def commits(self):
        """Yields (number, build) for each commit; build(paths) makes the images right after it."""
        logs = [recorder.Log(disk.log_path) for disk in self.disks]
        walkers = [recorder.Walker(log, disk.before, disk.image + ".durable") for log, disk in zip(logs, self.disks)]
        try:
            for number, when in enumerate(commit_times(logs[0])):
                for log, walker in zip(logs, walkers):
                    walker.advance(log.position_at(when))
                yield number, lambda paths: [w.build(w.boundary(), p) for w, p in zip(walkers, paths)]
        finally:
            for walker in walkers:
                walker.close()


def commit_times(log):
    """When a primary superblock was durable and nothing else was written yet: those of the other disks are durable too."""
    written, durable, found = False, False, []
    for e in log.events:
        if e.type == recorder.WRITE:
            if durable:
                found.append(log.time(e) - 1)
                durable = False
            written = written or e.off <= SUPER < e.off + e.len
        elif e.type == recorder.FLUSH_DONE and written:
            written, durable = False, True
    if durable:                             # the unmount's
        found.append(log.time(log.events[-1]))
    return found
