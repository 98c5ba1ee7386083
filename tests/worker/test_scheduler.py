"""Beat's schedule."""

from datetime import UTC, datetime, timedelta

import time_machine
from celery import beat, current_app

from worker.scheduler import Scheduler


def test_a_clock_that_was_set_back_delays_no_task() -> None:
    """By more than the task's own interval. A machine may start with a clock that is hours ahead."""
    now = datetime.now(UTC)
    with time_machine.travel(now + timedelta(days=1)):
        scheduler = Scheduler(current_app, lazy=True)
        entry = beat.ScheduleEntry("purge", "signup.tasks.purge", schedule=timedelta(hours=1), app=current_app)
    with time_machine.travel(now):
        is_due, seconds = scheduler.is_due(entry)
        assert (is_due, 3_590 < seconds <= 3_600) == (False, True)
    with time_machine.travel(now + timedelta(hours=1, seconds=1)):
        assert scheduler.is_due(entry).is_due
