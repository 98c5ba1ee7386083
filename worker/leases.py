"""Renew the leases of this process while it runs. So they can be short, and a killed process soon frees its mails."""

import logging
import os
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from core.observability.logs import errors_logged

from . import outbox
from .models import Delivery

logger = logging.getLogger(__name__)

RENEWAL = 5.0  # seconds; a third of the lease, so that one failure loses none
LONGEST = 180.0  # seconds; a batch takes less, even if its answers wait for the database, unless its thread hangs

_held: dict[str, tuple[list[int], float]] = {}  # by token: the ids of its mails, and until when it is renewed
_renewer: threading.Thread | None = None
os.register_at_fork(after_in_child=_held.clear)  # they are the parent's


@contextmanager
def held(deliveries: Sequence[Delivery]) -> Generator[None]:
    """Renew the lease of claimed mails, which is one for all of them, until they are settled or released."""
    global _renewer  # noqa: PLW0603
    if not deliveries:
        yield
        return
    if not (_renewer and _renewer.is_alive()):  # a forked child has none
        _renewer = renewer = threading.Thread(target=_renew, name="leases", daemon=True)
        renewer.start()  # before they are held: the machine may allow no more threads
    token = deliveries[0].lease_token
    _held[token] = [each.pk for each in deliveries], time.monotonic() + LONGEST
    try:
        yield
    finally:
        del _held[token]


def _renew() -> None:
    while _renewer is threading.current_thread():  # claims at the same time start one each
        time.sleep(RENEWAL)
        with errors_logged(logger, "leases can't be renewed"):
            now = time.monotonic()
            if now_held := {token: ids for token, (ids, until) in dict(_held).items() if now < until}:
                outbox.renew(held=now_held)
