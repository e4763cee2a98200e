"""Traces of the daemon (BTRFUSE_TRACE) against the model of the gate: a trace is accepted exactly if p1.pml can do it.

The daemon writes one event a line, for all files and groups. The model knows two blocks of one extent, each with its writer, and
one relocation of their group. So a trace is projected: to two blocks of an extent that a relocation moved, from a few writes before
its group became read-only to the moment when the old place was free for others. p1.pml built with -DTRACE then may only act in that
order; whether it can come to the end is what spin finds out.
"""
import json
import os
import subprocess
from dataclasses import dataclass

from harness import blocks

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS_MAX = 400
CYCLES_BEFORE = 3       # writes in place that are taken along from before
LOOK_BACK = 4000        # events
EXTENTS = 4             # of a relocation that are looked at
RELOCATIONS = 40        # that are looked at
ACTIONS = ("token_granted", "token_refused", "token_put", "data_written", "data_elsewhere", "item_updated", "item_converted", "group_ro",
           "group_drained", "extent_copied", "extent_switched", "commit_durable", "space_freed")
GLOBAL = {"group.ro": "group_ro", "group.drained": "group_drained"}


def read(path):
    with open(path) as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


@dataclass(frozen=True)
class Step:
    action: str
    block: int      # 0 or 1; 0 for what is not about a block

    @property
    def code(self):
        # spin numbers the names of an mtype from the last to the first
        return (len(ACTIONS) - ACTIONS.index(self.action)) * 2 + self.block

    def __str__(self):
        return f"{self.action} {self.block}"


class Checker:
    """The model, built once."""

    def __init__(self, folder):
        self.folder = folder
        source = os.path.join(HERE, "p1.pml")
        for argv in (["spin", "-DTRACE", f"-DNT={EVENTS_MAX}", "-a", source],
                     ["gcc", "-O1", "-w", "-DSAFETY", "-DVECTORSZ=2048", "-o", "pan", "pan.c"]):
            subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=120)

    def accepts(self, steps):
        assert 0 < len(steps) <= EVENTS_MAX
        with open(os.path.join(self.folder, "trace"), "w") as f:
            f.write(" ".join(str(s.code) for s in steps))
        out = subprocess.run(["./pan", "-E", "-m100000"], cwd=self.folder, check=False, capture_output=True, text=True,
                             timeout=60).stdout
        assert "max search depth too small" not in out and "errors:" in out, out
        return "errors: 0" not in out


def covers(event, address):
    return event["bytenr"] <= address < event["bytenr"] + event["len"]


def relocations(events):
    """(first, last) for each extent that was moved: where its group became read-only, and where its old place was free."""
    begun, switched = {}, set()
    for at, e in enumerate(events):
        if e["event"] == "group.ro":
            begun[e["bg"]] = at
        elif e["event"] == "group.rw":
            begun.pop(e["bg"], None)
        elif e["event"] == "extent.switched":
            switched.add(e["bytenr"])
        elif e["event"] == "space.freed":
            mine = {s for s in switched if covers(e, s)} if len(switched) < 1000 else switched
            switched -= mine
            if mine and e["bg"] in begun:
                yield begun[e["bg"]], at


class Places:
    """Which file and offset the block at an address belongs to, as events go by."""

    def __init__(self, events):
        self.events, self.at, self.of = events, 0, {}

    def advance(self, to):
        for e in self.events[self.at:to]:
            if e["event"] == "data.written":
                for n in range(0, e["len"], blocks.SIZE):
                    self.of[e["bytenr"] + n] = e["ino"], e["off"] + n
            elif e["event"] == "extent.copied":
                for n in range(0, e["len"], blocks.SIZE):
                    self.of[e["to"] + n] = self.of.get(e["bytenr"] + n)
            elif e["event"] == "space.freed":
                for n in range(0, e["len"], blocks.SIZE):
                    self.of.pop(e["bytenr"] + n, None)
        self.at = to
        return self


