"""Builds btrfuse in every form and runs the parts of the tests, two at a time; see ./test.

usage: ./test [--full] [--list] [NAME...]
NAME is a part, a form to build, or what the names of tests contain. The last line counts everything.
"""
import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import parts
from results import Results


def say(line):
    print(line, flush=True)


def report(what, outcome):
    results, seconds, cpu = outcome
    say(f"{what:24s} {str(results):36s} {seconds:5.0f} s ({cpu:.0f} s of CPU)")
    for name, words in results.failed:
        say(f"--- {name} failed:\n{words}\n---")
    return results


def build_all(forms):
    """The forms that could be built, and what that came to."""
    total, built = Results(), set()
    for form in forms:
        results = report(f"build {form}", parts.timed(parts.build, form))
        total.add(results)
        if not results.failed:
            built.add(form)
    return built, total


def run_parts(chosen, built, more):
    """Tests wait more than they compute: two parts at a time."""
    total = Results()
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count())) as pool:
        waiting = {pool.submit(parts.timed, p.run, p.form, more): p for p in chosen if p.form in built}
        for future in as_completed(waiting):
            total.add(report(waiting[future].name, future.result()))
    for part in chosen:
        if part.form not in built:
            total.failed.append((part.name, "not built"))
    return total


def run_named(names, more):
    """Single tests whose names contain one of @names, in the test-hooks build."""
    built, total = build_all(["test"])
    if not built:
        return total
    found = Results()
    units = [n for n in parts.unit_names() if any(name in n for name in names)]
    if units:
        found.add(report("unit", parts.timed(parts.unit, "test", units)))
    found.add(report("pytest", parts.timed(parts.pytest, "test", "named", "tests", "-k", " or ".join(names), *more)))
    if not found.count:
        found.failed.append((" ".join(names), "no test has such a name"))
        say(f"no test is named like this: {' '.join(names)}")
    total.add(found)
    return total


def run_chosen(names, more):
    chosen = [p for p in parts.PARTS if not names or p.name in names]
    wanted = {p.form for p in chosen} | (set(names) if names else set(parts.FORMS))
    built, total = build_all([f for f in parts.FORMS if f in wanted])
    total.add(run_parts(chosen, built, more))
    return total


def arguments():
    ap = argparse.ArgumentParser(prog="./test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--full", action="store_true", help="the long campaigns")
    ap.add_argument("--list", action="store_true", help="name the parts and forms")
    ap.add_argument("names", nargs="*", metavar="NAME")
    return ap.parse_args()


def main():
    args = arguments()
    if args.list:
        for part in parts.PARTS:
            say(f"{part.name:16s} {part.what} (build-{part.form})")
        say("forms: " + " ".join(parts.FORMS))
        return 0
    known = {p.name for p in parts.PARTS} | set(parts.FORMS)
    how = run_chosen if known.issuperset(args.names) else run_named
    total, seconds, _ = parts.timed(how, args.names, ["--full"] if args.full else [])
    for name, reason in total.skipped:
        say(f"skipped: {name}: {reason}")
    for name in total.unsteady:
        say(f"unsteady: {name}: failed once, passed when repeated alone")
    for name, _ in total.failed:
        say(f"failed: {name}")
    say(f"{seconds:.0f} s in all")
    say(str(total))
    return 1 if total.failed or not total.passed else 0


sys.exit(main())
