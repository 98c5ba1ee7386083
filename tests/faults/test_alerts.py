"""A real Prometheus scrapes the running system, and its alerts fire when Redis and the mail server are gone."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.conftest import WORKER
from tests.servers import Prometheus, Redis, System, Visitor, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.prometheus]

PATIENCE = 120.0  # seconds; an alert needs some scrapes, and the machine may be busy


@pytest.fixture
def processes() -> str:
    """Two, whose requests are counted together."""
    return "2"


def sign_up(system: System, email: str) -> None:
    assert Visitor(system.url).post("/signup/", email=email).status_code == 303


def test_prometheus_sees_redis_and_the_mail_server_go(
    system: System, prometheus: Prometheus, redis: Redis, sink: Sink
) -> None:
    """Silent before, each for its own failure, silent about Redis after it is back; both processes are counted."""
    with ThreadPoolExecutor(8) as pool:
        assert {page.status_code for page in pool.map(lambda _: Visitor(system.url).get("/login/"), range(40))} == {200}
    wait_until(lambda: "WorkersGone" in prometheus.firing(), "the alert before there is a worker", PATIENCE)
    with system.worker("worker", *WORKER):
        sign_up(system, "alice@example.com")
        wait_until(lambda: sink.parsed("alice@example.com"), "a mail on a good day", PATIENCE)
        wait_until(lambda: prometheus.value('doorcode_codes_total{step="accepted"}') == 1, "the funnel", PATIENCE)
        wait_until(lambda: prometheus.value("doorcode_workers") == 1, "the worker's heartbeat", PATIENCE)
        wait_until(lambda: prometheus.firing() == {"PurgeStopped"}, "silence, but that no beat runs", PATIENCE)

        redis.stop()
        wait_until(lambda: "RedisLost" in prometheus.firing(), "the alert of Redis", PATIENCE)
        sign_up(system, "bob@example.com")
        wait_until(lambda: "BrokerTakesNoMessages" in prometheus.firing(), "the alert of the broker", PATIENCE)
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
    assert prometheus.value(posts) == 3
    assert prometheus.value('doorcode_http_requests_total{route="login"}') == 40
    routes = prometheus.ask("label/route/values")
    assert {"signup"} <= set(routes) <= {"signup", "signup_verify", "login", "none"}
