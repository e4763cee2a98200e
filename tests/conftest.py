"""Fixtures. What is under test is chosen on the command line:

  --build DIR        a meson build folder (default build-test, built with -Dtest_hooks=true)
  --subject kernel   the kernel's btrfs in its place: proves the tests themselves
  --full             long campaigns: all seeds, more crash states
"""
import json
import os
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import image as images     # noqa: E402
from harness import newer_progs, places  # noqa: E402
from harness.kernel import KernelMount  # noqa: E402
from harness.subject import Subject, remove_scratch  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--build", default=os.environ.get("BTRFUSE_BUILD", os.path.join(places.SOURCE, "build-test")))
    parser.addoption("--subject", choices=["btrfuse", "kernel"], default="btrfuse")
    parser.addoption("--full", action="store_true", help="the long campaigns")


def pytest_configure(config):
    # a test run that is stopped still takes its mounts away
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 130))
    for line in ("plain: measures memory or time; left out under a sanitizer",
                 "fuse_only: about what only btrfuse has (options, in place, hooks); not run on the kernel subject",
                 "hooks: needs a test-hooks build",
                 "needs_kernel: needs root and a kernel with btrfs"):
        config.addinivalue_line("markers", line)


def sanitized(build):
    """Whether a build folder is made with a sanitizer."""
    path = os.path.join(build, "meson-info", "intro-buildoptions.json")
    if not os.path.exists(path):
        return False
    with open(path) as f:
        return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in json.load(f))


def have_kernel_btrfs():
    with open("/proc/filesystems") as f:
        return os.geteuid() == 0 and "\tbtrfs\n" in f.read()


def without_guard(item):
    """A race row played with its guard off: what it breaks is no news to a sanitizer."""
    return "guard" in getattr(item, "fixturenames", ()) and item.name.rstrip("]").endswith("-off")


def pytest_collection_modifyitems(config, items):
    """What cannot run here is skipped by name; on the kernel subject what is only ours is left out altogether."""
    if config.getoption("--subject") == "kernel":
        gone = [i for i in items if i.get_closest_marker("fuse_only") or i.get_closest_marker("hooks")]
        config.hook.pytest_deselected(items=gone)
        items[:] = [i for i in items if i not in gone]
    if sanitized(config.getoption("--build")):
        gone = [i for i in items if i.get_closest_marker("plain") or without_guard(i)]
        config.hook.pytest_deselected(items=gone)
        items[:] = [i for i in items if i not in gone]
    if not have_kernel_btrfs():
        why = pytest.mark.skip(reason="needs root and a kernel with btrfs")
        for item in items:
            if item.fspath.dirpath().basename not in ("model", "layers"):
                item.add_marker(why)


@pytest.fixture(scope="session")
def full(request):
    return request.config.getoption("--full")


@pytest.fixture(scope="session")
def session_scratch():
    path = places.make_scratch()
    yield path
    remove_scratch(path)


@pytest.fixture(scope="session")
def progs(session_scratch):
    """btrfs-progs 6.14."""
    folder = os.path.join(session_scratch, "progs")
    os.makedirs(folder, exist_ok=True)
    return newer_progs.unpack(folder)


@pytest.fixture
def scratch():
    """A folder of this test's own; images, mounts and loop devices under it are gone afterwards."""
    path = places.make_scratch()
    yield path
    remove_scratch(path)


@pytest.fixture(scope="session")
def build(request):
    return os.path.abspath(request.config.getoption("--build"))


@pytest.fixture
def subject(request, build, scratch):
    kind = request.config.getoption("--subject")
    it = Subject(kind, None if kind == "kernel" else build)
    if kind == "btrfuse":
        assert os.path.exists(it.binary), f"{it.binary} is not built: meson setup build-test -Dtest_hooks=true && ninja -C build-test"
        if request.node.get_closest_marker("hooks"):
            assert it.has_hooks(), f"{it.binary} has no test hooks"
    yield it
    it.close_all()


@pytest.fixture
def image(scratch):
    """A fresh image of 512 MiB."""
    return images.make(os.path.join(scratch, "img"))


@pytest.fixture
def mounted(subject, image):
    """The subject's mount of a fresh image; the image is judged when the test has passed."""
    m = subject.mount(image)
    yield m
    m.umount()
    images.check(image)


@pytest.fixture(scope="session")
def image_cache(session_scratch):
    """Images that are costly to make: image_cache(name, maker) calls maker(path) once per session; the caller gets a copy."""
    made = {}

    def get(name, maker, to):
        if name not in made:
            made[name] = os.path.join(session_scratch, name + ".master")
            maker(made[name])
        return images.copy(made[name], to)
    return get


@pytest.fixture
def kernel(scratch):
    """kernel(image, options) as a context manager: the kernel's mount of this very image, complaints are failures."""
    return KernelMount


@pytest.fixture(scope="session")
def unprivileged():
    """uid and gid of a user without rights."""
    import pwd
    user = pwd.getpwnam("nobody")
    return user.pw_uid, user.pw_gid


def pytest_report_header(config):
    return f"subject: {config.getoption('--subject')}, build: {config.getoption('--build')}, scratch: " + \
        shutil.os.path.join(places.scratch_parent())
