"""The tasks that beat schedules."""

import logging
from typing import Any

from celery import shared_task

from . import retention

logger = logging.getLogger(__name__)


# Acknowledged when it begins: the broker hands a message that it still has after 120 s to another thread, and so on,
# until long purges have taken all of those that send mails. One that is lost is made up for in an hour.
@shared_task(name="signup.tasks.purge", acks_late=False)
def purge(**later: Any) -> None:
    """Delete outdated rows. Accepts arguments that newer releases add, so that both run during a deploy."""
    for kind, rows in retention.purge():
        logger.info("purged %s: %s", kind, rows)
