"""The order disk <- core <- relocation <- fuse is kept by the linker: a call upwards must not link, and must be the only reason."""
import os
import re
import shutil

import pytest

from harness import places
from harness.shell import run

# In this layer, a call to that function of the next one.
UPWARD = {"disk": "fs_error", "core": "balance_cancel", "relocation": "session_stop"}
VICTIM = {"disk": "disk/base/reason.c", "core": "core/super.c", "relocation": "relocation/group.c"}

pytestmark = pytest.mark.fuse_only


def add_call(tree, layer):
    function = UPWARD[layer]
    assert re.search(rf"\b{function}\(", "".join(sources_above(layer))), f"{function}() does not stand above {layer}"
    with open(os.path.join(tree, VICTIM[layer]), "a") as f:
        f.write(f"\nint upward_call(void);\nint upward_call(void)\n{{\n\textern int upward(void) __asm__(\"{function}\");\n\n"
                "\treturn upward();\n}\n")


def sources_above(layer):
    order = ["disk", "core", "relocation", "fuse"]
    folder = os.path.join(places.SOURCE, order[order.index(layer) + 1])
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".h"):
                with open(os.path.join(where, name)) as f:
                    yield f.read()


@pytest.fixture(scope="module")
def copy_of_source(tmp_path_factory):
    """A build of a copy of the sources; its layers link as they are."""
    tree = str(tmp_path_factory.mktemp("layers") / "tree")
    shutil.copytree(places.SOURCE, tree, ignore=shutil.ignore_patterns("build*", ".git"))
    run("meson", "setup", "-Dbuildtype=plain", tree + "/build", tree)
    run("ninja", "-C", tree + "/build", *(f"{layer}/lib{layer}-layer.so" for layer in UPWARD), timeout=300)
    return tree


@pytest.mark.parametrize("layer", UPWARD)
def test_upward_call_does_not_link(copy_of_source, layer):
    add_call(copy_of_source, layer)
    done = run("ninja", "-C", copy_of_source + "/build", f"{layer}/lib{layer}-layer.so", check=False, timeout=300)
    assert done.returncode != 0, f"{layer}/ calls {UPWARD[layer]}() and links"
    assert f"undefined reference to `{UPWARD[layer]}'" in done.out, done.out[-3000:]
