"""The health checks of core: what each finds, and when it fails."""

from collections.abc import Callable
from http.client import BadStatusLine
from io import BytesIO
from pathlib import Path
from urllib.request import Request

import kombu
import pytest
import redis
from django.db import connection
from django.test import Client, RequestFactory

from core.health import checks, proxies
from core.health.registry import Check, Finding, State
from core.ratelimit import shares_server
from tests.servers import Redis
from worker import health


@pytest.mark.parametrize(
    ("setting", "forwarded", "client", "secure", "state", "words"),
    [
        (0, ["192.0.2.1"], "127.0.0.1", True, "ok", "0, as"),
        (1, ["192.0.2.1", "203.0.113.9"], "203.0.113.9", True, "ok", "1, as"),
        (1, ["203.0.113.9"], "203.0.113.9", True, "ok", "1, as"),  # a proxy that replaces what it was sent
        (2, ["192.0.2.1", "203.0.113.9"], "192.0.2.1", True, "failed", "choose their address"),
        (1, ["192.0.2.1"], "192.0.2.1", True, "failed", "choose their address"),
        (0, ["192.0.2.1", "203.0.113.9"], "10.0.0.1", True, "failed", "count as one"),
        (1, ["192.0.2.1", "203.0.113.9", "10.0.0.2"], "10.0.0.2", True, "failed", "count as one"),
        (1, ["192.0.2.1", "203.0.113.9"], "203.0.113.9", False, "failed", "X-Forwarded-Proto"),
    ],
)
def test_proxies_are_compared_with_the_setting(settings, setting, forwarded, client, secure, state, words) -> None:
    """By the number that the request came through."""
    settings.TRUSTED_PROXIES = setting
    found = proxies.judge("https://x.test", {"client": client, "forwarded": forwarded, "secure": secure})
    assert found.state.value == state
    assert words in found.text


@pytest.mark.parametrize(
    ("url", "host", "state"),
    [
        ("https://x.test", "x.test", State.OK),
        ("https://X.test:443/", "x.test", State.OK),
        ("https://例子.测试:8443", "xn--fsqu00a.xn--0zwm56d:8443", State.OK),
        ("https://10.0.0.1", "accounts.example.com", State.OK),  # the proxy always writes SITE_URL's own
        ("https://x.test", "127.0.0.1:8000", State.FAILED),  # each page is a 400
        ("https://x.test:8443", "x.test", State.FAILED),  # each form is refused, as its Origin is another
    ],
)
def test_a_proxy_that_does_not_hand_on_the_host_is_seen(settings, url: str, host: str, state: State) -> None:
    """As Apache without ProxyPreserveHost; `/healthz` answers whatever the Host is."""
    settings.TRUSTED_PROXIES, settings.SITE_URL = 0, "https://accounts.example.com"
    settings.ALLOWED_HOSTS = ["accounts.example.com"]
    found = proxies.judge(url, {"client": "127.0.0.1", "forwarded": [], "secure": True, "host": host})
    assert found.state is state
    assert (host in found.text) is (state is State.FAILED)


@pytest.mark.parametrize(("host", "state"), [("x.test", State.FAILED), ("127.0.0.1:8000", State.OK)])
def test_a_site_whose_own_host_is_not_allowed_is_seen(settings, host: str, state: State) -> None:
    """Each page is a 400 there; at another address, which the doctor asked, no visitor is."""
    settings.TRUSTED_PROXIES, settings.SITE_URL, settings.ALLOWED_HOSTS = 0, "http://x.test", ["y.test"]
    found = proxies.judge(f"http://{host}", {"client": "127.0.0.1", "forwarded": [], "secure": False, "host": host})
    assert (found.state, "ALLOWED_HOSTS" in found.text) == (state, state is State.FAILED)


