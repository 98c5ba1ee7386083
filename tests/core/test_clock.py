"""The clock that all machines share."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from core import clock
from tests.servers import Postgres, System
from tests.worker.sink import Sink

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ahead", timedelta(0))
    monkeypatch.setattr(clock, "_queried_at", float("-inf"))


class Database:
    """A database with a clock of its own, by which it is so far ahead; `slowness` is how long it takes to answer."""

    alias, vendor = "default", "postgresql"

    def __init__(self, ahead: timedelta) -> None:
        self.ahead, self.asked = ahead, 0

    def cursor(self) -> "Database":
        return self

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def execute(self, sql: str) -> None:
        self.asked += 1

    def fetchone(self) -> list[datetime]:
        return [timezone.now() + self.ahead]


def ahead() -> timedelta:
    """Of this machine's own clock, to the second."""
    return timedelta(seconds=round((clock.now() - timezone.now()).total_seconds()))


@pytest.mark.parametrize("theirs", [QUARTER, -QUARTER])
def test_the_clock_is_the_databases(theirs: timedelta) -> None:
    """Whatever this machine believes; asked once in a while, not for each connection."""
    database = Database(theirs)
    for _ in range(3):
        clock.follow_database(connection=database)
    assert (ahead(), database.asked) == (theirs, 1)


def test_sqlite_has_no_clock_of_its_own() -> None:
    """It reads this machine's."""
    database = Database(QUARTER)
    database.vendor = "sqlite"
    clock.follow_database(connection=database)
    assert (ahead(), database.asked) == (timedelta(0), 0)


@pytest.mark.parametrize(
    ("theirs", "took", "expected"),
    [
        (0.9 * SECOND, timedelta(0), timedelta(0)),
        (-0.9 * SECOND, timedelta(0), timedelta(0)),
        (5 * SECOND, 5 * SECOND, timedelta(0)),  # asked at 12:00:00, answered at 12:00:05 by a clock that agrees
        (0 * SECOND, 5 * SECOND, timedelta(0)),
        (QUARTER, timedelta(0), QUARTER),
        (QUARTER, 4 * SECOND, QUARTER - 2 * SECOND),
    ],
)
def test_a_slow_answer_moves_no_clock_that_may_be_right(
    theirs: timedelta, took: timedelta, expected: timedelta
) -> None:
    """Clocks that NTP keeps stay as they are: times of one machine never go back by a millisecond."""
    clock.follow(NOON + theirs, before=NOON, after=NOON + took)
    assert clock._ahead == expected


def test_a_clock_that_was_set_right_is_followed_back() -> None:
    """And one that is wrong stays as it was measured, until it no longer fits."""
    clock.follow(NOON + QUARTER, before=NOON, after=NOON)
    clock.follow(NOON + QUARTER + 0.5 * SECOND, before=NOON, after=NOON)
    assert clock._ahead == QUARTER
    clock.follow(NOON, before=NOON, after=NOON)
    assert clock._ahead == timedelta(0)


ON_A_MACHINE = """
import time_machine
from datetime import UTC, datetime, timedelta
with time_machine.travel(datetime.now(UTC) + timedelta(minutes={minutes})):
    {step}
"""
ASK = "from signup import services; services.request_code(address='alice@example.com', language='en', held={})"
SEND = "from worker import sending; print('SENT', sending.deliver())"
LOOK = """
    import json
    from django.utils import timezone
    from verification.models import CaptchaModel
    from verification.states import state_of
    from worker.models import Delivery
    from core import clock
    sign_up, mail = CaptchaModel.objects.get(), Delivery.objects.get()
    ages = [(clock.now() - each).total_seconds() for each in (sign_up.mailed_at, mail.admitted_at, mail.sent_at)]
    print("SEEN" + json.dumps([state_of(sign_up).value, sign_up.seconds_left, ages]))
"""


@pytest.fixture
def system(postgres: Postgres, tmp_path: Path) -> Iterator[System]:
    """A database that machines share, and a mail server."""
    sink = Sink()
    yield System(database=postgres.migrated_database(), mail=sink, logs=tmp_path)
    sink.close()


def on_a_machine(system: System, step: str, *, minutes: int) -> str:
    """Run a step in a process of its own, whose clock is so many minutes ahead."""
    return system.shell(ON_A_MACHINE.format(minutes=minutes, step=step))


@pytest.mark.postgres
@pytest.mark.parametrize(("web", "worker", "other_web"), [(0, 15, 0), (15, -15, -15)])
def test_a_code_lives_as_long_on_machines_whose_clocks_are_wrong(
    system: System, web: int, worker: int, other_web: int
) -> None:
    """CAPTCHA_TTL from its acceptance, by the clock of the database that they share."""
    on_a_machine(system, ASK, minutes=web)
    assert "SENT 1" in on_a_machine(system, SEND, minutes=worker)
    state, seconds_left, ages = json.loads(on_a_machine(system, LOOK, minutes=other_web).partition("SEEN")[2])
    assert state == "open"
    assert 500 < seconds_left <= 601
    assert all(-1.5 < age < 100 for age in ages)
    [(expires_in,)] = system.rows("SELECT extract(epoch FROM expires_at - now()) FROM verification_captchamodel")
    assert 500 < expires_in <= 601.5
