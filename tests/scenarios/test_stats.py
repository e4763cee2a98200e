"""btrfusectl stats: what it counts is what happened."""
import os
import re

import pytest

from harness import files
from harness.shell import run

pytestmark = pytest.mark.fuse_only


def ask(subject, path, *options):
    """Counters by name, and the rows of the table: name -> (count, bytes, mean, p50, p99, p99.9, max)."""
    text = run(subject.ctl, "stats", *options, path).stdout
    head, _, table = text.partition("\n\n")
    counters = {line.split()[0]: int(line.split()[1]) for line in head.splitlines()}
    rows = {}
    for line in table.partition("\n\n")[0].splitlines()[1:]:
        name, *numbers = line.split()
        rows[name] = tuple(int(n) for n in numbers)
    return counters, rows, text


def test_requests_are_counted(subject, mounted):
    before, rows_before, _ = ask(subject, mounted.path)
    for n in range(7):
        files.write(mounted.join(f"f{n}"), os.urandom(8192), sync=True)
    after, rows, text = ask(subject, mounted.path, "-H")

    def more(kind, column):
        return rows[kind][column] - rows_before.get(kind, (0,) * 7)[column]
    assert more("create", 0) == 7 and more("write", 0) == 7 and more("write", 1) == 7 * 8192 and more("fsync", 0) == 7
    assert after["device_bytes_written"] - before["device_bytes_written"] > 7 * 8192
    assert after["device_flushes"] >= before["device_flushes"] + 7
    assert after["faults"] == before["faults"] == 0
    count, _, mean, p50, p99, p999, longest = rows["fsync"]
    assert 0 < mean <= longest and p50 <= p99 <= p999 and p50 <= 2 * longest + 1
    histogram = re.search(r"^fsync, microseconds:\n((?: .*\n)+)", text, re.M).group(1)
    assert sum(int(line.split()[-1]) for line in histogram.splitlines()) == count


def test_nobody_else_may_ask(subject, image, unprivileged):
    m = subject.mount(image, "allow_other")
    os.chmod(m.path, 0o755)

    def ask_as_nobody():
        if run(subject.ctl, "stats", m.path, check=False).returncode:
            raise PermissionError(1, "refused")
    assert files.as_user(unprivileged, ask_as_nobody) == 1
    m.umount()


def test_bad_words(subject, mounted, scratch):
    assert run(subject.ctl, "stats", "-x", mounted.path, check=False).returncode == 1
    assert run(subject.ctl, "stats", check=False).returncode == 1
    assert "not a btrfs" in run(subject.ctl, "stats", scratch, check=False).out
