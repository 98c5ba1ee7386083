"""The tasks that the broker carries, with ids as their only arguments, and the sweeper beside each worker."""

from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down

from . import notify, sending
from .sweeper import Sweeper

_sweepers: list[Sweeper] = []


# A lost worker's message goes to another. Tasks of other apps in the project have Celery's own rule.
@shared_task(name="worker.tasks.deliver", acks_late=True, reject_on_worker_lost=True)
def deliver(delivery_id: int, **later: Any) -> int:
    """
    Send due mails; return how many were claimed. `delivery_id` is the mail that the workers were notified of: a worker
    of an earlier release begins with it. `later`: arguments that newer releases add, so that both run during a deploy.
    """
    notify.message_taken()
    return sending.deliver()


@worker_init.connect  # before the broker answers, as it may not
@worker_ready.connect  # for a worker inside another program, which has no init
def _start_sweeper(**kwargs: Any) -> None:
    if not _sweepers:
        _sweepers.append(Sweeper())
        _sweepers[-1].start()


@worker_shutting_down.connect
@worker_shutdown.connect  # of a worker that ends without a signal, as by `celery control shutdown`
def _stop_sweeper(**kwargs: Any) -> None:
    while _sweepers:
        _sweepers.pop().stop()
