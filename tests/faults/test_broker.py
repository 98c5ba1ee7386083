"""Redis refused, frozen, slow, restarted: the visitor notices nothing, the mail leaves."""

import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis as client

from tests.faults.conftest import QUICK, WORKER
from tests.faults.proxy import Proxy
from tests.servers import SLOWNESS, Postgres, Redis, Server, System, Visitor, free_port, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

ONCE = (0.6 + 0.4) * SLOWNESS  # seconds a first request may take: the socket time-out, and this machine's own slowness


def sign_up(system: System, email: str) -> float:
    """Ask for a code; return the seconds that the answer took."""
    visitor = Visitor(system.url)
    visitor.get("/signup/")
    begun = time.monotonic()
    assert visitor.post("/signup/", email=email).status_code == 303
    return time.monotonic() - begun


def system_behind(proxy: Proxy, database: str, sink: Sink, logs: Path, **environment: str) -> System:
    """A system that reaches its Redis through a proxy."""
    environment |= QUICK
    return System(database=database, redis=f"redis://127.0.0.1:{proxy.port}/0", mail=sink, logs=logs, **environment)


@pytest.mark.parametrize("fault", ["refused", "frozen"])
def test_without_redis_sign_up_is_quick_and_the_sweeper_sends(
    system: System, redis: Redis, sink: Sink, fault: str
) -> None:
    """Each process waits for the broken broker once, then leaves it alone for five seconds."""
    with system.worker("worker", *WORKER):
        if fault == "refused":
            redis.stop(signal.SIGKILL)
        else:
            redis.send(signal.SIGSTOP)
        times = [sign_up(system, f"alice{n}@example.com") for n in range(12)]
        print(f"redis {fault}: slowest {max(times):.3f} s, others {sorted(times)[9]:.3f} s")
        assert max(times) < ONCE
        assert len([each for each in times if each > 0.4]) <= 2  # one a web process
        for n in range(12):
            wait_until(lambda n=n: sink.parsed(f"alice{n}@example.com"), "the sweeper's mail")
        redis.stop()  # a worker ends later while its Redis is frozen


def test_mails_whose_messages_a_restarted_redis_lost_are_still_sent(system: System, redis: Redis, sink: Sink) -> None:
    """Killed without persistence while no worker listened; a worker that lost it comes back by itself."""
    sign_up(system, "alice@example.com")
    redis.stop(signal.SIGKILL)
    redis.start()
    with system.worker("worker", *WORKER):
        wait_until(lambda: sink.parsed("alice@example.com"), "the mail whose message was lost")
        redis.stop(signal.SIGKILL)
        redis.start()
        time.sleep(5)  # the web's circuit breaker, and the worker's way back
        sign_up(system, "bob@example.com")
        wait_until(lambda: sink.parsed("bob@example.com"), "the mail after the restart")
    assert [len(sink.parsed(f"{name}@example.com")) for name in ("alice", "bob")] == [1, 1]


def test_a_worker_outlives_a_redis_that_goes_while_it_sends(system: System, redis: Redis, sink: Sink) -> None:
    """It holds a message that it can neither acknowledge nor put back."""
    sink.script = {"DOT": ["hang", "250 taken"]}
    with system.worker("worker", *WORKER) as worker:
        sign_up(system, "alice@example.com")
        wait_until(lambda: sink.mails, "a mail on its way")
        redis.stop(signal.SIGKILL)
        wait_until(lambda: "connection to broker lost" in system.log("worker").lower(), "the worker's notice")
        time.sleep(1)  # it would end at the same time
        assert worker.poll() is None
        redis.start()
        wait_until(lambda: len(sink.parsed("alice@example.com")) == 2, "the mail whose end is unknown, again")
    assert worker.returncode == 0


