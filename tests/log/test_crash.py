"""A crash while a log is replayed: replayed again, here or in the kernel, it gives the same tree."""
import os
import random

import pytest

from harness import files, image as images, recorder, treeview

from . import campaign, nodes, states

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]


def replay_recorded(subject, image, log_path):
    m = subject.mount(image, env={"BTRFUSE_RECORD": log_path}, hooks=True)
    m.umount()
    return recorder.Log(log_path)


def test_cut_while_replaying(subject, scratch, full):
    """The log and what it names stay as they are until the superblock without a log is there."""
    rng, judged = random.Random(5), []

    def judge(image):
        want = states.kernel_view(image)
        base = images.copy(image, os.path.join(scratch, "before"))
        log = replay_recorded(subject, image, os.path.join(scratch, "record"))
        stop = log.commit_flushes()[0][1] + 2
        plan = [(p, how) for p, how in recorder.plan_around(log, 1, stop)]
        plan = sorted(rng.sample(plan, min(len(plan), 200 if full else 8))) + [(stop, "boundary")]
        for state, build in recorder.states(log, base, scratch, len(plan), plan=plan):
            path = build(os.path.join(scratch, "cut"))
            look_again(subject, path, want, str(state), ours=len(judged) % 2)
            judged.append(states.has_log(path))
            os.unlink(path)
        os.unlink(os.path.join(scratch, "record"))
    campaign.run_states(scratch, 8, 2, judge)
    assert len(judged) >= 8


def test_nothing_of_the_log_is_written_to(subject, scratch):
    """Where the log and what it names are, nothing is written before the superblock without a log; there are many nodes to be
    written and little room between what is used."""
    def prepare(mnt):
        for d in range(3):
            os.mkdir(f"{mnt}/{d}")
            for i in range(400):
                files.write(f"{mnt}/{d}/a file with a name of some length {i}", b"f" * 600)

    def work(mnt):
        for d in range(3):
            for i in range(0, 400, 3):
                os.unlink(f"{mnt}/{d}/a file with a name of some length {i}")
                files.write(f"{mnt}/{d}/another name of some length {i}", b"new" * i)
            states.fsync(f"{mnt}/{d}")
    image = states.make(os.path.join(scratch, "img"), prepare, work, mkfs=("-n", "4096"))
    kept = nodes.places(image)
    log = replay_recorded(subject, image, os.path.join(scratch, "record"))
    published = next(i for i, e in enumerate(log.events) if e.type == recorder.WRITE and e.off == recorder.SUPERBLOCKS[0])
    writes = [e for e in log.events[:published] if e.type == recorder.WRITE]
    assert len(kept) > 50 and sum(e.len for e in writes) > 100 * 4096
    hit = [(e.off, e.len) for e in writes for start, length in kept if e.off < start + length and start < e.off + e.len]
    assert not hit


def look_again(subject, path, want, state, ours):
    if ours:
        m = subject.mount(path)
        got = states.look(m.path, 1 << 62)
        m.umount()
    else:
        got = states.kernel_view(path)
    found = treeview.differences(states.forgive(got, want), states.forgive(want, got), ("before", "after the cut"))
    assert not found, "\n".join([state] + found)
    if ours:
        images.check(path, what=state)
