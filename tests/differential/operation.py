"""One operation: made once from the random source, then done on each side with the very same arguments."""
from dataclasses import dataclass
from typing import Any, Callable


@dataclass
class Operation:
    name: str                           # what it is, for the log
    call: Callable[[Any], Any]          # does it on a Side; what it returns (or its errno) is compared
    touches: tuple = ()                 # paths whose content or name it may change
    done: Callable[[Any], None] = lambda result: None           # the world after success
    promises: str = ""                  # path that is durable when it has succeeded
    handle: int = 0                     # the handle that it changes the file of

    def __str__(self):
        return self.name
