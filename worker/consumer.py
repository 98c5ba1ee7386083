"""The part of a worker that takes messages from the broker."""

from typing import Any

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """
    Celery's, without the questions to other workers (mingle) and about them (gossip): they are about revoked tasks and
    elections, which are not used here. The first take a second at each connection to the broker; if the connection is
    lost meanwhile, the worker exits with "Unrecoverable error" (celery 5.7) and does not reconnect.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_mingle": True, "without_gossip": True})