def test_no_proxy_of_the_shell_leads_to_this_machine(live_server, monkeypatch) -> None:
    """Its own 127.0.0.1 is another."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert proxies.check(live_server.url).state is State.OK
    assert "refused" in proxies.check("http://accounts.example.com").text


def test_the_site_reports_what_it_saw_to_the_doctor_only(client: Client, settings) -> None:
    """To a request signed with its key in the last minute."""
    header, forwarded = proxies.signer().sign("seen"), "192.0.2.1, 203.0.113.9"
    settings.TRUSTED_PROXIES = 1
    headers = {proxies.HEADER: header, "Host": "x.test"}
    answer = client.get("/healthz", headers={**headers, "X-Forwarded-For": forwarded}).json()
    seen = {"client": "203.0.113.9", "forwarded": forwarded.split(", "), "secure": False, "host": "x.test"}
    assert answer["seen"] == seen
    with_port = "192.0.2.1, 203.0.113.9:49152"
    assert client.get("/healthz", headers={**headers, "X-Forwarded-For": with_port}).json() == answer
    for strange in ("", "seen", header[:-1], header + "x"):
        assert client.get("/healthz", headers={proxies.HEADER: strange}).json() == {"status": "ok"}
    settings.SECRET_KEY = "another"
    assert client.get("/healthz", headers={proxies.HEADER: header}).json() == {"status": "ok"}


def test_an_old_request_of_the_doctor_is_not_answered(monkeypatch) -> None:
    """Its signature expires."""
    header = proxies.signer().sign("seen")
    monkeypatch.setattr(proxies, "MAX_AGE", -1)
    assert proxies.seen_by_site(RequestFactory().get("/healthz", headers={proxies.HEADER: header})) == {}


@pytest.mark.parametrize(("named", "state"), [(True, State.FAILED), (False, State.WARNING)])
def test_a_site_that_is_not_reached_from_here(settings, named: bool, state: State) -> None:
    """It fails where the operator named the URL; else it may be the network of containers."""
    settings.SITE_URL = "http://127.0.0.1:1"
    assert proxies.check(settings.SITE_URL if named else None).state is state


@pytest.mark.parametrize("url", ["HTTPS://例子.中国:8443", "https://xn--fsqu00a.xn--fiqs8s:8443/"])
def test_a_site_of_any_name_is_reached(settings, monkeypatch, url: str) -> None:
    """As SITE_URL may be written: the request has its name in ASCII."""
    asked: list[str] = []

    def open_url(self: object, request: Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise BadStatusLine("no HTTP")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", open_url)
    settings.SITE_URL = url
    assert proxies.check().state is State.WARNING
    assert asked == ["https://xn--fsqu00a.xn--fiqs8s:8443/healthz"]


def test_a_site_that_answers_something_else_is_no_failure(monkeypatch) -> None:
    """A note, as of any that does not say what it saw."""
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: BytesIO(b"[]"))
    assert Check(proxies.check, "proxies").run().state is State.WARNING


def test_only_http_is_requested() -> None:
    """A file is no site."""
    assert proxies.check("file:///etc/passwd").state is State.FAILED


@pytest.mark.parametrize(
    ("key", "fallbacks", "state"),
    [
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP", [], State.OK),
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDE", [], State.OK),  # as long as `token_urlsafe(32)` makes one
        ("short", [], State.FAILED),
        ("a" * 60, [], State.FAILED),
        ("replace-me-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEF", [], State.FAILED),
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP", ["short"], State.FAILED),
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP", ["9876543210-" + "zyxwvutsrq" * 5], State.WARNING),
    ],
)
def test_weak_and_former_keys_are_seen(settings, key: str, fallbacks: list[str], state: State) -> None:
    """A former one is a warning; none is printed."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = key, fallbacks
    found = checks.keys()
    assert found.state is state
    assert key not in found.text


def test_a_catalogue_that_lacks_texts_is_seen(settings, tmp_path: Path) -> None:
    """By its compiled form, as babel is not on a production machine."""
    assert checks.catalogues().state is State.OK
    target = tmp_path / "en" / "LC_MESSAGES"
    target.mkdir(parents=True)
    (target / "django.mo").write_bytes((Path(settings.LOCALE_PATHS[0]) / "en/LC_MESSAGES/django.mo").read_bytes())
    settings.LOCALE_PATHS = [tmp_path]
    found = checks.catalogues()
    assert found.state is State.FAILED
    assert "zh-hans" in found.text


@pytest.mark.parametrize(("name", "error"), [("django.po", "FileNotFoundError"), ("django.mo", "OSError")])
def test_a_catalogue_of_a_site_that_cant_be_used_is_named(settings, tmp_path: Path, name: str, error: str) -> None:
    """One that was not compiled has no effect; one that was cut off breaks each page."""
    path = tmp_path / "zh_Hans" / "LC_MESSAGES" / name
    path.parent.mkdir(parents=True)
    path.write_text("msgid")
    settings.LOCALE_PATHS = [tmp_path, *settings.LOCALE_PATHS]
    found = checks.catalogues()
    assert found.state is State.FAILED
    assert f"{path.with_suffix('.mo')} can't be read: {error}" in found.text


@pytest.mark.django_db
def test_migrations_and_the_database_are_checked() -> None:
    """All is applied in a test."""
    assert checks.database().text.startswith("SQLite 3")
    assert checks.migrations().state is State.OK


