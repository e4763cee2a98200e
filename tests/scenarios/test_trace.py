"""The daemon does what the model of the gate does: traces of a stress run are accepted by spin, mutated ones are not."""
import os
import time
from types import SimpleNamespace

import pytest

from harness import image as images, ioctls
from harness.places import make_scratch
from harness.shell import wait_until
from harness.subject import Subject, remove_scratch
from model import trace

from .race import Race, both_ways
from .workload import Writers

pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks]
PROJECTIONS, FULL_PROJECTIONS = 12, 200
EXAMPLES = 2        # of each mutation


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    return trace.Checker(str(tmp_path_factory.mktemp("p1")))


@pytest.fixture(scope="module")
def stress(build, request):
    """Direct writers on nodatacow and preallocated files while balances run; what it says in parts that the model knows."""
    full = request.config.getoption("--full")
    scratch = make_scratch()
    path = os.path.join(scratch, "trace")
    subject = Subject("btrfuse", build)
    try:
        m = subject.mount(images.make(os.path.join(scratch, "img"), 512), env={"BTRFUSE_TRACE": path}, hooks=True)
        for n in range(30 if full else 4):
            one_round(m, m.join(f"round{n}"))
        m.umount()
    finally:
        subject.close_all()
    events = trace.read(path)
    remove_scratch(scratch)
    yield SimpleNamespace(events=events, steps=trace.projections(events), accepted=FULL_PROJECTIONS if full else PROJECTIONS)


def one_round(m, folder):
    """New files, which are of one extent each; writers; and a balance in the middle, which meets two of them with tokens and lets
    all come by while it has its copies."""
    os.mkdir(folder)
    writers = Writers(folder, count=4, file_blocks=32)
    writers.prepare()
    for n in (0, 1):                        # one that overwrites, one on preallocated space
        m.hooks.arm("wr.io_pre", 10, ino=os.stat(writers.path(n)).st_ino)
    writers.start(seconds=0.3)
    wait_until(lambda: m.hooks.threads().count("wr.io_pre") == 2, 10, what="both writers")
    m.hooks.arm("rl.ro")
    balance = ioctls.BalanceThread(m.path, data={})
    m.hooks.wait("rl.ro")
    m.hooks.arm("rl.switch_pre")
    m.hooks.release("wr.io_pre")
    m.hooks.release("rl.ro")
    m.hooks.wait("rl.switch_pre")
    time.sleep(0.03)
    m.hooks.release("rl.switch_pre")
    assert balance.finish().error == 0
    writers.finish()


def listing(steps):
    return "\n".join(map(str, steps))


def test_a_stress_run_is_accepted(stress, checker):
    assert len(stress.steps) >= PROJECTIONS, f"{len(stress.steps)} projections of {len(stress.events)} events"
    for steps in stress.steps[:stress.accepted]:
        assert checker.accepts(steps), listing(steps)


def test_the_stress_run_is_worth_it(stress):
    """Every action of the model happens."""
    seen = {s.action for steps in stress.steps for s in steps}
    assert seen >= set(trace.ACTIONS), set(trace.ACTIONS) - seen


@pytest.mark.parametrize("kind", trace.MUTATIONS)
def test_a_mutated_trace_is_rejected(stress, checker, kind):
    pairs = [(steps, trace.MUTATIONS[kind](steps)) for steps in stress.steps]
    pairs = [(right, wrong) for right, wrong in pairs if wrong and wrong not in stress.steps]
    assert pairs, "no trace can be mutated this way"
    for right, wrong in pairs[:EXAMPLES]:
        assert checker.accepts(right), listing(right)
        assert not checker.accepts(wrong), listing(wrong)


@both_ways("drain")
def test_a_trace_without_the_drain_is_rejected(subject, image_cache, scratch, checker, guard):
    """Row 1, told to the model."""
    path = os.path.join(scratch, "trace")
    race = Race(subject, image_cache, scratch, guard, env={"BTRFUSE_TRACE": path})
    for block in (10, 11) * (trace.CYCLES_BEFORE + 1):
        race.writer(block=block).end()

    race.arm("wr.token", ino=race.file.inode)
    writer = race.writer(block=10)
    race.must_park("wr.token")
    race.arm("rl.drained")
    race.relocate()
    if race.on:
        assert not race.parked("rl.drained", 0.3)
        race.release("wr.token")
        writer.end()
    race.must_park("rl.drained")
    race.release("rl.drained")
    race.relocation.finish()
    race.release("wr.token")
    writer.join(5)
    race.mounted.kill()

    events = trace.read(path)
    (first, last), = [(a, b) for a, b in trace.relocations(events) if events[a]["bg"] == race.moving and trace.covers(
        events[b], race.file.disk)]
    steps = trace.project(events, trace.Places(events).advance(first), first, last, [race.file.disk + block * 4096 for block in (10, 11)])
    assert steps and checker.accepts(steps) == race.on, listing(steps)
