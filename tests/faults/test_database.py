"""PostgreSQL goes and comes back: a translated 503 meanwhile, and nobody has to be restarted."""

import json
import signal
import socket
import threading
import time
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import QUICK, WORKER, post_mails
from tests.faults.proxy import Proxy
from tests.servers import Postgres, Redis, System, Visitor, code_in, free_port, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> current_database()"


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGKILL], ids=["fast shutdown", "kill"])
def test_a_restart_is_ridden_out(redis: Redis, sink: Sink, tmp_path: Path, death: signal.Signals) -> None:
    """Web and worker reconnect by themselves; what was asked before and after arrives."""
    with Postgres() as postgres:
        database = postgres.migrated_database()
        system = System(database=database, redis=redis.url, mail=sink, logs=tmp_path, **QUICK)
        with system.run(worker=False), system.worker("worker", *WORKER) as worker:
            alice, bob = Visitor(system.url), Visitor(system.url, language="zh-CN")
            alice.post("/signup/", email="alice@example.com")
            code = code_in(wait_until(lambda: sink.parsed("alice@example.com"), "Alice's mail")[0])
            bob.get("/signup/")
            postgres.stop(death)
            begun = time.monotonic()
            away = bob.post("/signup/", email="bob@example.com")
            print(f"database away: answered {away.status_code} after {time.monotonic() - begun:.1f} s")
            assert (away.status_code, away.headers["Retry-After"]) == (503, "30")
            assert "服务暂时不可用，请稍后重试" in away.text
            postgres.start()
            wait_until(lambda: bob.post("/signup/", email="bob@example.com").status_code == 303, "the way back")
            wait_until(lambda: sink.parsed("bob@example.com"), "Bob's mail")
            fields = {"email": "alice@example.com", "username": "alice", "password": "correct horse b"}
            assert alice.post("/signup/verify/", captcha=code, **fields).status_code == 303
            assert worker.poll() is None
            assert "Traceback" not in system.log("web").split("django.request")[0]


def test_the_sweep_command_outlives_a_restart(sink: Sink, tmp_path: Path) -> None:
    """Nobody else sends mails where it is needed: without a worker and a broker."""
    with Postgres() as postgres:
        nowhere = f"redis://127.0.0.1:{free_port()}/0"
        database = postgres.migrated_database()
        system = System(database=database, redis=nowhere, mail=sink, logs=tmp_path, **QUICK)
        with system.run(worker=False), system.start("sweep", "manage.py", "sweep") as sweep:
            Visitor(system.url).post("/signup/", email="alice@example.com")
            wait_until(lambda: sink.parsed("alice@example.com"), "Alice's mail")
            postgres.stop(signal.SIGINT)
            wait_until(lambda: "wait for the database" in system.log("sweep") or sweep.poll(), "its notice")
            postgres.start()
            bob = Visitor(system.url)
            wait_until(lambda: bob.post("/signup/", email="bob@example.com").status_code == 303, "the way back")
            recorded = "SELECT count(*) FROM worker_delivery WHERE state = 'sent'"  # for that it would wait a minute
            wait_until(lambda: system.rows(recorded) == [(2,)], "Bob's mail, and its record")
            postgres.stop(signal.SIGINT)
            sweep.send_signal(signal.SIGINT)
            assert sweep.wait(timeout=30) == 0
            assert "Traceback" not in system.log("sweep")


