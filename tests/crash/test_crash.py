"""Power cuts: every flush boundary and random subsets of what was in flight must check clean, mount here and in the
kernel, and hold all that was fsynced before."""
import os
import random
from types import SimpleNamespace

import pytest

from harness import image as images, recorder
from harness.places import make_scratch
from harness.subject import Subject, remove_scratch

from . import campaign

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]

STATES, FULL_STATES = 300, 10_000


def record(build, scratch, seed, **kw):
    """Runs the workload under the recorder; returns log, base image, promises and the number of relocated groups."""
    image = images.make(os.path.join(scratch, "img"), 512)
    base = images.copy(image, os.path.join(scratch, "base"))
    log_path = os.path.join(scratch, "log")
    promises = campaign.Promises(log_path)
    subject = Subject("btrfuse", build)
    try:
        m = subject.mount(image, env={"BTRFUSE_RECORD": log_path}, hooks=True)
        relocated = campaign.run_workload(m.path, promises, seed, **kw)
        m.umount()
    finally:
        subject.close_all()
    images.judge(image)
    return SimpleNamespace(log=recorder.Log(log_path), base=base, promises=promises, relocated=relocated, scratch=scratch,
                           final=image)


@pytest.fixture(scope="module")
def recorded(build):
    scratch = make_scratch()
    yield record(build, scratch, 1)
    remove_scratch(scratch)


def judge_of(build, recorded, ours=True):
    names = recorded.promises.block_files
    return campaign.Judge("btrfuse", build, {n: f.issued for n, f in names.items()},
                          {n: f.file_id for n, f in names.items()}, ours)


def test_replay_of_everything_is_the_image(recorded, scratch):
    """The record is complete: replayed to its end it gives the image, byte for byte."""
    walker = recorder.Walker(recorded.log, recorded.base, os.path.join(scratch, "all"))
    walker.advance(len(recorded.log.events))
    path = walker.build(walker.boundary(), os.path.join(scratch, "end"))
    walker.close()
    assert images.sha256(path) == images.sha256(recorded.final)


def test_workload_is_worth_it(recorded):
    assert len(recorded.log.commit_flushes()) >= 40, "too few commits"
    assert recorded.relocated >= 8, "too few relocated groups"


def test_crash_states(recorded, build, full):
    wanted = FULL_STATES if full else STATES
    done, failures = campaign.judge_states(judge_of(build, recorded), recorded.promises, recorded.log, recorded.base,
                                           recorded.scratch, wanted, seed=7)
    assert not failures, f"{len(failures)} of {len(done)} states are bad:\n" + "\n".join(failures[:5])
    assert len(done) >= min(wanted, STATES)
    assert sum(s.missing_writes >= 2 for s in done) >= len(done) // 2


@pytest.mark.parametrize("which", ["before the superblock", "after the superblock"])
def test_a_missing_flush_is_found(recorded, build, which):
    """The checker's teeth: delete one flush of a commit from the record, and some state must be bad."""
    pairs = recorded.log.commit_flushes()
    rng = random.Random(3)
    for pair in rng.sample(pairs[len(pairs) // 4:-2], 4):
        index = pair[which.startswith("after")]
        log = recorded.log.without_flush(index)
        flushes = log.flushes()
        start = max([f for f in flushes if f < index], default=0)
        later = [f for f in flushes if f >= index]
        stop = later[1] if len(later) > 1 else len(log.events)
        done, failures = campaign.judge_states(judge_of(build, recorded, ours=False), recorded.promises, log, recorded.base,
                                               recorded.scratch, 60, seed=index, stop_at_first=True, start=start, stop=stop)
        assert failures, f"the flush {which} (event {index}) was deleted and none of {len(done)} states is bad"
