"""btrfusectl's reports of space are what btrfs prints about the kernel's mount of a copy of the image."""
import os
import re

import pytest

from harness import image as images
from harness.kernel import KernelMount
from harness.shell import output, run

pytestmark = pytest.mark.fuse_only
REPORTS = [("filesystem", "df"), ("filesystem", "df", "-b"), ("filesystem", "show"), ("filesystem", "usage"),
           ("filesystem", "usage", "-k"), ("device", "usage"), ("device", "usage", "--si")]


def without_paths(text):
    """The kernel's mount is on a loop device, ours on an image; runs of blanks follow the path's length."""
    return re.sub(r"(/dev/loop\d+|/[^\s,]+/img[^\s,]*)", "DEVICE", text)


@pytest.fixture
def filled(image, kernel):
    with kernel(image) as k:
        for i in range(40):
            with open(f"{k}/f{i}", "wb") as f:
                f.write(os.urandom(1000 * (i + 1) ** 2))
    return image


def test_reports_are_those_of_btrfs(subject, build, filled):
    twin = images.copy(filled)
    m = subject.mount(filled)
    control = os.path.join(build, "fuse", "btrfusectl")
    ours = {report: output(control, *report, m.path) for report in REPORTS}
    m.umount()
    with KernelMount(twin) as k:
        for report in REPORTS:
            assert without_paths(ours[report]) == without_paths(output("btrfs", *report, k)), report


def test_bad_words(build, scratch):
    control = os.path.join(build, "fuse", "btrfusectl")
    for words in (("filesystem", "df"), ("filesystem", "df", "--nonsense", scratch), ("device", "nothing"),
                  ("filesystem", "usage", "/nowhere")):
        assert run(control, *words, check=False).returncode == 1
