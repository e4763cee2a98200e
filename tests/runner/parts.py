"""The parts of the tests: each needs one build (a form) and comes to Results. Made of commands only, so that a part can be
repeated by hand; every command's output lies in build-test/logs."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import results

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(SOURCE, "build-test", "logs")
PART_SECONDS = 1800

# A build folder build-NAME each. No form may warn.
FORMS = {
    "test": ["-Dtest_hooks=true"],
    "address": ["-Dtest_hooks=true", "-Db_sanitize=address,undefined"],
    "thread": ["-Dtest_hooks=true", "-Db_sanitize=thread"],
    "clang": ["-Dtest_hooks=true", "-Dbuildtype=debug"],
    "clang-release": ["-Dbuildtype=release"],
    "release": ["-Dbuildtype=release"],
}

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1",
}


def folder(form):
    return os.path.join(SOURCE, "build-" + form)


def run(name, argv, env=None):
    """Exit code and output of a command; a copy of the output stays in the logs."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, name.replace(" ", "-") + ".log")
    with open(path, "w+b") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=SOURCE,
                                   env={**os.environ, **SANITIZERS, **(env or {})}, start_new_session=True)
        code = wait(process)
    with open(path, errors="replace") as log:
        return code, log.read()


cpu_seconds = threading.local()


def wait(process):
    """The exit code, or words; what the command and its children computed is added to cpu_seconds.total."""
    late = threading.Timer(PART_SECONDS, os.killpg, (process.pid, signal.SIGTERM))
    late.start()
    _, status, usage = os.wait4(process.pid, 0)
    late.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu_seconds.total = getattr(cpu_seconds, "total", 0) + usage.ru_utime + usage.ru_stime
    return process.returncode


# ---- builds ----

def build(form):
    """One test: the form is built, and without a warning."""
    compiler = {"CC": "clang"} if form.startswith("clang") else {}
    setup = ["meson", "setup", *(["--reconfigure"] if os.path.exists(folder(form) + "/build.ninja") else []),
             "-Dwerror=true", *FORMS[form], folder(form)]
    code, out = run(f"setup {form}", setup, compiler)
    if code == 0:
        code, out = run(f"build {form}", ["ninja", "-C", folder(form)])
        if code:
            out = "\n".join(l for l in out.splitlines() if not l.startswith("[") or "FAILED" in l)
    return results.of_one(f"build {form}", code, out)


# ---- parts ----

# gcc's sanitizers want their address space at its usual place; a kernel with more randomness takes it away.
FIXED_ADDRESSES = ["setarch", "-R"] if shutil.which("setarch") and \
    subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode == 0 else []


def unit(form, names=()):
    slow = ["--timeout-multiplier", "10"] if form in ("address", "thread") else []
    code, out = run(f"unit {form}", [*FIXED_ADDRESSES, "meson", "test", "-C", folder(form), "--no-rebuild", *slow, *names])
    return results.of_meson(folder(form), code, out)


def unit_names():
    out = subprocess.run(["meson", "test", "-C", folder("test"), "--list"], capture_output=True, text=True, check=True).stdout
    return [line.split(" / ")[-1].strip() for line in out.splitlines() if line and not line.startswith("ninja")]


REPEATED_MAX = 10


def pytest_once(form, what, *args):
    junit = os.path.join(LOGS, f"{what}.xml")
    if os.path.exists(junit):
        os.unlink(junit)
    argv = [*FIXED_ADDRESSES, sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "600",
            f"--build={folder(form)}", f"--junitxml={junit}", *args]
    code, out = run(what, argv)
    return results.of_pytest(junit, code, out)


def pytest(form, what, *args):
    """@what names the run; @args go to pytest. A few failures are repeated alone: what passes then is not hidden but named as
    unsteady, since the machine may have been busy, or one of the two has a bug."""
    first = pytest_once(form, what, *args)
    names = [name for name, _ in first.failed]
    if not names or len(names) > REPEATED_MAX or not all("::" in name for name in names):
        return first
    options = [a for a in args if a.startswith("--")]
    return results.settle(first, pytest_once(form, f"{what}-again", *map(results.node_id, names), *options))


def demo(form):
    code, out = run("demo", ["./demo"])
    last = out.rstrip().splitlines()[-1:]
    return results.of_one("demo", code or (0 if last == ["demo: ok"] else "0, but the last line is not `demo: ok`"), out)


@dataclass
class Part:
    name: str
    form: str            # which build it needs
    what: str
    run: object          # (form, options for pytest) -> Results


# The longest first.
PARTS = [
    Part("thread", "thread", "scenarios under the thread sanitizer",
         lambda form, more: pytest(form, "thread", "tests/scenarios", *more)),
    Part("scenarios", "test", "scenarios",
         lambda form, more: pytest(form, "scenarios", "tests/scenarios", *more)),
    Part("crash", "test", "power cuts",
         lambda form, more: pytest(form, "crash", "tests/crash", *more)),
    Part("log", "test", "logs of the kernel, replayed here and there",
         lambda form, more: pytest(form, "log", "tests/log", *more)),
    Part("differential", "test", "random operations here and in the kernel's btrfs at once",
         lambda form, more: pytest(form, "differential", "tests/differential", *more)),
    Part("interop", "test", "images in every form that mkfs and the kernel make",
         lambda form, more: pytest(form, "interop", "tests/interop", *more)),
    Part("differential-address", "address", "two seeds of that under the address and undefined behaviour sanitizers",
         lambda form, more: pytest(form, "differential-address", "tests/differential", "-k", "sanitized", *more)),
    Part("fuzz", "address", "damaged images under the address and undefined behaviour sanitizers",
         lambda form, more: pytest(form, "fuzz", "tests/fuzz", *more)),
    Part("unit", "test", "unit tests", lambda form, more: unit(form)),
    Part("address", "address", "unit tests under the address and undefined behaviour sanitizers",
         lambda form, more: unit(form)),
    Part("model", "test", "spin models with all their mutations",
         lambda form, more: pytest(form, "model", "tests/model", *more)),
    Part("layers", "test", "an upward call between layers does not link",
         lambda form, more: pytest(form, "layers", "tests/layers", *more)),
    Part("demo", "release", "the demo", lambda form, more: demo(form)),
]


def timed(function, *args):
    """What it returns, the seconds it took, and the seconds that its commands computed."""
    start, cpu_seconds.total = time.monotonic(), 0
    value = function(*args)
    return value, time.monotonic() - start, cpu_seconds.total
