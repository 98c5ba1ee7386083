"""A real Prometheus scrapes the running system, and its alerts fire when Redis and the mail server are gone."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.faults.conftest import METRICS_TOKEN, WORKER
from tests.servers import ROOT, Redis, Server, System, Visitor, listens, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.prometheus]

RULES = ROOT / "docs" / "operations" / "alerts.yml"
PATIENCE = 120.0  # seconds; an alert needs some scrapes, and the machine may be busy


class Prometheus(Server):
    """A Prometheus with our rules, that asks every three seconds and waits for nothing: `for` is none."""

    def __init__(self, target: int, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        rules = re.sub(r"\bfor: \w+", "for: 0s", RULES.read_text())
        (folder / "alerts.yml").write_text(rules)
        targets, token = [{"targets": [f"127.0.0.1:{target}"]}], {"credentials": METRICS_TOKEN}
        job = {"job_name": "doorcode", "authorization": token, "static_configs": targets}
        often = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
        config = {"global": often, "rule_files": ["alerts.yml"], "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        options = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        return ["prometheus", *options], {"stderr": subprocess.DEVNULL, "cwd": self.folder}

    def answers(self) -> bool:
        return listens(self.port) and requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=10).ok

    def ask(self, path: str, **query: str) -> Any:
        return requests.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=query, timeout=10).json()["data"]

    def value(self, query: str) -> float | None:
        """The only value of an expression."""
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        return {each["labels"]["alertname"] for each in self.ask("alerts")["alerts"] if each["state"] == "firing"}


@pytest.fixture
def prometheus(system: System, tmp_path: Path) -> Iterator[Prometheus]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with Prometheus(system.port, folder) as server:
        yield server


def sign_up(system: System, email: str) -> None:
    assert Visitor(system.url).post("/signup/", email=email).status_code == 303


def test_prometheus_sees_redis_and_the_mail_server_go(
    system: System, prometheus: Prometheus, redis: Redis, sink: Sink
) -> None:
    """Silent before, each for its own trouble, silent about Redis after it is back."""
    wait_until(lambda: "WorkersGone" in prometheus.firing(), "the alert before there is a worker", PATIENCE)
    with system.worker("worker", *WORKER):
        sign_up(system, "alice@example.com")
        wait_until(lambda: sink.parsed("alice@example.com"), "a mail on a good day", PATIENCE)
        wait_until(lambda: prometheus.value('doorcode_codes_total{step="accepted"}') == 1, "the funnel", PATIENCE)
        wait_until(lambda: prometheus.value("doorcode_workers") == 1, "the worker's heartbeat", PATIENCE)
        wait_until(lambda: not prometheus.firing(), "silence on a good day", PATIENCE)

        redis.stop()
        wait_until(lambda: "RedisLost" in prometheus.firing(), "the alert of Redis", PATIENCE)
        sign_up(system, "bob@example.com")
        wait_until(lambda: "BellsNotRung" in prometheus.firing(), "the alert of the bells", PATIENCE)
        wait_until(lambda: sink.parsed("bob@example.com"), "the mail by the sweeper", PATIENCE)
        assert "MailServerDown" not in prometheus.firing()

        sink.close()  # every connection is refused from now on
        sink.script["MAIL"] = ["close"]  # and what was open is of no use
        sign_up(system, "carol@example.com")
        wait_until(lambda: "MailServerDown" in prometheus.firing(), "the alert of the mail server", PATIENCE)

        redis.start()
        wait_until(lambda: "RedisLost" not in prometheus.firing(), "the end of the alert of Redis", PATIENCE)
        assert "MailServerDown" in prometheus.firing()
    posts = 'doorcode_http_requests_total{route="signup",method="POST",status="303"}'
    assert prometheus.value(posts) == 3, "requests of both gunicorn processes"
    routes = prometheus.ask("label/route/values")
    assert {"signup"} <= set(routes) <= {"signup", "signup_verify", "none"}
