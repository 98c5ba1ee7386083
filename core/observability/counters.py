"""
Counts of what happens, right in any number of processes and machines: they are kept in the database.

A process gathers its counts and adds them every few seconds, in one go. So a request or a mail pays no statement for
being counted, no two processes fight for a row, and the worst that a killed process takes along is PAUSE seconds of
counts.
"""

import atexit
import contextlib
import logging
import threading
from collections import Counter as Counts
from collections.abc import Iterable, Mapping
from functools import partial

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from core.models import CounterValue

logger = logging.getLogger(__name__)

PAUSE = 2.0  # seconds between a count and its way to the database

Key = tuple[str, str]

_lock = threading.Lock()
_gathered: Counts[Key] = Counts()
_timer: threading.Timer | None = None
_kinds: "list[Counter | Histogram]" = []


class Counter:
    """What happened how often, by labels. `known` label values are shown from the start, at 0."""

    def __init__(
        self, name: str, text: str, labels: Iterable[str] = (), *, known: Iterable[tuple[str, ...]] = ()
    ) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self._known = {"/".join(values) for values in known} if self.labels else {""}
        _kinds.append(self)

    def add(self, *values: str, number: int = 1) -> None:
        """Count `number` for these values of the labels, in their order; none may have a slash in it."""
        if number:
            _gather({(self.name, "/".join(values)): number})

    def add_after_commit(self, *values: str, number: int = 1) -> None:
        """Count what the transaction under way does, once it is done."""
        transaction.on_commit(partial(self.add, *values, number=number), robust=True)

    def family(self, counts: Mapping[str, float]) -> Metric:
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for values in sorted(self._known | set(counts)):
            family.add_metric(values.split("/") if self.labels else [], counts.get(values, 0))
        return family


class Histogram:
    """How long something took, in seconds; `buckets` are upper bounds."""

    def __init__(self, name: str, text: str, buckets: Iterable[float]) -> None:
        self.name, self.text, self._bounds = name, text, [*map(str, buckets), "+Inf"]
        _kinds.append(self)

    def observe(self, seconds: float) -> None:
        bound = next(bound for bound in self._bounds if seconds <= float(bound))
        _gather({(self.name, bound): 1, (self.name, "sum"): max(0.0, seconds)})

    def family(self, counts: Mapping[str, float]) -> Metric:
        total, buckets = 0.0, []
        for bound in self._bounds:
            total += counts.get(bound, 0)
            buckets.append((bound, total))
        family = HistogramMetricFamily(self.name, self.text)
        family.add_metric([], buckets=buckets, sum_value=counts.get("sum", 0))
        return family


def collect() -> list[Metric]:
    """Everything that was ever counted, by all processes; of the others' last PAUSE seconds not yet."""
    flush()
    counts: dict[str, dict[str, float]] = {kind.name: {} for kind in _kinds}
    for name, labels, value in CounterValue.objects.values_list("name", "labels", "value"):
        counts.setdefault(name, {})[labels] = value
    return [kind.family(counts[kind.name]) for kind in _kinds]


def flush() -> None:
    """Add what this process gathered to the database. What that doesn't take now waits for the next time."""
    with _lock:
        # Sorted: processes that flush at the same time lock rows in the same order, so there is no deadlock.
        rows = sorted((*key, number) for key, number in _gathered.items())
        _gathered.clear()
    if not rows:
        return
    try:
        with transaction.atomic():
            new = [CounterValue(name=name, labels=labels) for name, labels, _ in rows]
            CounterValue.objects.bulk_create(new, ignore_conflicts=True)
            for name, labels, number in rows:
                CounterValue.objects.filter(name=name, labels=labels).update(value=F("value") + number)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("counts wait for the database: %s", type(error).__name__)
        _gather({(name, labels): number for name, labels, number in rows})


def _gather(counts: Mapping[Key, float]) -> None:
    with _lock:
        for key, number in counts.items():
            _gathered[key] += number  # type: ignore[assignment] # seconds, for a histogram's sum
    _schedule()


def _schedule() -> None:
    """Have it flushed by a thread that lives for this alone: an idle process needs none."""
    global _timer  # noqa: PLW0603
    with _lock:
        if _timer is None or not _timer.is_alive():
            _timer = threading.Timer(PAUSE, _flush_later)
            _timer.daemon = True
            _timer.start()


def _flush_later() -> None:
    global _timer  # noqa: PLW0603
    with _lock:
        _timer = None  # who counts from now on starts another
    try:
        flush()
    finally:
        connection.close()


@atexit.register
def _flush_at_exit() -> None:
    with contextlib.suppress(Exception):
        flush()
