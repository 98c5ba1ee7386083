"""
Counters of events, of all processes and machines together, in the database. A process adds its counts every few
seconds, in one transaction: an event costs no query, processes do not compete for rows, and a killed process loses at
most FLUSH_AFTER seconds of counts.
"""

import atexit
import contextlib
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate

from django.db import Error, connection, transaction
from django.db.models import F
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from core.models import CounterValue

from .logs import errors_logged

logger = logging.getLogger(__name__)

FLUSH_AFTER = 2.0  # seconds between a count and its addition to the database

_lock = threading.Lock()
_gathered: defaultdict[tuple[str, str], float] = defaultdict(float)
_gathered_in = ""  # the name of the database of these counts: tests have another one
_kinds: "list[Counter | Histogram]" = []


class Counter:
    """How often something happened, by labels. `known` label values are shown from the start, at 0."""

    def __init__(
        self, name: str, text: str, labels: Iterable[str] = (), *, known: Iterable[tuple[str, ...]] = ()
    ) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self._known = {"/".join(values) for values in known} if self.labels else {""}
        _kinds.append(self)

    def expect(self, *values: str) -> None:
        """Show these values of the labels from the start too: Prometheus sees no increase in what begins with 1."""
        self._known.add("/".join(values))

    def add(self, *values: str, number: int = 1) -> None:
        """Count `number` for these values of the labels, in their order; none may contain a slash."""
        if number:
            _gather({(self.name, "/".join(values)): number})

    def add_after_commit(self, *values: str, number: int = 1) -> None:
        """Count when the present transaction is committed."""
        # A lambda, as elsewhere: Django's log of an error needs a function's __qualname__, which a partial lacks.
        transaction.on_commit(lambda: self.add(*values, number=number), robust=True)

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
        totals = accumulate(counts.get(bound, 0) for bound in self._bounds)
        family = HistogramMetricFamily(self.name, self.text)
        family.add_metric([], buckets=[*zip(self._bounds, totals, strict=True)], sum_value=counts.get("sum", 0))
        return family


def collect() -> list[Metric]:
    """The counts of all processes, without the last FLUSH_AFTER seconds of the others."""
    flush()
    counts: dict[str, dict[str, float]] = {kind.name: {} for kind in _kinds}
    for name, labels, value in CounterValue.objects.values_list("name", "labels", "value"):
        counts.setdefault(name, {})[labels] = value
    return [kind.family(counts[kind.name]) for kind in _kinds]


def flush() -> None:
    """Add counts to the database that they belong to, and drop those of another. While it is down they are kept."""
    with _lock:
        # Sorted: processes that flush at the same time lock rows in the same order, so there is no deadlock.
        rows = sorted((*key, number) for key, number in _gathered.items())
        _gathered.clear()
    if not rows or connection.settings_dict["NAME"] != _gathered_in:
        return
    try:
        with transaction.atomic():
            new = [CounterValue(name=name, labels=labels) for name, labels, _ in rows]
            CounterValue.objects.bulk_create(new, ignore_conflicts=True)
            for name, labels, number in rows:
                CounterValue.objects.filter(name=name, labels=labels).update(value=F("value") + number)
    except Error as error:
        logger.warning("counts wait for the database: %s", type(error).__name__)
        _gather({(name, labels): number for name, labels, number in rows})


def _gather(counts: Mapping[tuple[str, str], float]) -> None:
    global _gathered_in  # noqa: PLW0603
    with _lock:
        if not _gathered:
            _gathered_in = connection.settings_dict["NAME"]
            # Only this process has a database in memory, so `collect` is soon enough. Tests have one by default with
            # SQLite: a thread that writes would make them fail with "database table is locked".
            if not (connection.vendor == "sqlite" and connection.is_in_memory_db()):  # type: ignore[attr-defined]
                _schedule()
        for key, number in counts.items():
            _gathered[key] += number


def _schedule() -> None:
    """
    Flush after FLUSH_AFTER seconds, in a thread that ends afterwards: an idle process has none. Raises RuntimeError if
    the machine allows no more threads; the next count tries again.
    """
    timer = threading.Timer(FLUSH_AFTER, _flush_in_thread)
    timer.daemon = True
    timer.start()


def _flush_in_thread() -> None:
    with errors_logged(logger, "counts are lost"):  # such as a test's, which allows no database
        flush()


@atexit.register
def _flush_at_exit() -> None:
    with contextlib.suppress(Exception):
        flush()


os.register_at_fork(after_in_child=_gathered.clear)  # they are the parent's, and so is the timer
