"""What is under test: a btrfuse build, or the kernel's btrfs standing in for it so that the tests themselves can be proven.

A Mounted is one live mount. umount() returns when the image is complete and fails on anything that the daemon should not
have said or done; kill() is SIGKILL and leaves the image as it is at that moment.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from .hooks import Hooks
from .kernel import KernelMount
from .shell import CommandFailed, run, wait_until

SANITIZER = re.compile(r"(ThreadSanitizer|AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|"
                       r"Assertion .* failed|lock rank|watchdog)")


class MountRefused(RuntimeError):
    def __init__(self, code, text):
        self.code, self.text = code, text
        super().__init__(f"mount refused, exit {code}: {text}")


class Mounted:
    path = image = None
    hooks = None

    def join(self, *parts):
        return os.path.join(self.path, *parts)


class KernelMounted(Mounted):
    def __init__(self, image, mountpoint, options):
        self.image, self.path = image, mountpoint
        self._mount = KernelMount(image, ",".join(o for o in options.split(",") if o and not o.startswith(
            ("cache_size=", "threads=", "allow_other"))), mountpoint)
        self._mount.mount()

    def umount(self, timeout=60):
        self._mount.umount()

    def close(self):
        self._mount.close()


class FuseMounted(Mounted):
    """A btrfuse in the foreground, as our child: its exit code, standard error and memory are at hand."""

    def __init__(self, binary, image, mountpoint, options, env, hooks, wrapper=()):
        self.image, self.path, self.killed = image, mountpoint, False
        self.expected_noise = None
        self.run_dir = tempfile.mkdtemp(prefix="run.", dir=os.path.dirname(image))
        environment = {**os.environ, **(env or {})}
        environment.setdefault("TSAN_OPTIONS", "halt_on_error=0 exitcode=66 second_deadlock_stack=1")
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        socket_path = os.path.join(self.run_dir, "hooks")
        if hooks:
            environment["BTRFUSE_TEST_SOCKET"] = socket_path
        self._stderr_path = os.path.join(self.run_dir, "stderr")
        with open(self._stderr_path, "wb") as err:
            argv = [*wrapper, binary, "-f", *(["-o", options] if options else []), image, mountpoint]
            self.process = subprocess.Popen(argv, stdout=err, stderr=err, stdin=subprocess.DEVNULL, env=environment)
        self._wait_mounted()
        if hooks:
            self.hooks = Hooks(socket_path)

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        with open(self._stderr_path, errors="replace") as f:
            return f.read()

    def _wait_mounted(self):
        def ready():
            return self.process.poll() is not None or os.path.ismount(self.path)
        try:
            wait_until(ready, 60, what="the mount")
        except TimeoutError:
            self.close()
            raise
        if self.process.poll() is not None:
            code, text = self.process.returncode, self.stderr()
            self.close()
            raise MountRefused(code, text)

    def status(self, name):
        """A line of /proc/PID/status, e.g. VmHWM, in KiB."""
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(rf"^{name}:\s+(\d+)", f.read(), re.M).group(1))

    def umount(self, timeout=120):
        try:
            self._umount(timeout)
            text = self.stderr()
            assert self.process.returncode == 0, f"btrfuse ended with {self.process.returncode}:\n{text[-6000:]}"
            self._expect_silence(text)
        finally:
            self.close()

    def _umount(self, timeout):
        if self.hooks:
            self.hooks.close()
        end = time.monotonic() + timeout
        while True:
            done = run("umount", self.path, check=False, timeout=timeout)
            if done.returncode == 0 or self.process.poll() is not None:
                break
            if time.monotonic() > end:
                raise CommandFailed(["umount", self.path], done.returncode, done.out)
            time.sleep(0.05)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"btrfuse still runs {timeout} s after umount\n{self.stderr()[-6000:]}") from None

    def _expect_silence(self, text):
        for line in text.splitlines():
            if SANITIZER.search(line) and not (self.expected_noise and re.search(self.expected_noise, line)):
                raise AssertionError(f"btrfuse said:\n{text[-12000:]}")

    def kill(self):
        """SIGKILL, then the dead mount is taken away. What the daemon handed to the device stays in the image."""
        self.killed = True
        self.process.kill()
        self.process.wait(30)
        self.clean_mountpoint()

    def wait_death(self, timeout=30):
        self.process.wait(timeout)
        self.killed = True
        self.clean_mountpoint()

    def clean_mountpoint(self):
        """Of a dead daemon: whoever still has a file open there gets nothing any more."""
        for _ in range(10):
            if run("umount", self.path, check=False).returncode == 0 or not dead_or_mounted(self.path):
                break
            time.sleep(0.05)
        else:
            run("umount", "-l", self.path, check=False)
        detach_loops(self.image)
        detach_loops(self.run_dir)

    def close(self):
        """Whatever state it is in, nothing is left: no process, no mount, no loop device."""
        if self.hooks:
            self.hooks.close()
        if self.process.poll() is None:
            if dead_or_mounted(self.path):
                run("umount", "-l", self.path, check=False)
            try:
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)
        if dead_or_mounted(self.path):
            run("umount", "-l", self.path, check=False)
        detach_loops(self.image)


def dead_or_mounted(path):
    """A mount whose daemon is dead answers ENOTCONN and is still there."""
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == path for line in f)


def detach_loops(prefix):
    done = run("losetup", "-n", "-O", "NAME,BACK-FILE", check=False)
    for line in done.stdout.splitlines():
        name, _, back = line.partition(" ")
        if back.strip().startswith(prefix):
            run("losetup", "-d", name, check=False)


class Subject:
    """Mounts images with what is under test."""

    def __init__(self, kind, build=None):
        self.kind, self.build = kind, build
        self.binary = os.path.join(build, "fuse", "btrfuse") if build else None
        self.ctl = os.path.join(build, "fuse", "btrfusectl") if build else None
        self.live = []

    @property
    def is_kernel(self):
        return self.kind == "kernel"

    def mount(self, image, options="", env=None, hooks=False, mountpoint=None, wrapper=()):
        mountpoint = mountpoint or tempfile.mkdtemp(prefix="mnt.", dir=os.path.dirname(image))
        if self.is_kernel:
            mounted = KernelMounted(image, mountpoint, options)
        else:
            mounted = FuseMounted(self.binary, image, mountpoint, options, env, hooks, wrapper)
        self.live.append(mounted)
        return mounted

    def close_all(self):
        for mounted in self.live:
            try:
                mounted.close()
            except OSError:
                pass
        self.live.clear()

    def has_hooks(self):
        if self.is_kernel:
            return False
        with open(self.binary, "rb") as f:
            return b"BTRFUSE_TEST_SOCKET" in f.read()


def remove_scratch(path):
    """Takes away a scratch folder and every mount and loop device under it."""
    with open("/proc/self/mountinfo") as f:
        points = [line.split()[4] for line in f]
    for point in sorted((p for p in points if p.startswith(path + "/")), reverse=True):
        run("umount", "-l", point, check=False)
    detach_loops(path + "/")
    shutil.rmtree(path, ignore_errors=True)