@pytest.mark.django_db(transaction=True)
def test_rows_that_may_only_be_read_fail() -> None:
    """As in a file that can't be written, or where a role of PostgreSQL has SELECT alone: no account can be made."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = on")
        found = Check(checks.migrations, "migrations").run()
        cursor.execute("PRAGMA query_only = off")
    assert (found.state, found.text) == (State.FAILED, "OperationalError: attempt to write a readonly database")


@pytest.mark.parametrize("error", [redis.exceptions.NoPermissionError, redis.exceptions.ResponseError])
def test_redis_that_permits_no_info_is_well(monkeypatch, error: type[Exception]) -> None:
    """
    An ACL may allow the commands of limits alone, and INFO may have another name; whether Redis is down doesn't depend
    on it.
    """

    class Restricted(redis.Redis):
        def set(self, *args: object, **options: object) -> None:
            """As each limit does."""

        def info(self) -> None:
            raise error

    monkeypatch.setattr(checks, "redis_client", Restricted)
    assert checks.redis_server().state is State.OK


def test_a_node_of_a_redis_cluster_fails(monkeypatch) -> None:
    """Even if the key of this check is among those that it holds: it refuses the counters of most others."""

    class Node:
        def set(self, *args: object, **options: object) -> None:
            """As one of its own keys."""

        def info(self) -> dict[str, str]:
            return {"redis_mode": "cluster", "redis_version": "7.0.15"}

    monkeypatch.setattr(checks, "redis_client", Node)
    found = Check(checks.redis_server, "Redis").run()
    assert found.state is State.FAILED
    assert found.text == "RedisClusterException: a Redis Cluster can't be used"


@pytest.mark.redis
@pytest.mark.parametrize("broker", ["redis://another.example.com:6379/1", "amqp://rabbitmq.example.com"])
def test_a_redis_that_drops_counts_is_seen(settings, broker: str) -> None:
    """Wherever the messages are: a limit whose counts are gone lets everybody pass."""
    settings.CELERY_BROKER_URL = broker
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        settings.REDIS_URL = server.url
        assert checks.redis_server().state is State.OK
        for policy in ("allkeys-lru", "volatile-ttl"):
            client.config_set("maxmemory-policy", policy)
            assert checks.redis_server().state is State.WARNING


@pytest.mark.parametrize(
    ("limits", "broker", "shared"),
    [
        ("redis://cache:6379/0", "redis://cache/1", True),
        ("rediss://user:secret@Cache/0", "redis://cache", True),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=1", True),
        ("redis://cache/0", "redis://cache:6380/0", False),
        ("unix:///run/redis.sock", "redis+socket:///run/other.sock", False),
        ("redis://both/0", "amqp://guest:guest@both//", False),
        ("redis://b:6379/0", "redis://a:6379;redis://b:6379", True),
        ("redis://c:6379/0", "redis://a:6379;redis://b:6379", False),
        ("unix:///run/redis.sock", "amqp://", False),
    ],
)
def test_the_server_of_the_limits_is_known_by_its_host_and_port(
    settings, limits: str, broker: str, shared: bool
) -> None:
    """Written in any way, in any of its databases."""
    settings.REDIS_URL = limits
    assert shares_server(broker) == shared


@pytest.mark.redis
@pytest.mark.parametrize("check", [checks.redis_server, health.broker])
def test_a_redis_that_takes_nothing_fails(settings, monkeypatch, check: Callable[[], Finding]) -> None:
    """It answers, but is full or a replica: every limit is open, and no message reaches a worker."""
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        settings.REDIS_URL = server.url
        monkeypatch.setattr("worker.notify.broker_connection", lambda: kombu.Connection(server.url))
        assert check().state is State.OK
        client.config_set("maxmemory", "1")
        assert Check(check, "Redis").run().text.startswith("OutOfMemoryError")
        client.config_set("maxmemory", "0")
        client.replicaof("127.0.0.1", "1")
        assert Check(check, "Redis").run().text.startswith("ReadOnlyError")


@pytest.mark.redis
def test_a_broker_that_allows_no_keys_but_celerys_is_well(monkeypatch) -> None:
    """By an ACL."""
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        client.acl_setuser("celery", enabled=True, nopass=True, keys=["celery*", "_kombu*"], commands=["+@all"])
        url = server.url.replace("redis://", "redis://celery:any@")
        monkeypatch.setattr("worker.notify.broker_connection", lambda: kombu.Connection(url))
        assert health.broker().state is State.OK
