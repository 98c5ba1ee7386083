"""What readiness means: apps register a probe for each thing they depend on."""

import logging
import threading
import time
from collections.abc import Callable

from django.core.cache import cache
from django.db import connection

logger = logging.getLogger(__name__)

Probe = Callable[[], object]
_probes: dict[str, Probe] = {}

FRESH = 1.0  # seconds for which the states of a process's dependencies are told again
_asking = threading.Lock()
_states: dict[str, str] = {}
_asked_at = float("-inf")


def register(name: str, probe: Probe) -> None:
    """Add a probe: it returns when the thing is well, and raises when it is not. It must have a timeout."""
    _probes[name] = probe


def run() -> dict[str, str]:
    """Ask every probe; return name -> "ok" or "down". Reasons go to the log, never to a stranger."""
    return {name: _ask(name, probe) for name, probe in _probes.items()}


def latest() -> dict[str, str]:
    """
    Return what `run` said last, at most FRESH seconds ago; where that is older, one caller runs it again.

    All others are answered at once meanwhile, by the last known states: however slow a dependency is, a flood of
    questions occupies one thread. A process that has not asked anything yet says "down".
    """
    global _states, _asked_at  # noqa: PLW0603
    if _asking.acquire(blocking=False):
        try:
            if time.monotonic() - _asked_at >= FRESH:
                _states = run()
                _asked_at = time.monotonic()
        finally:
            _asking.release()
    return _states or dict.fromkeys(_probes, "down")


def _ask(name: str, probe: Probe) -> str:
    try:
        probe()
    except Exception as error:
        logger.warning("not ready: %s: %s", name, type(error).__name__)
        return "down"
    return "ok"


def database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def redis() -> None:
    cache.get("readyz")
