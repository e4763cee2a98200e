"""Running programs and waiting: every wait is bounded, every failure shows the program's own words."""
import os
import shlex
import subprocess
import time


class CommandFailed(RuntimeError):
    def __init__(self, argv, code, out):
        self.argv, self.code, self.out = argv, code, out
        super().__init__(f"{shlex.join(argv)}: exit {code}: {out[-3000:]}")


def run(*argv, check=True, timeout=120, env=None, cwd=None, stdin=None):
    """Runs a program, returns its CompletedProcess with stdout and stderr as text, joined in `.out`."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, cwd=cwd,
                          env={**os.environ, **(env or {})}, text=True, errors="replace", input=stdin)
    done.out = done.stdout + done.stderr
    if check and done.returncode:
        raise CommandFailed(argv, done.returncode, done.out)
    return done


def output(*argv, **kw):
    return run(*argv, **kw).stdout


def wait_until(condition, timeout=10, step=0.01, what="condition"):
    """Polls until condition() is true and returns its value; a timeout is a failure that names what was waited for."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(step)
        step = min(step * 1.3, 0.2)
