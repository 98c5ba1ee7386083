"""Find deliveries that no bell was heard for. It needs the database alone, so it works while the broker is gone."""

import contextlib
import logging
import threading
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from core import clock

from . import heartbeat, mail_limits, notify, outbox, sending, smtp

logger = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds
DEAF = timedelta(seconds=10)  # that a mail may be due while bells are rung for it: then nobody seems to hear them


def sweep() -> int:
    """
    Free what a worker left behind, and ring for what is due; where nobody hears it, send some of it. Return how many
    were sent: while there are any, more may wait.

    Nothing is done while the mail server is known to be broken: it would only be put back.
    """
    if smtp.breaker.is_open:
        return 0
    outbox.take_back()
    longest = longest_due()
    if longest is None or (notify.notify_workers(longest[0]) and longest[1] < DEAF):
        return 0
    return sending.deliver()


def longest_due() -> tuple[int, timedelta] | None:
    """Return which mail has been due for longest, of those that may be sent now, and for how long."""
    age = ExpressionWrapper(Now() - F("next_attempt_at"), output_field=DurationField())
    return mail_limits.claimable(at=clock.now()).order_by("next_attempt_at").values_list("pk", age).first()


class Sweeper(threading.Thread):
    """Sweeps beside a worker until told to stop. Any number of them, in any number of processes, is safe."""

    def __init__(self) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._stop_now = threading.Event()

    def run(self) -> None:
        pause = INTERVAL
        while not self._stop_now.wait(pause):
            pause = INTERVAL
            try:
                pause = 0 if sweep() else INTERVAL
                heartbeat.beat()
            except DatabaseError as error:
                logger.warning("the sweep has to wait for the database: %s", type(error).__name__)
            except Exception:
                logger.exception("the sweep failed")
            finally:
                connection.close()
        with contextlib.suppress(DatabaseError, InterfaceError):
            heartbeat.stop()
        connection.close()

    def stop(self) -> None:
        """End after the sweep under way, at most about 10 s later."""
        self._stop_now.set()
        self.join(timeout=10)
