"""Redis over TLS: nobody publishes, works or counts at a server that can't prove its name. By a real Redis and Sentinel."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from tests.servers import Postgres, Redis, Server, System, Visitor, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

REFUSED = "certificate verify failed"


class TlsRedis(Redis):
    """A Redis that speaks TLS alone."""

    def __init__(self, pem: Path) -> None:
        super().__init__()
        self.pem = pem

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        command, options = super().command()
        port = command.index("--port")
        return [*command[:port], *command[port + 2 :], "--port", "0", *_tls(self.port, self.pem)], options


class TlsSentinel(Server):
    """A Sentinel over TLS that watches a TlsRedis under the name "main"."""

    def __init__(self, master: TlsRedis, folder: Path) -> None:
        super().__init__()
        self.file = folder / "sentinel.conf"
        self.file.write_text(f"port 0\nsentinel monitor main 127.0.0.1 {master.port} 1\n")
        self.pem = master.pem

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        command = ["redis-server", self.file, "--sentinel", *_tls(self.port, self.pem), "--tls-replication", "yes"]
        return command, {"stdout": subprocess.DEVNULL, "cwd": self.file.parent}


def _tls(port: int, pem: Path) -> list[str | Path]:
    files = ["--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", pem.with_name("authority.pem")]
    return ["--tls-port", str(port), *files, "--tls-auth-clients", "no"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., TlsRedis]]:
    """Start a TLS Redis; the certificates of its authority are in authority.pem beside it."""
    with ExitStack() as stack:

        def serve(name: str = "127.0.0.1") -> TlsRedis:
            authority = trustme.CA()
            authority.cert_pem.write_to_path(tmp_path / "authority.pem")
            authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
            return stack.enter_context(TlsRedis(tmp_path / "server.pem"))

        yield serve


@pytest.fixture
def run(postgres: Postgres, tmp_path: Path) -> Iterator[Callable[..., tuple[System, Sink]]]:
    """Start the web with a Redis by its URL."""
    with ExitStack() as stack:

        def run(redis: str, **environment: str) -> tuple[System, Sink]:
            sink = Sink()
            stack.callback(sink.close)
            system = System(
                database=postgres.migrated_database(),
                redis=redis,
                mail=sink,
                logs=tmp_path,
                LOG_FORMAT="text",
                **environment,
            )
            return stack.enter_context(system.run(worker=False)), sink

        yield run


def readiness(system: System) -> dict[str, str]:
    checks: dict[str, str] = requests.get(f"{system.url}/readyz", timeout=30).json()["checks"]
    return checks


@pytest.mark.parametrize("fault", ["authority", "name"])
def test_a_redis_that_cannot_prove_its_name_gets_nothing(serve, run, tmp_path: Path, fault: str) -> None:
    """Neither from the publisher nor from the cache nor from a worker; people sign up nevertheless."""
    redis = serve() if fault == "authority" else serve("redis.example.com")
    trust = "" if fault == "authority" else f"?ssl_ca_certs={tmp_path / 'authority.pem'}"
    system, _ = run(f"rediss://127.0.0.1:{redis.port}/0{trust}", LIMIT_REQUESTS_NETWORK="30/m")
    assert readiness(system) == {"database": "ok", "redis": "down", "broker": "down"}
    assert Visitor(system.url).post("/signup/", email="alice@example.com").status_code == 303
    with system.start("worker", "-m", "celery", "-A", "worker", "worker", "--concurrency", "2"):
        wait_until(lambda: REFUSED in system.log("worker"), "the worker's refusal")
        assert "ready." not in system.log("worker")
    assert "limit requests_network is open" in system.log("web")
    assert "the broker took no message" in system.log("web")


def test_a_redis_of_an_own_authority_serves_all(serve, run, tmp_path: Path) -> None:
    """By `?ssl_ca_certs=`: publisher, worker, cache and limits."""
    redis = serve()
    url = f"rediss://127.0.0.1:{redis.port}/0?ssl_ca_certs={tmp_path / 'authority.pem'}"
    system, sink = run(url, LIMIT_REQUESTS_NETWORK="2/9999d")  # a window that does not end meanwhile
    assert set(readiness(system).values()) == {"ok"}
    with system.worker("worker"):
        answers = [Visitor(system.url).post("/signup/", email=f"a{n}@example.com").status_code for n in range(3)]
        wait_until(lambda: sink.parsed("a0@example.com"), "the mail")
    assert answers == [303, 303, 429]


@pytest.mark.parametrize("trusted", [True, False])
def test_sentinels_speak_tls_too(serve, run, tmp_path: Path, trusted: bool) -> None:
    """Any `ssl_` option means TLS, to the sentinels and to the server that they name."""
    redis = serve()
    trust = f"ssl_ca_certs={tmp_path / 'authority.pem'}" if trusted else "ssl_cert_reqs=required"
    with TlsSentinel(redis, tmp_path) as sentinel:
        broker = f"sentinel://127.0.0.1:{sentinel.port}?master_name=main&{trust}"
        system, sink = run("memory://", CELERY_BROKER_URL=broker)
        assert readiness(system)["broker"] == ("ok" if trusted else "down")
        if trusted:
            with system.worker("worker"):
                Visitor(system.url).post("/signup/", email="alice@example.com")
                wait_until(lambda: sink.parsed("alice@example.com"), "the mail")
