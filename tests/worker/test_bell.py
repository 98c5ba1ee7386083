"""The bell: it may fail, and never hurts."""

import time

import pytest

from worker import bell
from worker.celery import app

REAL_RING = bell.ring


@pytest.fixture(autouse=True)
def closed() -> None:
    bell.breaker.ok()


def test_it_sends_ids_and_nothing_else(monkeypatch) -> None:
    """One message each, which expires."""
    sent: list[tuple] = []
    monkeypatch.setattr(app, "send_task", lambda name, **options: sent.append((name, options)))
    assert REAL_RING([7, 8])
    assert sent == [
        ("worker.tasks.deliver", {"args": [7], "expires": 360}),
        ("worker.tasks.deliver", {"args": [8], "expires": 360}),
    ]


def test_a_failure_silences_it_for_five_seconds(monkeypatch) -> None:
    """A dead broker costs one caller, not each."""
    calls: list[str] = []

    def fail(name: str, **options: object) -> None:
        calls.append(name)
        raise ConnectionError

    monkeypatch.setattr(app, "send_task", fail)
    failures = bell.breaker.failures
    assert not REAL_RING([1])
    assert not REAL_RING([2])
    assert len(calls) == 1
    assert bell.breaker.failures == failures + 1
    later = time.monotonic() + bell.SILENCE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not REAL_RING([3])
    assert len(calls) == 2


def test_the_probe_reaches_the_broker() -> None:
    """The in-memory one is always there."""
    bell.probe()