class Projection:
    """What events mean for two blocks, given by address and place in the file. Twice the same address: one block, and another of
    the same extent that nobody writes."""

    def __init__(self, group, addresses, places):
        self.group, self.addresses = group, addresses
        self.places = places[:1] if addresses[0] == addresses[1] else places
        self.holders = {}       # tid -> blocks whose token it has

    def _blocks_at(self, event):
        return [n for n, a in enumerate(self.addresses) if covers(event, a)]

    def _blocks_of(self, event):
        return [n for n, (ino, off) in enumerate(self.places) if event["ino"] == ino and event["off"] <= off < event["off"] + event["len"]]

    def arrives(self, event):
        """A block is put where it is from now on."""
        if event["event"] == "extent.switched":
            return any(event["to"] <= a < event["to"] + event["len"] for a in self.addresses)
        return event["event"] == "item.updated" and bool(self._blocks_at(event))

    def steps(self, event):
        kind = event["event"]
        if kind in GLOBAL:
            return [Step(GLOBAL[kind], 0)] if event["bg"] == self.group else []
        if kind == "commit.durable":
            return [Step("commit_durable", 0)]
        if kind in ("data.written", "item.updated", "item.converted"):
            return self._of_file(kind, event)
        if kind == "token.put":
            return [Step("token_put", n) for n in self.holders.pop(event["tid"], ())]
        if kind == "group.rw":
            return []
        found = self._blocks_at(event)
        if kind.startswith("token."):
            found = [n for n in found if n < len(self.places)]
        if kind == "token.granted" and found:
            self.holders[event["tid"]] = found
        return [Step(kind.replace(".", "_"), n) for n in found]

    def _of_file(self, kind, event):
        if kind != "data.written":
            return [Step(kind.replace(".", "_"), n) for n in self._blocks_of(event)]
        old = self._blocks_at(event)
        return [Step("data_written" if n in old else "data_elsewhere", n) for n in self._blocks_of(event)]


def start_of(events, first, projection):
    """An index before events[first] where no block has a token out, a few writes in place earlier; since then the blocks are where
    they are."""
    begin = max(0, first - LOOK_BACK)
    quiet, out, cycles = [(0, begin)], 0, 0
    for at in range(begin, first):
        if projection.arrives(events[at]):
            quiet, out, cycles = [(0, at + 1)], 0, 0
            projection.holders.clear()
            continue
        steps = projection.steps(events[at])
        out += sum(s.action == "token_granted" for s in steps) - sum(s.action == "token_put" for s in steps)
        cycles += any(s.action == "token_put" for s in steps)
        if steps and out == 0:
            quiet.append((cycles, at + 1))
    projection.holders.clear()
    return [at for n, at in quiet if n <= max(0, cycles - CYCLES_BEFORE)][-1]


def first_write(events, address):
    for e in events:
        if e["event"] == "data.written" and covers(e, address):
            return e["ino"], e["off"] + address - e["bytenr"]
    return None


def project(events, places, first, last, addresses):
    """The steps for two blocks of an extent that the relocation events[first:last + 1] moved; None if they are not worth it."""
    found = [places.of.get(a) or first_write(events[first:last], a) for a in addresses]
    if None in found:
        return None
    p = Projection(events[first]["bg"], addresses, found)
    start = start_of(events, first, p)
    steps = [s for e in events[start:last + 1] for s in p.steps(e)]
    return steps if len(steps) <= EVENTS_MAX and in_place_at_first(steps) else None


def in_place_at_first(steps):
    """The model knows files that are written in place. A preallocated one that is checksummed is no such file once it is written."""
    for block in (0, 1):
        own = [s.action for s in steps if s.block == block and s.action.startswith(("token", "data"))]
        if own and not own[0].startswith("token"):
            return False
    return True


def in_flight(events, first):
    """Addresses whose writer has a token when the group becomes read-only."""
    out = {}
    for e in events[max(0, first - LOOK_BACK):first]:
        if e["event"] == "token.granted":
            out[e["tid"]] = e["bytenr"]
        elif e["event"] == "token.put":
            out.pop(e["tid"], None)
    return set(out.values())


