"""Counters of several processes together."""

import pytest
from django.db import OperationalError, connection, transaction

from core.models import CounterValue
from core.observability import counters
from core.observability.counters import Counter, Histogram


@pytest.fixture(autouse=True)
def nothing_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_kinds", [])


def shown() -> dict[tuple[str, ...], float]:
    return {(row.name, *row.labels.values()): row.value for family in counters.collect() for row in family.samples}


def test_counts_add_up_over_processes(db) -> None:
    """A value that another process added is kept; a flushed count is not counted twice."""
    doors = Counter("doors", "Doors", ["colour"])
    doors.add("red", number=2)
    counters.flush()
    CounterValue.objects.filter(name="doors").update(value=10)  # another process
    doors.add("red")
    doors.add("blue")
    assert shown() == {("doors_total", "blue"): 1, ("doors_total", "red"): 11}
    assert shown() == {("doors_total", "blue"): 1, ("doors_total", "red"): 11}


def test_known_labels_are_shown_from_the_start(db) -> None:
    """A counter that appears at 1 hides its first step from Prometheus."""
    Counter("doors", "Doors", ["colour"], known=[("red",), ("blue",)])
    Counter("walls", "Walls")
    assert shown() == {("doors_total", "blue"): 0, ("doors_total", "red"): 0, ("walls_total",): 0}


def test_a_histogram_is_cumulative(db) -> None:
    """A value on a bound belongs to it; time that ran backwards counts as none."""
    waits = Histogram("waits", "Waits", [1, 5])
    for seconds in (-2.0, 1.0, 3.0, 60.0):
        waits.observe(seconds)
    assert shown() == {
        ("waits_bucket", "1"): 2,
        ("waits_bucket", "5"): 3,
        ("waits_bucket", "+Inf"): 4,
        ("waits_count",): 4,
        ("waits_sum",): 64,
    }


def test_while_the_database_is_down_counts_are_kept(db, monkeypatch) -> None:
    """Nothing is lost, nothing is doubled."""
    doors = Counter("doors", "Doors")
    doors.add(number=3)
    with monkeypatch.context() as away:
        away.setattr(counters.connection, "cursor", lambda: (_ for _ in ()).throw(OperationalError()))
        counters.flush()
    doors.add()
    assert shown() == {("doors_total",): 4}


@pytest.mark.django_db(transaction=True)
def test_a_rollback_is_not_counted() -> None:
    """Only what was committed happened."""
    doors = Counter("doors", "Doors", ["colour"])
    with transaction.atomic():
        doors.add_after_commit("red")
        transaction.set_rollback(True)
    with transaction.atomic():
        doors.add_after_commit("blue")
        assert not counters._gathered
    assert shown() == {("doors_total", "blue"): 1}


@pytest.mark.django_db(transaction=True)
def test_a_count_that_fails_after_the_commit_is_nobodys_error(monkeypatch, caplog) -> None:
    """As where no thread can be started: what was committed happened, and its other callbacks run."""
    monkeypatch.setattr(counters, "_gather", lambda counts: 1 / 0)
    ran: list[int] = []
    with transaction.atomic():
        Counter("doors", "Doors").add_after_commit()
        transaction.on_commit(lambda: ran.append(1))
    assert "ZeroDivisionError" in caplog.text
    assert ran


def test_one_thread_flushes_for_all(monkeypatch) -> None:
    """It is started by the first count, or the next if the machine allows no more threads, and by the first after a flush."""
    monkeypatch.undo()  # the fixture that keeps threads away
    monkeypatch.setattr(counters, "_kinds", [])
    started: list[object] = []
    refused: list[object] = []

    class Timer:
        def __init__(self, pause: float, call: object) -> None:
            assert pause == counters.FLUSH_AFTER
            self.call = call

        def start(self) -> None:
            if not refused:
                refused.append(self)
                raise RuntimeError("can't start new thread")
            started.append(self.call)

    monkeypatch.setattr(counters.threading, "Timer", Timer)
    monkeypatch.setattr(counters, "flush", counters._gathered.clear)
    ours = {"vendor": "postgresql", "settings_dict": {"NAME": ""}, "close": staticmethod(lambda: None)}
    monkeypatch.setattr(counters, "connection", type("None", (), ours))
    doors = Counter("doors", "Doors")
    with pytest.raises(RuntimeError):
        doors.add()
    doors.add()
    doors.add()
    assert len(started) == 1
    started[0]()
    doors.add()
    assert len(started) == 2


def test_counts_of_a_tests_database_reach_no_other(db, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django goes back to the real database when tests end, and the process flushes as it ends."""
    Counter("doors", "Doors").add()
    monkeypatch.setitem(connection.settings_dict, "NAME", "the real one")
    counters.flush()
    assert not CounterValue.objects.exists()


def test_a_test_that_allows_no_database_fails_by_no_count_of_another(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """pytest-django raises RuntimeError there, in a thread of ours."""
    monkeypatch.setattr(counters, "flush", CounterValue.objects.count)
    counters._flush_in_thread()
    assert "counts are lost" in caplog.text


@pytest.mark.parametrize(
    ("name", "threads"), [("file:memorydb_default?mode=memory&cache=shared", 0), ("site.sqlite3", 1)]
)
def test_no_thread_writes_into_a_database_in_memory(name: str, threads: int, monkeypatch) -> None:
    """As of an app's own tests: with SQLite in memory, a write beside a test made it fail at times."""
    started: list[None] = []
    monkeypatch.setattr(counters, "_schedule", lambda: started.append(None))
    monkeypatch.setitem(connection.settings_dict, "NAME", name)
    Counter("doors", "Doors").add()
    assert len(started) == threads
