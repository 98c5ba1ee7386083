"""The circuit breaker, and the watchdog's deadline."""

import socket
import time

import pytest

from core.circuit_breaker import CircuitBreaker
from worker.watchdog import guard


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
    assert breaker.failures == 14


def test_a_cancelled_try_is_left_to_the_next_caller(tick) -> None:
    """There was nothing to send."""
    breaker = CircuitBreaker(first=5, longest=20)
    breaker.failed()
    tick(5)
    assert breaker.allow()
    breaker.cancelled()
    assert breaker.allow()


def test_a_socket_is_shut_when_its_time_is_over() -> None:
    """A reader gets the end of the stream, though the other side never sent anything."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(10)
        begun = time.monotonic()
        with guard(lambda: left, seconds=0.1):
            assert left.recv(1) == b""
        assert time.monotonic() - begun < 5


def test_in_time_nothing_is_shut() -> None:
    """Nor where there is no socket, or it is closed already."""
    left, right = socket.socketpair()
    with left, right:
        with guard(lambda: left, seconds=60):
            pass
        with guard(lambda: None, seconds=0):
            time.sleep(0.6)
        right.sendall(b"x")
        assert left.recv(1) == b"x"
    with guard(lambda: left, seconds=0):
        time.sleep(0.6)
