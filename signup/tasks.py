"""What beat asks for."""

import logging
from typing import Any

from celery import shared_task

from . import retention as purging

logger = logging.getLogger(__name__)


@shared_task(name="signup.tasks.purge")
def purge(**later: Any) -> None:
    """Delete what nobody needs any more. `later`: what a newer beat may say beside, while both run."""
    for kind, rows in purging.purge():
        logger.info("purged %s: %s", kind, rows)
