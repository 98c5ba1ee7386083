"""The part of beat that sends the tasks of the schedule."""

from typing import Any

from celery import beat


class Scheduler(beat.Scheduler):
    """
    Celery's scheduler in memory, so that no schedule file can be lost or locked. Each message takes a connection from
    Celery's pool, which closes it after an error. By default the scheduler would keep one of its own, even to a Redis
    that became a replica.
    """

    producer = None  # type: ignore[assignment]

    def is_due(self, entry: beat.ScheduleEntry) -> Any:
        """If the clock was set back, a task waits for its interval, and not until the clock is where it was as well."""
        now = entry.default_now()
        entry.last_run_at = min(entry.last_run_at or now, now)
        return super().is_due(entry)
