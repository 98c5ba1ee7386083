"""The part of beat that sends the tasks of the schedule."""

from celery import beat


class Scheduler(beat.Scheduler):
    """
    Celery's, in memory: there is no schedule file to lose or to lock. Each message takes a connection of Celery's pool,
    which closes one after an error. Celery's scheduler keeps its own, also to a Redis that became a replica.
    """

    producer = None  # type: ignore[assignment]