@pytest.mark.parametrize("since", ["a failover", "its disk is full"])
def test_a_database_that_takes_no_writes_is_away(redis: Redis, sink: Sink, tmp_path: Path, since: str) -> None:
    """
    A connection may lead to a standby, or its server may be set to be read-only: 503 meanwhile, and well by itself
    afterwards, as no process keeps a connection to the standby.
    """
    with Postgres() as postgres:
        database = postgres.migrated_database()
        system = System(database=database, redis=redis.url, mail=sink, logs=tmp_path, **QUICK)
        server, then = "SYSTEM", "SELECT pg_reload_conf()"
        if since == "a failover":  # new connections lead to the standby
            server, then = f"DATABASE {database.rpartition('/')[2]}", END_ALL

        def administer(*statements: str) -> None:
            with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)

        with system.run(worker=False), system.worker("worker", *WORKER) as worker:
            alice = Visitor(system.url)
            alice.post("/signup/", email="alice@example.com")
            wait_until(lambda: sink.parsed("alice@example.com"), "Alice's mail")
            administer(f"ALTER {server} SET default_transaction_read_only = on", then)
            wait_until(lambda: alice.get("/readyz").json()["checks"]["database"] == "down", "the news of it")
            for _ in range(2):
                away = alice.post("/signup/", email="alice2@example.com")
                assert (away.status_code, away.headers.get("Retry-After")) == (503, "30")
            administer(f"ALTER {server} RESET default_transaction_read_only", "SELECT pg_reload_conf()")
            wait_until(lambda: alice.get("/readyz").status_code == 200, "the way back")
            wait_until(lambda: alice.post("/signup/", email="alice3@example.com").status_code == 303, "a sign-up")
            wait_until(lambda: sink.parsed("alice3@example.com"), "its mail")
            assert worker.poll() is None


@pytest.mark.parametrize("mode", ["refuse", "reset"])
def test_a_broken_network_before_the_database(
    postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path, mode: str
) -> None:
    """Cut connections are a 503, and over when the network is well: no process keeps a dead connection."""
    with Proxy(postgres.port) as proxy:
        database = postgres.migrated_database().replace(f":{postgres.port}/", f":{proxy.port}/")
        system = System(database=database, redis=redis.url, mail=sink, logs=tmp_path, **QUICK)
        with system.run(worker=False), system.worker("worker", *WORKER):
            alice = Visitor(system.url)
            alice.post("/signup/", email="alice@example.com")
            wait_until(lambda: sink.parsed("alice@example.com"), "the mail before")
            proxy.mode = mode
            assert Visitor(system.url).post("/signup/", email="bob@example.com").status_code == 503
            proxy.mode = "pass"
            carol = Visitor(system.url)
            wait_until(lambda: carol.post("/signup/", email="carol@example.com").status_code == 303, "the way back")
            wait_until(lambda: sink.parsed("carol@example.com"), "the mail after")


class Deliberate(Sink):
    """A mail server that has a mail, and answers when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        super().__init__()

    def _answer(self, connection: socket.socket, verb: str) -> str | None:
        if verb == "DOT":
            self.go.wait(30)
        return super()._answer(connection, verb)


def test_an_outage_longer_than_a_lease_repeats_no_mail(redis: Redis, tmp_path: Path) -> None:
    """What was accepted meanwhile is recorded by its own worker, before another takes it for a dead one's."""
    mails, sink = 16, Deliberate()
    patch = {
        "worker.outbox": {"LEASE": 8},
        "worker.sending": {"BATCH": 1, "RENEWAL": 1.0},
        "worker.sweeper": {"INTERVAL": 0.1},
    }
    with Postgres() as postgres:
        database = postgres.migrated_database()
        system = System(database=database, redis=redis.url, mail=sink, logs=tmp_path, TEST_PATCH=json.dumps(patch))
        post_mails(system, mails)
        with system.worker("one", *WORKER, threads=8), system.worker("two", *WORKER, threads=8):
            wait_until(lambda: len(sink.mails) >= 8, "mails in hand")
            postgres.stop(signal.SIGINT)
            sink.go.set()
            time.sleep(11)
            postgres.start()
            states = "SELECT state, count(*) FROM worker_delivery GROUP BY state"
            wait_until(lambda: system.rows(states) == [("sent", mails)], "the last record", patience=60)
    sink.close()
    assert len(sink.mails) == mails
