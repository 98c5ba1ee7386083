"""What the broker may ask for. Arguments are ids alone."""

from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down

from . import sender
from .sweeper import Sweeper

_sweepers: list[Sweeper] = []


@shared_task(name="worker.tasks.deliver")
def deliver(delivery_id: int) -> int:
    """Send this delivery, and what else is due."""
    return sender.deliver(first=delivery_id)


@worker_ready.connect
def _start_sweeper(**kwargs: Any) -> None:
    _sweepers.append(Sweeper())
    _sweepers[-1].start()


@worker_shutting_down.connect
def _stop_sweeper(**kwargs: Any) -> None:
    while _sweepers:
        _sweepers.pop().stop()
