"""A real Postfix with limits of connections and of rate, and with greylisting; its mails end in a sink."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import WORKER
from tests.servers import Postfix, Postgres, Redis, System, Visitor, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.postfix]

STATES = "SELECT state, count(*) FROM worker_delivery GROUP BY state"


@contextmanager
def running(postgres: Postgres, redis: Redis, postfix: Postfix, logs: Path, **patch: Any) -> Iterator[System]:
    """The web and two workers of sixteen threads, as shipped but for `patch`."""
    database, shorter = postgres.new_database(), json.dumps(patch)
    system = System(database=database, redis=redis.url, mail=postfix, logs=logs, TEST_PATCH=shorter)
    with ExitStack() as stack:
        stack.enter_context(system.run(worker=False))
        for name in ("one", "two"):
            stack.enter_context(system.worker(name, *WORKER, threads=16))
        yield system


def sign_up(system: System, people: list[str]) -> None:
    visitor = Visitor(system.url)
    for email in people:
        assert visitor.fresh().post("/signup/", email=email).status_code == 303


def delivered(sink: Sink) -> Counter[str]:
    """How often each mail arrived, by its Message-ID."""
    return Counter(str(message_from_bytes(mail)["Message-ID"]) for mail in list(sink.mails))


def states(system: System) -> dict[str, int]:
    return dict(system.rows(STATES))


def connections(postfix: Postfix) -> int:
    """How many are open."""
    return postfix.said(": connect from") - postfix.said(": disconnect from")


@pytest.mark.timeout(300)
def test_idle_connections_leave_room_and_too_many_are_no_outage(
    postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path
) -> None:
    """
    Two workers of sixteen threads at a mail server that takes a second for a mail, and allows ten connections: all mails
    leave, as fast as ten connections carry them, and some seconds later none is open.
    """
    people = [f"alice{n}@example.com" for n in range(120)]
    limits = {"smtpd_client_connection_count_limit": "10", "smtpd_recipient_restrictions": "sleep 1"}
    with Postfix(sink.port, **limits) as postfix:
        with running(postgres, redis, postfix, tmp_path) as system:
            begun = time.monotonic()
            sign_up(system, people)
            wait_until(lambda: states(system) == {"sent": 120}, "the last mail", patience=60)
            print(f"120 mails in {time.monotonic() - begun:.1f} s over 10 connections")
            assert postfix.said("concurrency limit exceeded") > 0
            assert all("mail server can't be used" not in system.log(name) for name in ("one", "two"))
            wait_until(lambda: connections(postfix) == 0, "the end of idle connections", patience=15)
            sign_up(system, ["bob@example.com"])
            wait_until(lambda: states(system) == {"sent": 121}, "a mail after that", patience=10)
        wait_until(lambda: len(sink.mails) >= 121, "the relaying")
    assert set(delivered(sink).values()) == {1}
