"""The part of beat that sends the tasks of the schedule."""

from celery import beat


class Scheduler(beat.Scheduler):
    """
    Celery's scheduler in memory, so that no schedule file can be lost or locked. Each message takes a connection from
    Celery's pool, which closes it after an error. By default the scheduler would keep one of its own, even to a Redis
    that became a replica.
    """

    producer = None  # type: ignore[assignment]
