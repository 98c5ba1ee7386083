"""A worker dies at a named point: the mail arrives all the same, at most once more than needed."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import WORKER, emptied, post_mails
from tests.faults.worker import POINTS
from tests.servers import Postgres, Redis, System, Visitor, code_in, wait_until
from tests.worker.sink import Sink
from worker import outbox, sending

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

BEFORE_THE_DOT = {"after claim", "after MAIL"}
LATE = 30  # seconds for a new worker to start, and for a machine that is busy


system = pytest.fixture(emptied)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing(system: System, sink: Sink, point: str, tmp_path: Path) -> None:
    """Before the dot no repeat; after it one, with the same Message-ID and the same code."""
    alice, email = Visitor(system.url), "alice@example.com"
    flag = tmp_path / "crashed"
    with system.worker("doomed", *WORKER, TEST_CRASH=point, TEST_FLAG=str(flag)) as doomed:
        alice.post("/signup/", email=email)
        wait_until(lambda: doomed.poll() is not None, "the crash")
    assert doomed.returncode == 9
    with system.worker("healthy", *WORKER) as healthy:
        assert os.getpriority(os.PRIO_PROCESS, healthy.pid) > os.getpriority(os.PRIO_PROCESS, 0)  # it stands back
        wait_until(lambda: system.rows("SELECT state FROM worker_delivery") == [("sent",)], "the settling")
    mails = sink.parsed(email)
    print(f"{point}: lost 0, repeated {len(mails) - 1}")
    assert len(mails) == (1 if point in BEFORE_THE_DOT else 2)
    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len({code_in(mail) for mail in mails}) == 1
    fields = {"email": email, "username": "alice", "password": "correct horse b"}
    assert alice.post("/signup/verify/", captcha=code_in(mails[0]), **fields).status_code == 303


def test_a_worker_that_was_frozen_repeats_only_the_mail_in_hand(system: System, sink: Sink) -> None:
    """Others have sent the rest of its batch when it goes on, after a pause of its container or its machine."""
    sink.script = {"DOT": ["late 250 taken", "250 taken"]}
    post_mails(system, 10)
    with system.worker("frozen", *WORKER, threads=1) as frozen:
        wait_until(lambda: sink.mails, "the first mail")
        frozen.send_signal(signal.SIGSTOP)
        try:
            with system.worker("healthy", *WORKER):
                states = "SELECT state, count(*) FROM worker_delivery GROUP BY state"
                wait_until(lambda: system.rows(states) == [("sent", 10)], "the last mail", patience=60)
        finally:
            frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: "settled by another worker" in system.log("frozen"), "the end of its freeze")
    assert len(sink.mails) == 10 + 1


def test_a_killed_workers_mails_soon_leave_and_few_are_repeated(
    postgres: Postgres, redis: Redis, tmp_path: Path
) -> None:
    """
    As shipped, of fifty mails that sixteen threads have in hand: those that were accepted and not recorded are repeated,
    a group at most and one for each answer that came meanwhile; the others leave when their lease is over.
    """
    slow = Sink({"DOT": ["250 taken"] * 20 + ["hang"]})
    system = System(database=postgres.migrated_database(), redis=redis.url, mail=slow, logs=tmp_path)
    post_mails(system, 50)
    with system.worker("killed", threads=16) as killed:
        wait_until(lambda: len(slow.mails) >= 20, "twenty mails")
        killed.kill()
        killed.wait()
    killed_at = time.monotonic()
    slow.script["DOT"] = ["250 taken"]
    with system.worker("healthy", threads=16):
        states = "SELECT state, count(*) FROM worker_delivery GROUP BY state"
        wait_until(lambda: system.rows(states) == [("sent", 50)], "the last mail", patience=60)
    last = max(slow.times) - killed_at
    repeats = len(slow.mails) - 50
    print(f"the last mail left {last:.1f} s after the kill; {repeats} of 50 were repeated")
    assert last < outbox.LEASE + LATE
    assert repeats <= 16 + sending.GROUP