def test_a_worker_outlives_a_redis_that_goes_while_it_starts(system: System, redis: Redis, sink: Sink) -> None:
    """Of what it starts, nothing ends it or waits in silence if the broker goes away meanwhile."""
    with system.start("worker", *WORKER, "worker", LOG_LEVEL="DEBUG") as worker:
        wait_until(lambda: "Connected to redis" in system.log("worker"), "the worker's connection")
        redis.stop(signal.SIGKILL)
        wait_until(lambda: "Trying again in" in system.log("worker"), "the worker's notice")
        sign_up(system, "alice@example.com")
        redis.start()
        wait_until(lambda: sink.parsed("alice@example.com"), "the mail")
        assert worker.poll() is None
    started = set(re.findall(r"Consumer: Starting (\w+)", system.log("worker")))
    assert "Connection" in started
    assert not started & {"Mingle", "Gossip", "Heart"}


def test_the_sweep_command_needs_neither_redis_nor_worker(system: System, redis: Redis, sink: Sink) -> None:
    """`manage.py sweep --once`."""
    redis.stop()
    sign_up(system, "alice@example.com")
    system.manage("sweep", "--once")
    assert len(sink.parsed("alice@example.com")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_command_that_was_stopped_is_not_taken_for_a_live_one(web: System, number: signal.Signals) -> None:
    """Its heartbeat is gone with it, whether a person stops it or systemd."""
    beats = "SELECT name FROM worker_heartbeat"
    with web.start("sweep", "manage.py", "sweep") as sweep:
        wait_until(lambda: web.rows(beats), "its heartbeat")
        sweep.send_signal(number)
        assert sweep.wait(timeout=30) == 0
    assert web.rows(beats) == []


def test_a_worker_that_was_shut_down_from_afar_is_not_taken_for_a_live_one(web: System) -> None:
    """`celery control shutdown` sends it no signal. Its sweeper ends with it as after one, and takes its heartbeat away."""
    beats = "SELECT name FROM worker_heartbeat"
    with web.worker("worker", *WORKER) as worker:
        wait_until(lambda: web.rows(beats), "its heartbeat")
        with web.start("control", "-m", "celery", "-A", "worker", "control", "shutdown"):
            assert worker.wait(timeout=30) == 0
    assert web.rows(beats) == []


def test_a_sweep_command_that_is_stopped_ends_after_the_mail_in_hand(system: System, redis: Redis, sink: Sink) -> None:
    """Cut off behind the final dot, that mail would be sent again."""
    redis.stop()
    sink.script = {"DOT": ["late 250 taken"]}
    sign_up(system, "alice@example.com")
    with system.start("sweep", "manage.py", "sweep") as sweep:
        wait_until(lambda: sink.mails, "a mail on its way")
        sweep.send_signal(signal.SIGTERM)
        assert sweep.wait(timeout=30) == 0
    assert system.rows("SELECT state FROM worker_delivery") == [("sent",)]


def test_two_workers_and_two_sweepers_send_once(web: System) -> None:
    """In either order."""
    with web.worker("one", *WORKER), web.worker("two", *WORKER), web.start("sweep", "manage.py", "sweep"):
        for n in range(40):
            sign_up(web, f"alice{n}@example.com")
        sent = "SELECT count(*) FROM worker_delivery WHERE state = 'sent'"
        wait_until(lambda: web.rows(sent) == [(40,)], "40 mails")
    assert [len(web.mail.parsed(f"alice{n}@example.com")) for n in range(40)] == [1] * 40


def test_a_broker_that_permits_too_little_is_asked_once_in_a_while(system: System, redis: Redis, sink: Sink) -> None:
    """It lets a worker in and refuses what it needs; mails leave by the sweeper meanwhile."""
    with client.Redis(port=redis.port) as operator:
        operator.acl_setuser(
            "doorcode", enabled=True, nopass=True, keys="*", channels="*", categories=["+@all", "-@scripting"]
        )
    url = f"redis://doorcode:x@127.0.0.1:{redis.port}/0"
    with system.start("worker", *WORKER, "worker", CELERY_BROKER_URL=url):
        sign_up(system, "alice@example.com")
        wait_until(lambda: system.log("worker").count("Connection to broker lost") >= 3, "the refusals")
        wait_until(lambda: sink.parsed("alice@example.com"), "the sweeper's mail")
    assert system.log("worker").count("Connection to broker lost") < 10


BEAT = "from worker import celery_app as app; app.conf.beat_schedule['purge']['schedule'] = 1; app.start(['beat'])"


def test_after_a_failover_nobody_has_to_be_restarted(
    postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path
) -> None:
    """The address leads to another server, and the former one lives on as a replica: web, worker and beat leave it."""
    with Redis() as promoted, Proxy(redis.port) as proxy:
        system = system_behind(proxy, postgres.migrated_database(), sink, tmp_path, LIMIT_REQUESTS_NETWORK="9/d")
        with system.run(worker=False), system.worker("worker", *WORKER), system.start("beat", "-c", BEAT):
            sign_up(system, "alice@example.com")
            wait_until(lambda: "purged" in system.log("worker"), "a purge")
            proxy.target = promoted.port
            with client.Redis(port=redis.port) as former:
                former.replicaof("127.0.0.1", free_port())  # of no server: it would write a file
            posts = (Visitor(system.url).post("/signup/", email=f"bob{n}@example.com") for n in range(1_000))
            wait_until(lambda: next(posts).status_code == 429, "the limit, counted anew")
            purges = system.log("worker").count("purged")
            wait_until(lambda: system.log("worker").count("purged") > purges + 1, "two more purges")
            wait_until(lambda: sink.parsed("bob0@example.com"), "the mail")


class Sentinel(Server):
    """A Sentinel that watches a Redis under the name "main", with a password of its own."""

    def __init__(self, master: Redis, folder: Path, *, password: str) -> None:
        super().__init__()
        self.file = folder / "sentinel.conf"
        watch = f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel auth-pass main {master.password}"
        self.file.write_text(f"port {self.port}\nrequirepass {password}\n{watch}\n")

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        command: list[str | Path] = ["redis-server", self.file, "--sentinel"]
        return command, {"stdout": subprocess.DEVNULL, "cwd": self.file.parent}


def test_sentinels_have_a_password_of_their_own(postgres: Postgres, sink: Sink, tmp_path: Path) -> None:
    """Besides that of the Redis that they name; redis-py would not send them the URL's."""
    password = "se+nt/in&el"
    with Redis(password="of-redis") as redis, Sentinel(redis, tmp_path, password=password) as sentinel:
        broker = f"sentinel://default:of-redis@127.0.0.1:{sentinel.port}/1?master_name=main"
        broker += f"&sentinel_password={quote(password, safe='')}"
        environment = QUICK | {"CELERY_BROKER_URL": broker}
        system = System(database=postgres.migrated_database(), mail=sink, logs=tmp_path, **environment)
        with system.run(worker=False), system.worker("worker", *WORKER):
            assert Visitor(system.url).get("/readyz").json()["checks"]["broker"] == "ok"
            sign_up(system, "alice@example.com")
            wait_until(lambda: sink.parsed("alice@example.com"), "the mail")


@pytest.mark.parametrize("mode", ["blackhole", "reset", "trickle"])
def test_a_strange_network_before_redis(
    postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path, mode: str
) -> None:
    """Swallowed, cut and trickling answers cost no more than a frozen Redis."""
    with Proxy(redis.port) as proxy:
        system = system_behind(proxy, postgres.migrated_database(), sink, tmp_path)
        with system.run(worker=False), system.worker("worker", *WORKER):
            proxy.mode = mode
            times = [sign_up(system, f"alice{n}@example.com") for n in range(6)]
            print(f"redis behind {mode}: slowest {max(times):.3f} s")
            assert max(times) < ONCE
            if mode == "trickle":  # never silent for long enough to be given up: the sweeper's own message waits it out
                proxy.mode = "pass"
            for n in range(6):
                wait_until(lambda n=n: sink.parsed(f"alice{n}@example.com"), "the mail", patience=60)
            proxy.mode = "pass"
