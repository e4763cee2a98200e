"""The spin models: each is explored completely and must be without error; each guard removed must give a counter-example.

By hand: spin -DM_WAIT -a p3.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan -m300000
"""
import os
import re
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))

# model: ways to build it that must pass, and the mutations (with what else they need) that must not
MODELS = {
    "p3": ([""], {"": "M_TOKEN M_WAIT M_LASTREAD M_RECHECK M_SHARED M_REREAD M_EXCL M_ONESTEP"}),
    "p1": (["", "SNAP"], {"": "M_TOKEN M_WAIT M_ROCHECK M_EARLYDEC M_SPLIT M_CAS M_PIN M_FLUSH",
                          "SNAP": "M_SNAPGATE M_SNAPWAIT M_POSTSNAP"}),
    "p2": (["NW=1"], {"NW=1": "M_MIRROR M_REVMIRROR M_DRAIN1 M_DRAIN2 M_RANGE M_RETRY M_EPOCH M_FLUSH"}),
    "lockorder": (["", "M_RNGWAIT", "M_SYNCIOCTL"], {"": "M_HOLDTRANS M_INVERT M_SNAPINCOMMIT"}),
    "vac": ([""], {}),
}
LONG = {"p2": ["SPAN"]}


def explore(folder, model, defines, how=("-DSAFETY",), options=("-m300000",)):
    """The errors that the exhaustive search found: a number."""
    shutil.copy(os.path.join(HERE, model + ".pml"), folder)
    words = [f"-D{d}" for d in defines if d]
    for argv in (["spin", *words, "-a", model + ".pml"], ["gcc", "-O1", "-w", *how, "-o", "pan", "pan.c"]):
        subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=120)
    out = subprocess.run(["./pan", *options], cwd=folder, check=False, capture_output=True, text=True, timeout=300).stdout
    assert "max search depth too small" not in out and "out of memory" not in out, out
    return int(re.search(r"errors: (\d+)", out).group(1))


def pytest_generate_tests(metafunc):
    full = metafunc.config.getoption("--full")
    if metafunc.function is test_model_holds:
        metafunc.parametrize("model,way", [(m, w) for m, (ways, _) in MODELS.items()
                                           for w in ways + (LONG.get(m, []) if full else [])])
    if metafunc.function is test_mutation_fails:
        metafunc.parametrize("model,base,mutation", [(m, base, one) for m, (_, mutations) in MODELS.items()
                                                     for base, all_of in mutations.items() for one in all_of.split()])


def test_model_holds(tmp_path, model, way):
    assert explore(tmp_path, model, [way]) == 0


def test_mutation_fails(tmp_path, model, base, mutation):
    assert explore(tmp_path, model, [base, mutation]) > 0, f"{model} without the guard that {mutation} removes still holds"


# Fairness and cycles: not to be built with -DSAFETY.
@pytest.mark.parametrize("claim,way,holds", [("reloc", "", True), ("writer", "", True), ("reloc", "WAITMODE", True),
                                             ("writer", "WAITMODE", True), ("reloc", "M_NODIVERT", False)])
def test_liveness(tmp_path, claim, way, holds):
    errors = explore(tmp_path, "live", [way], how=(), options=("-a", "-f", "-N", claim))
    assert (errors == 0) == holds
