"""A real Postfix with limits, with greylisting, and with a next hop that returns mails; its mails end in a sink."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import METRICS_TOKEN, WORKER
from tests.servers import ROOT, Greylist, Postfix, Postgres, Prometheus, Redis, System, Visitor, free_port, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.postfix]

STATES = "SELECT state, count(*) FROM worker_delivery GROUP BY state"


@contextmanager
def running(postgres: Postgres, redis: Redis, postfix: Postfix, logs: Path, **patch: Any) -> Generator[System]:
    """The web and two workers of sixteen threads, as shipped but for `patch`."""
    database, shorter = postgres.migrated_database(), json.dumps(patch)
    more = {"TEST_PATCH": shorter, "METRICS_TOKEN": METRICS_TOKEN}
    system = System(database=database, redis=redis.url, mail=postfix, logs=logs, **more)
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


MAIL_ALERTS = {"MailBacklog", "MailServerDown", "MailsDeferred", "MailsFailed", "LeasesLost", "WorkersGone"}
LIMITS = {
    "smtpd_client_connection_count_limit": "10",
    "smtpd_client_connection_rate_limit": "60",
    "smtpd_client_message_rate_limit": "150",
    "anvil_rate_time_unit": "5s",
}


@pytest.mark.prometheus
def test_a_greylisting_mail_server_with_limits_gets_every_mail_once(
    postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path
) -> None:
    """
    It puts off everything for a while, then only what it does not know yet: people see their mail delayed, operators
    an alert. Every mail arrives once, soon after the server takes mails again, and the alert ends.
    """
    folder = tmp_path / "prometheus"
    folder.mkdir()
    patch = {"worker.outbox": {"BACKOFF": [2, 15, 30, 30, 30, 30], "EARLY_AGAIN": 6, "LOOK_AGAIN": 1}}
    people = [f"alice{n}@example.com" for n in range(160)]
    with ExitStack() as stack:
        greylist = stack.enter_context(Greylist(4.0))
        policy = f"check_policy_service inet:127.0.0.1:{greylist.port}"
        postfix = stack.enter_context(Postfix(sink.port, smtpd_recipient_restrictions=policy, **LIMITS))
        system = stack.enter_context(running(postgres, redis, postfix, tmp_path, **patch))
        prometheus = stack.enter_context(Prometheus(system.port, folder, token=METRICS_TOKEN))

        greylist.closed = True
        alice, email = Visitor(system.url), "alice@example.net"
        alice.post("/signup/", email=email)
        sign_up(system, people[:80])
        wait_until(lambda: "MailsDeferred" in prometheus.firing(), "the alert", patience=60)
        wait_until(lambda: alice.get("/signup/status/").json()["state"] == "delayed", "the delay")
        assert "MailServerDown" not in prometheus.firing()
        time.sleep(8)
        assert not sink.mails

        greylist.closed = False
        begun = time.monotonic()
        sign_up(system, people[80:])
        wait_until(lambda: states(system) == {"sent": 161}, "the last mail", patience=90)
        print(f"161 mails {time.monotonic() - begun:.1f} s after the server took mails again; {greylist.asked} tries")
        assert alice.get("/signup/status/").json()["state"] == "sent"
        wait_until(lambda: len(sink.mails) >= 161, "the relaying")
        wait_until(lambda: not prometheus.firing() & MAIL_ALERTS, "the end of the alerts", patience=60)
    assert set(delivered(sink).values()) == {1}
    assert len(delivered(sink)) == 161


class Pipe:
    """
    The program of Postfix's pipe transport. Postfix doesn't run it as root, and its user may not be able to read this
    checkout: so it hands the mail over, and ends with the exit code that it gets for it.
    """

    def __init__(self, folder: Path) -> None:
        self._mail, self._code = folder / "mail", folder / "code"
        for each in (self._mail, self._code):
            os.mkfifo(each)
            each.chmod(0o666)
        script = folder / "script"
        script.write_text(f"#!/bin/sh\ncat > {self._mail} && exit $(cat {self._code})\n")
        script.chmod(0o755)

    def run(self, system: System, *command: str, **environment: str) -> str:
        """Wait for a mail, and run a command of the project with it; return what it prints."""
        with self._mail.open("rb") as mail:
            done = subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=system.environment | environment,
                stdin=mail,
                capture_output=True,
                text=True,
            )
        self._code.write_text(str(done.returncode))
        return done.stdout


def test_a_returned_mail_is_recorded_and_its_address_suppressed(
    postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path
) -> None:
    """
    Postfix accepts a mail, the next hop refuses it, and Postfix returns it to the sender, whose mail goes to
    `manage.py bounce`. While the database is away Postfix keeps it. Then the page says what happened, and another
    request for the address is told at once; one for another address isn't.
    """
    sink.script["RCPT"] = ["550 5.1.1 no such user here", "250 fine"]
    routes = {"transport_maps": "inline:{ noreply@doorcode.test=script: }"}
    soon = {"queue_run_delay": "1s", "minimal_backoff_time": "1s"}
    with Postfix(sink.port, **routes, **soon) as postfix:
        database, pipe = postgres.migrated_database(), Pipe(postfix.folder)
        with System(database=database, redis=redis.url, mail=postfix, logs=tmp_path).run() as system:
            alice = Visitor(system.url)
            alice.post("/signup/", email="alice@example.com")
            pipe.run(system, "bounce", DATABASE_URL=f"postgres://doorcode@127.0.0.1:{free_port()}/doorcode")
            wait_until(lambda: postfix.said("status=deferred") == 1, "the mail's way back into the queue")
            assert state_of(alice) == ("sent", None)

            told = json.loads(pipe.run(system, "bounce", "--json"))
            assert told == {"reports": [{"state": "bounced", "outcome": "recorded"}]}
            assert state_of(alice) == ("bounced", "mailbox")
            assert system.rows("SELECT state, cause FROM worker_delivery") == [("bounced", "mailbox")]
            assert system.rows("SELECT address, reason FROM worker_suppression") == [("alice@example.com", "bounced")]

            for email, state in (("alice@example.com", "failed"), ("bob@example.com", "sent")):
                visitor = Visitor(system.url)
                visitor.post("/signup/", email=email)
                told = wait_until(partial(settled, visitor), f"the news of {email}")
                assert told == state
            wait_until(lambda: sink.parsed("bob@example.com"), "the relaying")
            assert not sink.parsed("alice@example.com")


def settled(visitor: Visitor) -> str | None:
    """The state of the mail, once it has a lasting one."""
    state = state_of(visitor)[0]
    return None if state in ("queued", "sending", "delayed") else state


def state_of(visitor: Visitor) -> tuple[str, str | None]:
    """The state of the mail on its page, and the reason."""
    news = visitor.get("/signup/status/").json()
    return news["state"], news.get("reason")
