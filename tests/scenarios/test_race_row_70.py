"""Race row 70: the order is left to chance.

A scheduler in the daemon parks every thread that comes to a sync point and lets one go at a time, chosen by chance from a seed;
writers of every kind, a reader, balances, commits, truncation, clones and files that come and go are what it has to choose from
(chance.py). With all guards on no seed may find anything. Without one of them some seed must: here those that are known to, and
with --full all are tried until one does.

A seed decides what everybody does and who of the parked goes on, not how fast the machine is: so a seed that found something once
mostly does again. Where one does not, the next of its list is tried; a miss of all is a failure.
"""
import os
import re

import pytest

from harness import places

from .chance import Chance, found

# plain: one thread at a time leaves a thread sanitizer nothing to see
pytestmark = [pytest.mark.fuse_only, pytest.mark.hooks, pytest.mark.plain]
SEEDS, FULL_SEEDS = 10, 200

# what a seed is about (chance.Profile): power cuts, calls that fail, few threads, a damaged block
CUTS, FAULTS, FEW, DAMAGED = (1, 3, 6, 8, 11, 13, 16, 18), (2, 7, 12, 17, 22, 27), (4, 14, 24, 34), (9, 19, 29)
ANY = (0, 5, 2, 7, 10, 15)

# guard -> seeds that are known to find that it is off, the best first. The guards that are not here take many seeds: with --full
KNOWN = {
    "ro_check": ANY,
    "copy_flush": CUTS,
    "last_snapshot": ANY,
    "switch_cas": ANY,
    "divert": ANY,
    "put_on_error": (7, *FAULTS),
    "hold_trans": ANY,
    "switch_fsync": CUTS,
    "keep_type": ANY,
    "all_pieces": ANY,
    "crossref": ANY,
    "inflight_wait": ANY,
    "bad_source": DAMAGED,
    "ro_undo": (5, 7, *ANY),
    "own_thread": FEW,
    "exclop": ANY,
    "give_back": (7, *FAULTS),
    "reserve_switch": FAULTS,
    "settle_again": ANY,
    "resume_rule": ANY,
}
# What chance does not put together here; rows 46, 19 and 45 do. An empty group in which somebody has just been given space, while
# nodes want it; freed space that is given to somebody before the commit is durable; space taken in a group between its drain and its
# last scan, and not used until relocation has given up.
NOT_BY_CHANCE = {"bg_remove", "pin", "cluster_check"}


def guards():
    with open(os.path.join(places.SOURCE, "disk/base/sync_point.h")) as f:
        return re.findall(r"X\((\w+)\)", f.read().split("#define SYNC_GUARDS(X)")[1].split("enum")[0])


def pytest_generate_tests(metafunc):
    full = metafunc.config.getoption("--full")
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(FULL_SEEDS if full else SEEDS))
    if "guard" in metafunc.fixturenames:
        wanted = sorted(set(guards()) - NOT_BY_CHANCE) if full else KNOWN
        metafunc.parametrize("guard", wanted, ids=lambda g: f"{g}-off")


def test_all_guards_on(subject, image_cache, scratch, seed):
    objections = found(Chance(subject, image_cache, scratch, seed))
    assert not objections, "\n".join(f"{kind}: {words}" for kind, words in objections.items())


def test_one_guard_off(subject, image_cache, scratch, guard, full):
    seeds = [*KNOWN.get(guard, ANY), *(range(FULL_SEEDS) if full else ())]
    for n, seed in enumerate(seeds):
        folder = os.path.join(scratch, str(n))
        os.mkdir(folder)
        objections = found(Chance(subject, image_cache, folder, seed, guard))
        subject.close_all()
        if objections:
            print(f"guard {guard} off, seed {seed}:", objections)
            return
    pytest.fail(f"guard {guard} is off, and none of the seeds {seeds} finds anything")
