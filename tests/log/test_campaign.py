"""Random states with a log, the kernel's or our own: the kernel's replay and ours give the same tree."""
import pytest

from . import campaign, states

pytestmark = pytest.mark.fuse_only

SEEDS, FULL_SEEDS, STATES = range(1, 6), range(1, 51), 4


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", FULL_SEEDS if metafunc.config.getoption("--full") else SEEDS)


def test_states(subject, scratch, seed):
    found, looked = campaign.run_states(scratch, seed, STATES, lambda state: states.judge(subject, state))
    assert found == STATES, f"only {found} of {looked} states had a log"


def test_states_of_our_own(subject, scratch, seed):
    found, looked = campaign.run_states(scratch, seed, 2, lambda state: states.judge(subject, state), writer=subject)
    assert found == 2, f"only {found} of {looked} states had a log"
