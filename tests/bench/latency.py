#!/usr/bin/env python3
"""How long single operations wait while commits come every second and a balance never stops. As root.

usage: latency.py [--seconds 20] [--commit 1] [--no-balance] [--json out] [CONTENDER...]
Contenders are those of bench.py; without one: kernel ours=build-release/fuse/btrfuse.
Each kind of operation has a process of its own, which rests a little between two operations, so that what is measured is
waiting and not a queue for the processor; `rest` is such a process that does nothing else, and shows what the machine adds.
Prints p50, p99, p99.9 and the longest of each kind in milliseconds, and for the p99.9 of everything whether it is below the
100 ms that are asked for (exit code 1 if ours is not).
"""
import argparse
import json
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from bench import Contender, HERE, sh

REST = 0.0005
FILES = 400
BLOCK = 4096
FILE_BLOCKS = 4096
LIMIT_MS = 100


def creates(mnt, n, rng):
    path = f"{mnt}/create/d{n % 16}/f{n}"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(fd, b"x" * rng.choice((10, 1000, 6000)))
    os.close(fd)


def unlinks(mnt, n, rng):
    path = f"{mnt}/unlink/f{n}"
    if os.path.exists(path):
        os.unlink(path)
    else:
        open(path, "w").close()


def writes(mnt, n, rng, fds={}):
    name = f"{mnt}/write/f{rng.randrange(32)}"
    fd = fds.get(name) or fds.setdefault(name, os.open(name, os.O_RDWR | os.O_CREAT))
    os.pwrite(fd, b"w" * rng.choice((100, 4096, 16384)), rng.randrange(1 << 20))


def renames(mnt, n, rng):
    name = f"{mnt}/rename/{rng.randrange(FILES)}"
    for a, b in ((name, name + "+"), (name + "+", name)):
        if os.path.exists(a):
            os.rename(a, b)
            return


def in_place(mnt, n, rng, state={}):
    if not state:
        state["fd"] = os.open(f"{mnt}/in_place", os.O_RDWR | os.O_DIRECT)
        state["buffer"] = mmap.mmap(-1, BLOCK)
        state["buffer"].write(b"i" * BLOCK)
    os.pwrite(state["fd"], state["buffer"], rng.randrange(FILE_BLOCKS) * BLOCK)


def reads(mnt, n, rng, state={}):
    if not state:
        state["fd"] = os.open(f"{mnt}/read", os.O_RDONLY | os.O_DIRECT)
        state["buffer"] = mmap.mmap(-1, BLOCK)
    os.preadv(state["fd"], [state["buffer"]], rng.randrange(FILE_BLOCKS) * BLOCK)


def stats(mnt, n, rng):
    os.stat(f"{mnt}/rename")
    os.listdir(f"{mnt}/create/d{n % 16}") if n % 100 == 0 else None


def rest(mnt, n, rng):
    pass


KINDS = {"create": creates, "unlink": unlinks, "write": writes, "rename": renames, "in place": in_place, "read": reads,
         "stat": stats, "rest": rest}


def prepare(c, commit):
    c.mkfs(3072)
    c.mount(f"commit={commit}")
    mnt = c.mnt
    for d in ("create", "unlink", "write", "rename"):
        os.mkdir(f"{mnt}/{d}")
    for d in range(16):
        os.mkdir(f"{mnt}/create/d{d}")
    for n in range(FILES):
        open(f"{mnt}/rename/{n}", "w").close()
    for n in range(3000):
        with open(f"{mnt}/create/d{n % 16}/old{n}", "wb") as f:
            f.write(b"o" * 5000)
    open(f"{mnt}/in_place", "w").close()
    sh(f"chattr +C {mnt}/in_place")
    for name in ("in_place", "read"):
        with open(f"{mnt}/{name}", "r+b" if name == "in_place" else "wb") as f:
            for _ in range(FILE_BLOCKS // 256):
                f.write(os.urandom(256 * BLOCK))
            os.fsync(f.fileno())
    sh(f"sync -f {mnt}")


def worker(call, mnt, seconds, out):
    rng, took, n = random.Random(call.__name__), [], 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        call(mnt, n, rng)
        took.append(time.perf_counter() - begin)
        n += 1
        time.sleep(REST)
    with open(out, "w") as f:
        json.dump(took, f)


def balances(c, stop, count):
    while not stop.is_set():
        for kind in ("-d", "-m"):
            subprocess.run(c.balance(kind, "OURS_BALANCE" if kind == "-d" else "OURS_BALANCE_M"), shell=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            count.append(kind)


def measure(c, seconds, commit, balance):
    """kind -> seconds of each operation."""
    prepare(c, commit)
    stop, count = threading.Event(), []
    mover = threading.Thread(target=balances, args=(c, stop, count))
    pids = []
    for kind, call in KINDS.items():
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                worker(call, c.mnt, seconds, f"{c.img}.{kind}")
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    if balance:
        mover.start()
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1]]
    stop.set()
    if balance:
        mover.join()
    c.umount()
    if failed:
        raise RuntimeError(f"{c.name}: a worker failed")
    took = {}
    for kind in KINDS:
        with open(f"{c.img}.{kind}") as f:
            took[kind] = sorted(json.load(f))
        os.unlink(f"{c.img}.{kind}")
    return took, len(count)


def at(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))] * 1000


def line(name, kind, took):
    return f"{name:8} {kind:10} {len(took):7} {at(took, .5):9.2f} {at(took, .99):9.2f} {at(took, .999):9.2f} {took[-1] * 1000:9.2f}"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=float, default=20)
    ap.add_argument("--commit", type=int, default=1)
    ap.add_argument("--no-balance", action="store_true")
    ap.add_argument("--json")
    ap.add_argument("contender", nargs="*", default=["kernel", f"ours={HERE}/../../build-release/fuse/btrfuse"])
    a = ap.parse_args()
    work = tempfile.mkdtemp(prefix="latency.", dir=os.environ.get("BENCH_TMP", "/dev/shm"))
    good, figures = True, {}
    print(f"{'':8} {'':10} {'count':>7} {'p50 ms':>9} {'p99':>9} {'p99.9':>9} {'max':>9}")
    try:
        for spec in a.contender:
            c = Contender(spec, work)
            took, moved = measure(c, a.seconds, a.commit, not a.no_balance)
            os.unlink(c.img)
            for kind in KINDS:
                print(line(c.name, kind, took[kind]), flush=True)
            everything = sorted(t for kind, list_ in took.items() if kind != "rest" for t in list_)
            verdict = "below" if at(everything, .999) < LIMIT_MS else "NOT below"
            print(line(c.name, "all", everything), f" p99.9 {verdict} {LIMIT_MS} ms; {moved} balances", flush=True)
            good &= c.name != "ours" or verdict == "below"
            figures[c.name] = {k: [at(v, s) for s in (.5, .99, .999, 1)] for k, v in {**took, "all": everything}.items()}
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(figures, f, indent=1)
    sys.exit(not good)


if __name__ == "__main__":
    main()
