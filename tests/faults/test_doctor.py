"""The doctor at a system that is really broken."""

import json
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.faults.conftest import WORKER
from tests.servers import ROOT, Redis, System, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]


def doctor(system: System, *options: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the findings by name."""
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json", *options],
        cwd=ROOT,
        env=system.environment | environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    return done.returncode, {each["name"]: each for each in json.loads(done.stdout)["findings"]}


def test_a_well_system_is_well(system: System) -> None:
    """With a worker and its sweeper. It has one mail server, and a domain that is only for tests: nobody is asked for it."""
    with system.worker("worker", *WORKER):
        wait_until(lambda: system.rows("SELECT 1 FROM worker_heartbeat"), "a sign of life")
        code, found = doctor(system)
    states = {name: each["state"] for name, each in found.items() if each["state"] != "ok"}
    assert states == dict.fromkeys(["fallback_mail_server", "spf", "dkim", "dmarc", "mx", "ptr"], "skipped")
    assert (code, "worker@" in found["workers"]["text"]) == (0, True)


def test_a_worker_that_takes_no_messages_about_mails_is_none(system: System) -> None:
    """After this command, or with `-Q`: it answers, and its sweeper sends mails, slowly."""
    cancel = ("-m", "celery", "-A", "worker", "control", "cancel_consumer", "celery")
    with system.worker("worker", *WORKER):
        wait_until(lambda: system.rows("SELECT 1 FROM worker_heartbeat"), "a sign of life")
        with system.start("control", *cancel) as control:
            assert control.wait(timeout=30) == 0
        _code, found = doctor(system)
    assert {name for name, each in found.items() if each["state"] == "failed"} == {"workers"}


def test_a_sender_that_the_mail_server_refuses_is_told(system: System) -> None:
    """Before anybody waits for a mail; nothing is sent."""
    sink = Sink({"MAIL": ["553 Mail from must equal authorized user"]})
    try:
        code, found = doctor(system, EMAIL_URL=sink.url)
    finally:
        sink.close()
    words = "it refuses the sender noreply@doorcode.test: 553 Mail from must equal authorized user"
    assert (code, found["mail_server"]["state"], words in found["mail_server"]["text"]) == (1, "failed", True)
    assert {line.split()[0] for line in sink.said} == {"ehlo", "mail", "rset", "quit"}


def test_a_frozen_redis_and_a_silent_mail_server_hide_nothing(system: System, redis: Redis) -> None:
    """Each of them fails; all else is examined, in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        redis.send(signal.SIGSTOP)
        try:
            code, found = doctor(system, EMAIL_URL=f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        finally:
            redis.send(signal.SIGCONT)
    broken = {name for name, each in found.items() if each["state"] == "failed"}
    assert broken == {"redis", "broker", "workers", "sweeper", "mail_server", "clock_of_redis"}
    assert {found[name]["state"] for name in ("database", "migrations", "keys", "clock_of_database")} == {"ok"}
    assert code == 1
