"""The circuit breaker."""

import pytest

from core.circuit_breaker import CircuitBreaker


@pytest.fixture
def tick(monkeypatch):
    """The monotonic clock, moved by hand."""
    now = [1000.0]
    monkeypatch.setattr("core.circuit_breaker.time.monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_it_opens_lets_one_try_and_closes(tick) -> None:
    """One try after the pause; success closes it."""
    breaker = CircuitBreaker(first=5, longest=20)
    assert breaker.allow()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allow()
    tick(5)
    assert not breaker.is_open
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.allow()


def test_pauses_double_up_to_the_longest(tick) -> None:
    """By failures while half-open; parallel failures count as one."""
    breaker = CircuitBreaker(first=5, longest=20)
    for _ in range(10):
        breaker.failed()
    for pause in (5, 10, 20, 20):
        tick(pause - 0.1)
        assert not breaker.allow()
        tick(0.1)
        assert breaker.allow()
        breaker.failed()


def test_a_cancelled_try_is_left_to_the_next_caller(tick) -> None:
    """There was nothing to send."""
    breaker = CircuitBreaker(first=5, longest=20)
    breaker.failed()
    tick(5)
    assert breaker.allow()
    breaker.cancelled()
    assert breaker.allow()
    breaker.failed()
    breaker.cancelled()  # of a caller that was let through before
    assert not breaker.allow()
