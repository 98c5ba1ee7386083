"""What beat asks for."""

import logging

from celery import shared_task

from . import purge as purging

logger = logging.getLogger(__name__)


@shared_task(name="signup.tasks.purge")
def purge() -> None:
    """Delete what nobody needs any more."""
    for kind, rows in purging.purge():
        logger.info("purged %s: %s", kind, rows)
