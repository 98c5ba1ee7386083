"""What readiness means: apps register a probe for each thing they depend on."""

import logging
from collections.abc import Callable

from django.core.cache import cache
from django.db import connection

logger = logging.getLogger(__name__)

Probe = Callable[[], object]
_probes: dict[str, Probe] = {}


def register(name: str, probe: Probe) -> None:
    """Add a probe: it returns when the thing is well, and raises when it is not. It must have a timeout."""
    _probes[name] = probe


def run() -> dict[str, str]:
    """Ask every probe; return name -> "ok" or "down". Reasons go to the log, never to a stranger."""
    return {name: _ask(name, probe) for name, probe in _probes.items()}


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
