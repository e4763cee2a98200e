"""Several devices that were recorded at once, and what a power cut leaves on all of them: one moment, and on each device another
part of what was in flight."""
import os
import random
from dataclasses import dataclass

from . import recorder
from .recorder import FLUSH_DONE, HOWS, SUPERBLOCKS, WRITE, WRITE_DONE

BOUNDARY = "boundary"


@dataclass
class SetState:
    when: int
    parts: list         # a recorder.State for each device

    def __str__(self):
        return "; ".join(map(str, self.parts))


def open_logs(path, count):
    """The first device's record has the name that the daemon was given."""
    return [recorder.Log(f"{path}.{n}" if n else path) for n in range(count)]


def moments(logs):
    """When something may be half done: (flushes over, superblocks on some devices only, writes)."""
    flushes, supers, writes = [], [], []
    for n, log in enumerate(logs):
        for e in log.events:
            if e.type == FLUSH_DONE:
                flushes.append(log.time(e))
            elif e.type == WRITE and e.off == SUPERBLOCKS[0]:
                supers += [log.time(e), log.time(e) - 1] if n else [log.time(e)]
            elif e.type in (WRITE, WRITE_DONE):
                writes.append(log.time(e))
    return flushes, supers, writes


def plan(logs, wanted, rng):
    """Rising [(moment, how for each device)]; a third of each kind of moment."""
    kinds, found = moments(logs), []
    for n in range(wanted):
        hows = [BOUNDARY] * len(logs) if n % 4 == 0 else [rng.choice((BOUNDARY, *HOWS)) for _ in logs]
        found.append((rng.choice(kinds[n % 3] or kinds[0]), hows))
    return sorted(found)


class SetWalker:
    def __init__(self, logs, bases, folder):
        self.logs, self.walkers = logs, []
        for n, (log, base) in enumerate(zip(logs, bases)):
            self.walkers.append(recorder.Walker(log, base, os.path.join(folder, f"durable{n}")))

    def state(self, when, hows, rng):
        parts = []
        for log, walker, how in zip(self.logs, self.walkers, hows):
            walker.advance(log.position_at(when))
            parts.append(walker.subset(rng, how) if walker.pending and how != BOUNDARY else walker.boundary())
        return SetState(when, parts)

    def build(self, state, paths):
        return [w.build(part, path) for w, part, path in zip(self.walkers, state.parts, paths)]

    def close(self):
        for walker in self.walkers:
            walker.close()


def states(logs, bases, folder, wanted, seed=1):
    """Yields (state, build) with states distinct by content, from all over the records; build(paths) makes the images of the one
    just yielded."""
    rng, seen = random.Random(seed), set()
    for _ in range(6):
        walker = SetWalker(logs, bases, folder)
        try:
            for when, hows in plan(logs, (wanted - len(seen)) * 9 // 8 + 1, rng):
                state = walker.state(when, hows, rng)
                digest = tuple(part.digest for part in state.parts)
                if digest in seen or len(seen) >= wanted:
                    continue
                seen.add(digest)
                yield state, lambda paths, s=state: walker.build(s, paths)
        finally:
            walker.close()
        if len(seen) >= wanted:
            return
