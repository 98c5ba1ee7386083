"""The registry of health checks: `/readyz` and `/metrics` run the quick ones, `manage.py doctor` all."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

from django.db import connection
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from core.observability import redaction

logger = logging.getLogger(__name__)

TIME_LIMIT = 8.0  # seconds for all checks of `run`; most drivers have shorter time limits of their own
FRESH = 1.0  # seconds for which `cached_readiness` repeats its result
HANGS = 5.0  # seconds after which a quick check is taken for down; its driver may wait as long for a connection


class State(Enum):
    """The states of a check, from the best to the worst."""

    SKIPPED = "skipped"  # there is nothing to check
    OK = "ok"
    WARNING = "warning"  # works, and an operator should know
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of one check, in the operator's language."""

    state: State
    text: str


ok = partial(Finding, State.OK)
warning = partial(Finding, State.WARNING)
failed = partial(Finding, State.FAILED)
skipped = partial(Finding, State.SKIPPED)


@dataclass(frozen=True)
class Check:
    check: Callable[[], Finding]
    label: str | Promise
    quick: bool = False

    def run(self) -> Finding:
        """The check's finding; an exception counts as FAILED, without the secrets and addresses in its text."""
        try:
            return self.check()
        except Exception as error:
            text = " ".join(str(error).split())
            return failed(redaction.scrub(f"{type(error).__name__}: {text}"[:300]))


_checks: dict[str, Check] = {}


def register(name: str, check: Callable[[], Finding], label: str | Promise, *, quick: bool = False) -> None:
    """Add a check: `name` is for programs, `label` for people. A quick one has the time limit of its driver."""
    _checks[name] = Check(check, label, quick)


def registered() -> dict[str, Check]:
    return dict(_checks)


def run(checks: Mapping[str, Check], *, limit: float = TIME_LIMIT) -> Iterator[tuple[str, Finding]]:
    """Run all checks at once; yield (name, finding) in their order. A check has failed after `limit` seconds."""
    language, findings = translation.get_language(), dict[str, Finding]()

    def run_one(name: str) -> None:
        with translation.override(language):
            findings[name] = checks[name].run()
        connection.close()

    deadline = time.monotonic() + limit
    # Daemons, so that the process can exit while a check hangs.
    threads = {name: threading.Thread(target=run_one, args=[name], daemon=True) for name in checks}
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        yield name, findings.get(name) or failed(_("no answer within %(seconds)d s") % {"seconds": limit})


def _quick_checks() -> dict[str, Check]:
    return {name: check for name, check in _checks.items() if check.quick}


def readiness() -> dict[str, str]:
    """Run the quick checks, one after the other; return name -> "ok" or "down". The reasons go to the log only."""
    return ReadinessCache().get()  # a new one has no earlier states


class ReadinessCache:
    """
    The result of `readiness`, at most FRESH seconds old; before the first, everything is "down". One caller runs the
    checks again, and all others get the previous states at once: a flood of requests occupies one thread. A check that
    hangs is "down" for them: a frozen server that still holds its connections may never answer.
    """

    def __init__(self) -> None:
        self._running = threading.Lock()
        self._states: dict[str, str] = {}
        self._run_at = float("-inf")
        self._begun: tuple[str, float] | None = None  # the name of the check that runs now, and when it began

    def get(self) -> dict[str, str]:
        if self._running.acquire(blocking=False):
            try:
                if time.monotonic() - self._run_at >= FRESH:
                    self._states = self._run()
                    self._run_at = time.monotonic()
            finally:
                self._begun = None
                self._running.release()
        states = self._states or dict.fromkeys(_quick_checks(), "down")
        begun = self._begun  # read once, as another thread changes it
        if begun and time.monotonic() - begun[1] >= HANGS:
            states = {**states, begun[0]: "down"}
        return states

    def _run(self) -> dict[str, str]:
        states = {}
        for name, check in _quick_checks().items():
            self._begun = name, time.monotonic()
            finding = check.run()
            if is_down := finding.state is State.FAILED:
                logger.warning("not ready: %s: %s", name, finding.text)
            states[name] = "down" if is_down else "ok"
        return states


cached_readiness = ReadinessCache().get
