"""Processor time and memory, as the kernel counts them, and the summary of figures."""

import math
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

TICK = os.sysconf("SC_CLK_TCK")  # a second
_UTIME = 11  # fields of /proc/PID/stat after the name, proc(5): utime, stime, cutime, cstime


def tree(roots: Iterable[int]) -> set[int]:
    """These processes and all that descend from them."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(folder.name)):
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = set(), list(roots)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += parents.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Processor seconds of these processes, their living descendants, and those that they saw die."""
    ticks = 0
    for pid in tree(roots):
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[_UTIME : _UTIME + 4])
    return ticks / TICK


def memory(root: int, what: str = "VmHWM") -> int:
    """The greatest resident size among a process and its descendants: the peak, or with VmRSS now; in KiB."""
    sizes = [0]
    for pid in tree([root]):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        sizes += [int(line.split()[1]) for line in lines if line.startswith(f"{what}:")]
    return max(sizes)


def _stat(pid: int) -> list[str] | None:
    """The fields after the name, None for a process that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


@dataclass
class Used:
    """The cost of a piece of work."""

    seconds: float = 0.0
    cpu: float = 0.0  # seconds


@contextmanager
def using(roots: Sequence[int]) -> Generator[Used]:
    """Measure the work inside, by these processes."""
    used, begun, before = Used(), monotonic(), cpu_seconds(roots)
    yield used
    used.seconds, used.cpu = monotonic() - begun, cpu_seconds(roots) - before


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is at least as great as this share (0 to 1) of all."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Figure:
    """A median of rounds with the least and the greatest of them."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        known = list(values)
        return cls(median(known), min(known), max(known))