def pairs(events, first, last):
    """Addresses of two blocks of one extent of which some were written since, several pairs; of one block if it has no more."""
    freed, window = events[last], events[max(0, first - LOOK_BACK):last]
    for e in [e for e in events[first:last] if e["event"] == "extent.switched" and covers(freed, e["bytenr"])][:EXTENTS]:
        written = sorted({w["bytenr"] for w in window if w["event"] == "data.written" and covers(e, w["bytenr"])})
        for n in range(0, len(written), max(1, len(written) // 4)):
            yield written[n], written[min(n + 1, len(written) - 1)]


def projections(events):
    """Projections from all over the trace, those with most happening on the way first."""
    ends = {}
    for first, last in relocations(events):
        ends.setdefault(first, []).append(last)
    begins = sorted(ends)
    places, found = Places(events), []
    for first in begins[::max(1, len(begins) // RELOCATIONS)]:
        places.advance(first)
        wanted = [(last, (a, a)) for a in in_flight(events, first) for last in ends[first] if covers(events[last], a)]
        wanted += [(last, addresses) for last in ends[first][:EXTENTS] for addresses in pairs(events, first, last)]
        for last, addresses in wanted:
            steps = project(events, places, first, last, addresses)
            if steps and steps not in found:
                found.append(steps)
    found.sort(key=lambda steps: -len({s.action for s in steps}) * 1000 - len(steps))
    return found


# ---- traces of a daemon that is not right ----

def index(steps, action, block=None, before=None, last=False):
    """Where an action is; None if it is not there."""
    found = [n for n, s in enumerate(steps[:before]) if s.action == action and block in (None, s.block)]
    return None if not found else found[-1] if last else found[0]


def moved(steps, here, there):
    """steps[here] goes to the place before steps[there]."""
    if here is None or there is None:
        return None
    rest = steps[:here] + steps[here + 1:]
    there -= there > here
    return rest[:there] + [steps[here]] + rest[there:]


def without(steps, at):
    return None if at is None else steps[:at] + steps[at + 1:]


def twice(steps, at):
    return None if at is None else steps[:at + 1] + steps[at:]


def last_put(steps):
    return index(steps, "token_put", before=index(steps, "group_drained"), last=True)


def without_durable(steps):
    """No commit is durable between the switch and the reuse of the old place."""
    a, b = index(steps, "extent_switched", last=True), index(steps, "space_freed")
    return [s for n, s in enumerate(steps) if not (a < n < b and s.action == "commit_durable")]


def item_missing(steps):
    """One after which more comes of that block."""
    for n, s in enumerate(steps):
        if s.action == "item_updated" and any(t.block == s.block and t.action.startswith(("token", "data")) for t in steps[n + 1:]):
            return without(steps, n)
    return None


def granted_late(steps):
    """A writer comes in behind the closed door: somebody who is on his way when it is closed."""
    door = index(steps, "group_ro")
    for n, s in enumerate(steps[:door]):
        if s.action == "token_granted" and not any(t.block == s.block and not t.action.startswith("commit") for t in steps[n + 1:door]):
            return moved(steps, n, door + 1)
    return None


# kind of mutation -> the mutated steps, or None if there is nothing of the kind in them
MUTATIONS = {
    "a token is never put": lambda s: without(s, last_put(s)),
    "drained before the last token is put": lambda s: moved(s, index(s, "group_drained"), last_put(s)),
    "a token is put twice": lambda s: twice(s, last_put(s)),
    "granted behind the closed door": granted_late,
    "granted twice": lambda s: twice(s, index(s, "token_granted")),
    "written without a token": lambda s: without(s, index(s, "token_granted")),
    "a write is missing": lambda s: without(s, index(s, "data_written")),
    "written after the token was put": lambda s: moved(s, last_put(s), index(s, "data_written", before=last_put(s), last=True)),
    "never read-only": lambda s: without(s, index(s, "group_ro")),
    "drained before it is read-only": lambda s: moved(s, index(s, "group_drained"), index(s, "group_ro")),
    "refused by an open group": lambda s: moved(s, index(s, "token_refused"), index(s, "group_ro")),
    "not drained": lambda s: without(s, index(s, "group_drained")),
    "copied before it is drained": lambda s: moved(s, index(s, "extent_copied"), index(s, "group_drained")),
    "switched before it is copied": lambda s: moved(s, index(s, "extent_switched"), index(s, "extent_copied")),
    "switched without a copy": lambda s: without(s, index(s, "extent_copied")),
    "switched twice": lambda s: twice(s, index(s, "extent_switched")),
    "an item is not updated": item_missing,
    "an item is updated before its data is written": lambda s: moved(s, index(s, "item_updated"), index(s, "data_elsewhere")),
    "an item is updated in the middle of a switch": lambda s: moved(s, index(s, "item_updated"), index(s, "extent_switched", last=True)),
    "reused before the switch is durable": lambda s: moved(s, index(s, "space_freed"), index(s, "extent_switched", last=True) + 1),
    "reused without a commit": without_durable,
    "reused while it is in use": lambda s: moved(s, index(s, "space_freed"), index(s, "extent_switched")),
}
