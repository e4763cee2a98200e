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
        relocated, busy = campaign.run_workload(m.path, promises, seed, hooks=m.hooks, **kw)
        m.umount()
    finally:
        subject.close_all()
    images.judge(image)
    return SimpleNamespace(log=recorder.Log(log_path), base=base, promises=promises, relocated=relocated, busy=busy,
                           scratch=scratch, final=image)


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
    assert recorded.busy >= 20, "too few commits that were written while the next transaction changed something"


def test_crash_states(recorded, build, full):
    wanted = FULL_STATES if full else STATES
    done, failures = campaign.judge_states(judge_of(build, recorded), recorded.promises, recorded.log, recorded.base,
                                           recorded.scratch, wanted, seed=7)
    assert not failures, f"{len(failures)} of {len(done)} states are bad:\n" + "\n".join(failures[:5])
    assert len(done) >= min(wanted, STATES)
    assert sum(s.missing_writes >= 2 for s in done) >= len(done) // 2


def superblock_before(log, index):
    return max(i for i, e in enumerate(log.events[:index]) if e.type == recorder.WRITE and e.off == recorder.SUPERBLOCKS[0])


def next_flush(log, index):
    return min([i for i in log.flushes() if i > index], default=len(log.events))


def bad_without(recorded, build, index, first, last):
    """Looks closely at the record without one flush: is some power cut between two of its events bad now?"""
    log = recorded.log.without_flush(index)
    first, last = ([e.at for e in log.events].index(recorded.log.events[i].at) for i in (first, last))
    _, failures = campaign.judge_states(judge_of(build, recorded, ours=False), recorded.promises, log, recorded.base,
                                        recorded.scratch, 200, index, stop_at_first=True,
                                        plan=recorder.plan_around(log, first, last))
    return bool(failures)


def test_missing_flush_before_the_superblock_is_found(recorded, build):
    """The checker's teeth: without that flush the superblock may be there, and not what it points to."""
    pairs = recorded.log.commit_flushes()
    for before, after in random.Random(3).sample(pairs[len(pairs) // 4:-2], 4):
        assert bad_without(recorded, build, before, superblock_before(recorded.log, after) + 1, after), \
            f"flush {before} was deleted and no state is bad"


def test_missing_flush_after_the_superblock_is_found(recorded, build):
    """Without that flush fsync has returned and the superblock may still be lost. (An fsync may also return what an earlier
    commit has made durable already; then this one flush is not missed, and the next is tried.)"""
    log, promises = recorded.log, recorded.promises
    worth = [after for _, after in log.commit_flushes()
             if next_flush(log, after) < len(log.events) and promises.in_copies_between(
                 log.events[after].end, log.events[next_flush(log, after)].at)]
    random.Random(4).shuffle(worth)
    found = 0
    for after in worth[:12]:
        found += bad_without(recorded, build, after, next_flush(log, after) - 1, next_flush(log, after))
        if found == 3:
            return
    raise AssertionError(f"of {len(worth[:12])} deleted flushes only {found} were missed")
