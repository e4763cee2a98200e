"""Rows about power cuts: a workload with balances under the recorder, then crash states until one is bad."""
import os

import pytest

from crash import campaign
from harness import image as images, recorder
from harness.subject import Subject

STATES = 80


def play(build, scratch, guard, seed):
    name, on = guard
    image = images.make(os.path.join(scratch, "img"), 512)
    base = images.copy(image, os.path.join(scratch, "base"))
    promises = campaign.Promises(os.path.join(scratch, "log"))
    subject = Subject("btrfuse", build)
    broken = None
    try:
        m = subject.mount(image, env={"BTRFUSE_RECORD": promises.log_path}, hooks=True)
        m.hooks.guard(name, on)
        try:
            campaign.run_workload(m.path, promises, seed, rounds=25, balances=2)
        except (OSError, AssertionError) as e:      # what breaks while it runs counts, too
            broken = str(e)
        m.kill()
    finally:
        subject.close_all()
    files = promises.block_files
    judge = campaign.Judge("btrfuse", build, {n: f.issued for n, f in files.items()},
                           {n: f.file_id for n, f in files.items()}, ours=False)
    done, failures = campaign.judge_states(judge, promises, recorder.Log(promises.log_path), base, scratch,
                                           STATES if on else 4 * STATES, seed, stop_at_first=True)
    if on:
        assert not broken, broken
        assert not failures, failures[0]
        assert len(done) >= STATES, len(done)
    elif not failures:
        pytest.fail(f"guard {name} is off and none of {len(done)} power cuts is bad: the test has no teeth")
    else:
        print(f"guard {name} off: {failures[0]}")
