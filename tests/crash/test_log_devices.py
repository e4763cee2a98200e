"""Power cuts between fsyncs on file systems of several devices: on each another part of what was in flight is there, and the
superblock with the log on some of them only."""
import os
from types import SimpleNamespace

import pytest

from harness import devices, recorded_set
from harness.subject import Subject

from . import log_campaign

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]

STATES, FULL_STATES = 8, 150
PROFILES = {
    "raid1": (2, ("-d", "raid1", "-m", "raid1"), ""),
    "raid1, data single": (2, ("-d", "single", "-m", "raid1"), "nodatacow"),
    "raid10": (4, ("-d", "raid10", "-m", "raid10"), "compress=zstd"),
    "raid5": (3, ("-d", "raid5", "-m", "raid1"), ""),
    "raid6": (4, ("-d", "raid6", "-m", "raid1c3"), ""),
    "raid56, nodes too": (4, ("-d", "raid6", "-m", "raid5"), ""),
}


def record(build, scratch, seed, count, mkfs, options, **kw):
    earlier, record_path = devices.make(scratch, [512] * count, *mkfs), os.path.join(scratch, "record")
    subject = Subject("btrfuse", build)
    try:
        m = subject.mount(earlier[0], ",".join(filter(None, [devices.options(earlier), options])))
        writers, orphan = log_campaign.prepare(m.path, seed)
        base = devices.copy(earlier, ".base")
        os.close(orphan)
        m.umount()
        image = devices.copy(base, ".img")
        m = subject.mount(image[0], ",".join(filter(None, [devices.options(image), options])), env={"BTRFUSE_RECORD": record_path})
        histories = log_campaign.run_writers(m.path, writers, **kw)
        m.umount()
    finally:
        subject.close_all()
    devices.judge(image)
    return SimpleNamespace(logs=recorded_set.open_logs(record_path, count), base=base, histories=histories)


def judge_states(build, recorded, scratch, wanted, seed):
    """(states judged, those with a log, failures in words)."""
    judge, logged, done, failures = log_campaign.DevicesJudge("btrfuse", build), 0, 0, []
    for state, build_state in recorded_set.states(recorded.logs, recorded.base, scratch, wanted, seed):
        paths = build_state([os.path.join(scratch, f"state{done}.{n}") for n in range(len(recorded.logs))])
        allowed = [s for s in (h.between(state.when) for h in recorded.histories) if s]
        why, had_log = judge(paths, allowed)
        done, logged = done + 1, logged + had_log
        if why:
            failures.append(f"{state}: {why}")
    return done, logged, failures


@pytest.mark.parametrize("profile", PROFILES)
def test_crash_states_with_a_log(build, scratch, full, profile):
    seed, wanted = list(PROFILES).index(profile) + 1, FULL_STATES if full else STATES
    recorded = record(build, scratch, seed, *PROFILES[profile], rounds=60 if full else 20)
    done, logged, failures = judge_states(build, recorded, scratch, wanted, seed=5)
    assert not failures, f"{len(failures)} of {done} states are bad:\n" + "\n".join(failures[:5])
    assert done >= wanted
    assert logged >= done // 2, f"only {logged} of {done} states had a log"
