"""What a part of the tests came to: counts, the names of what was skipped, and the last words of what failed."""
import json
import os
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

TAIL_LINES = 60


def tail(text, lines=TAIL_LINES):
    return "\n".join(text.rstrip().splitlines()[-lines:])


@dataclass
class Results:
    passed: int = 0
    failed: list = field(default_factory=list)      # (name, last words)
    skipped: list = field(default_factory=list)     # (name, reason)
    unsteady: list = field(default_factory=list)    # failed once and passed when repeated alone: each is a bug somewhere

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.unsteady += other.unsteady

    @property
    def count(self):
        return self.passed + len(self.failed) + len(self.skipped)

    def __str__(self):
        text = f"{self.passed} passed, {len(self.failed)} failed"
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")


def of_one(name, code, out):
    """A program that is one test."""
    return Results(passed=1) if code == 0 else Results(failed=[(name, f"exit {code}\n{tail(out)}")])


def of_pytest(path, code, out):
    """From a junit file; exit codes that it does not explain (a crash, a syntax error) are failures, too."""
    results = Results()
    if os.path.exists(path):
        for case in ElementTree.parse(path).iter("testcase"):
            _add_case(results, case)
    explained = code in (0, 5) or (code == 1 and results.failed)
    if not explained:
        results.failed.append(("pytest", f"exit {code}\n{tail(out)}"))
    return results


def node_id(name):
    """What pytest calls a test of which junit says `tests.folder.file.Class::name`."""
    where, _, test = name.partition("::")
    words = where.split(".")
    classes = [w for w in words if w[:1].isupper()]
    path = "/".join(w for w in words if w not in classes) + ".py"
    return "::".join([path, *classes, test])


def settle(first, again):
    """@first with what its failures came to when they were repeated by themselves."""
    still = {name for name, _ in again.failed}
    first.unsteady = [name for name, _ in first.failed if name not in still]
    first.failed = [f for f in first.failed if f[0] in still] + [f for f in again.failed if "::" not in f[0]]
    first.passed += len(first.unsteady)
    return first


def _add_case(results, case):
    name = f"{case.get('classname')}::{case.get('name')}"
    bad = [e for e in case if e.tag in ("failure", "error")]
    skip = case.find("skipped")
    if bad:
        results.failed.append((name, "\n".join(tail(e.text or e.get("message") or "") for e in bad)))
    elif skip is not None:
        results.skipped.append((name, skip.get("message")))
    else:
        results.passed += 1


def of_meson(build, code, out):
    results = Results()
    path = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(path):
        with open(path) as f:
            for line in f:
                _add_unit(results, json.loads(line))
    if code and not results.failed:
        results.failed.append(("meson test", f"exit {code}\n{tail(out)}"))
    return results


def _add_unit(results, test):
    name = "unit " + test["name"]
    if test["result"] == "OK":
        results.passed += 1
    elif test["result"] == "SKIP":
        results.skipped.append((name, tail(test.get("stdout", ""), 1)))
    else:
        words = test.get("stdout", "") + test.get("stderr", "")
        results.failed.append((name, f"{test['result']}\n{tail(words)}"))
