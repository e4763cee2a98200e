"""What users get has no trace of the test machinery: no sync point, no guard, no socket, no recorder."""
import glob
import os
import re

import pytest

from harness import places
from harness.shell import output, run

pytestmark = pytest.mark.fuse_only

POINT = re.compile(r'\b(?:SP|SP_FAIL|TRACE)\(\s*"([^"]+)"')
VARIABLES = {"BTRFUSE_TEST_SOCKET", "BTRFUSE_TEST_WATCHDOG", "BTRFUSE_RECORD", "BTRFUSE_TRACE"}


def sources():
    for layer in ("disk", "core", "relocation", "fuse"):
        for path in glob.glob(os.path.join(places.SOURCE, layer, "**", "*.[ch]"), recursive=True):
            with open(path) as f:
                yield f.read()


def point_names():
    return {name for text in sources() for name in POINT.findall(text)}


def guard_names():
    with open(os.path.join(places.SOURCE, "disk/base/sync_point.h")) as f:
        return set(re.findall(r"X\((\w+)\)", f.read().split("#define SYNC_GUARDS(X)")[1].split("enum")[0]))


def traces(binary):
    """Names of the machinery that stand in the program, as a string of their own or as part of a symbol."""
    strings = set(output("strings", "-n", "3", binary).splitlines())
    symbols = {line.split()[-1] for line in run("nm", binary, check=False).stdout.splitlines()}
    found = (point_names() | guard_names() | VARIABLES) & strings
    return found | {s for s in symbols if re.search(r"sync_(point|guard|server|trace|schedule)", s)}


@pytest.fixture(scope="session")
def release(session_scratch):
    """The programs of a release build: BTRFUSE_RELEASE says where one is, otherwise one is made."""
    folder = os.environ.get("BTRFUSE_RELEASE")
    if not folder:
        folder = os.path.join(session_scratch, "release")
        run("meson", "setup", "--buildtype=release", folder, places.SOURCE)
        run("ninja", "-j2", "-C", folder, "fuse/btrfuse", "fuse/btrfusectl", timeout=600)
    return [os.path.join(folder, "fuse", name) for name in ("btrfuse", "btrfusectl")]


def test_a_release_has_no_trace_of_the_test_machinery(release):
    for binary in release:
        assert not traces(binary), binary


@pytest.mark.hooks
def test_the_search_finds_what_is_there(subject):
    names = point_names() | guard_names() | VARIABLES
    merged = {n for n in names for other in names if other != n and other.endswith(n)}     # the linker keeps one of them
    assert names - merged <= traces(subject.binary)
