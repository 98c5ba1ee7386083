"""The tasks that beat schedules."""

import logging
from typing import Any

from celery import shared_task

from . import retention

logger = logging.getLogger(__name__)


@shared_task(name="signup.tasks.purge")
def purge(**later: Any) -> None:
    """Delete outdated rows. Accepts arguments that newer releases add, so that both run during a deploy."""
    for kind, rows in retention.purge():
        logger.info("purged %s: %s", kind, rows)
