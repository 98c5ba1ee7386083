"""
An examination: many questions at once, each with a time limit. None waits for, or is hidden by, another that hangs.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from django.db import connection
from django.utils import translation

from . import logs

LIMIT = 8.0  # seconds for all; drivers have shorter time-outs of their own, most of the time


class State(Enum):
    OK = "ok"
    WARNING = "warning"  # it works, and somebody should know
    FAILED = "failed"
    SKIPPED = "skipped"  # nothing to ask here


@dataclass(frozen=True)
class Finding:
    """What one question gave, in the operator's language."""

    state: State
    text: str


Probe = Callable[[], Finding]


def ok(text: str) -> Finding:
    return Finding(State.OK, text)


def warning(text: str) -> Finding:
    return Finding(State.WARNING, text)


def failed(text: str) -> Finding:
    return Finding(State.FAILED, text)


def skipped(text: str) -> Finding:
    return Finding(State.SKIPPED, text)


def examine(probes: Mapping[str, Probe], *, late: str, limit: float = LIMIT) -> Iterator[tuple[str, Finding]]:
    """
    Ask every probe in a thread of its own; yield (name, finding) in their order. One that raises has failed, by what
    it raised; one that has no answer `limit` seconds after the beginning has failed as well, and says `late`.
    """
    deadline = time.monotonic() + limit
    asked = {name: _Asked(name, probe) for name, probe in probes.items()}
    for each in asked.values():
        each.start()
    for name, each in asked.items():
        each.join(max(0.0, deadline - time.monotonic()))
        yield name, each.finding or failed(late)


class _Asked(threading.Thread):
    """A daemon: a probe that hangs keeps nobody from leaving."""

    def __init__(self, name: str, probe: Probe) -> None:
        super().__init__(name=f"doctor-{name}", daemon=True)
        self._probe, self._language = probe, translation.get_language()
        self.finding: Finding | None = None

    def run(self) -> None:
        with translation.override(self._language):
            try:
                self.finding = self._probe()
            except Exception as error:
                words = " ".join(str(error).split())
                self.finding = failed(logs.scrub(f"{type(error).__name__}: {words}"[:300]))
            finally:
                connection.close()
