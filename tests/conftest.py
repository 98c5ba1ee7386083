"""Fixtures for all tests. What needs a server that the machine lacks is skipped and said; DOORCODE_ALL=1 forbids it."""

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import django
import hypothesis
import pytest
import structlog
import time_machine
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.utils import translation

from core import ratelimit
from core.observability import counters
from tests import servers
from tests.factories import FrozenClock, clocks_of_the_outbox
from tests.faults import network
from worker import mailers, notify, outbox, sending, smtp, sweeper

# How fast this machine is, is no property of ours. And an example that was never drawn before would fail a change that
# has nothing to do with it: `--hypothesis-profile=default` draws new ones.
hypothesis.settings.register_profile("doorcode", deadline=None, derandomize=True)
hypothesis.settings.load_profile("doorcode")

gc.disable()  # until all tests are collected: nothing of that is garbage

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

NEEDS = {
    "redis": (shutil.which("redis-server"), "redis-server"),
    "postgres": (servers.postgres_binaries(), "PostgreSQL"),
    "chromium": (Path(servers.HEADLESS).exists(), "Chromium"),
    "curl": (shutil.which("curl"), "curl"),
    "prometheus": (shutil.which("prometheus") and shutil.which("promtool"), "Prometheus"),
    "postfix": ((servers.POSTFIX / "master").exists() and os.geteuid() == 0, "Postfix (or root, to start it)"),
    "nginx": (shutil.which("nginx"), "nginx"),
    "caddy": (shutil.which("caddy"), "Caddy"),
    "netns": (network.can_enter(), "network namespaces and TAP devices (or root, to make them)"),
    "pgbouncer": (shutil.which("pgbouncer"), "PgBouncer"),
    "systemd": (shutil.which("systemd-analyze"), "systemd-analyze"),
    "rabbitmq": (Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists(), "RabbitMQ"),
    "index": (False, "DOORCODE_ALL=1 and a package index"),  # builds environments for minutes: only when asked
}


APART = ("attacks", "journeys")  # what starts servers: the tests of a file one after another
ONE_SYSTEM = ("attacks/test_enumeration.py", "attacks/test_races.py", "journeys/test_api.py", "journeys/test_main.py")
# Groups that take minutes, in their order; one that began last would be waited for by all processes. The faults wait
# more than they compute, so one of their groups at a time runs beside what computes.
LONG = ("faults a-l", "screens", "browser", "faults m-z")
SLOW = ("test_simulation", "test_starvation", "test_edges")  # files with tests in no group that take half a minute each
SERVERS = ("redis", "postgres", "rabbitmq", "prometheus", "postfix")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group: tests that share a process")  # planted defects run without xdist
    for mark, (_there, name) in NEEDS.items():
        config.addinivalue_line("markers", f"{mark}: needs {name}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Name the groups before pytest-xdist reads them, and sort after pytest-randomly has shuffled."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        folder = path.parts[0]
        if folder == "browser":  # one Chromium at the demo, and one at the screens, which take as long
            item.add_marker(pytest.mark.xdist_group("screens" if item.path.name == "test_screens.py" else "browser"))
        elif folder == "faults":
            item.add_marker(pytest.mark.xdist_group(LONG[0] if path.stem < "test_m" else LONG[-1]))
        elif folder in APART and any(item.get_closest_marker(mark) for mark in SERVERS):
            item.add_marker(pytest.mark.xdist_group("system" if str(path) in ONE_SYSTEM else str(path)))
    yield
    if not os.environ.get("DOORCODE_ALL"):
        for item in items:
            skip_without_servers(item)
    elif not NEEDS["netns"][0]:  # that is the machine's kernel, which no package brings
        impossible = [item for item in items if item.get_closest_marker("netns")]
        config.hook.pytest_deselected(items=impossible)
        items[:] = [item for item in items if item not in impossible]
    items.sort(key=turn)


def turn(item: pytest.Item) -> int:
    """When a test begins: first the LONG groups, then the others and SLOW files, then what is in none."""
    group = item.get_closest_marker("xdist_group")
    if group is None:
        return len(LONG) + (item.path.stem not in SLOW)
    return LONG.index(group.args[0]) if group.args[0] in LONG else len(LONG)


def skip_without_servers(item: pytest.Item) -> None:
    for mark, (there, name) in NEEDS.items():
        if item.get_closest_marker(mark) and not there:
            item.add_marker(pytest.mark.skip(reason=f"needs {name}"))


def pytest_collection_finish() -> None:
    """What stays for the whole run is not looked through again and again for garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.Redis() as redis:
        yield redis.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.Postgres() as server:
        yield server


@pytest.fixture
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
    """The domain's clock, standing still."""
    frozen_clock = FrozenClock(datetime.now(UTC))
    monkeypatch.setattr("core.clock.now", frozen_clock.now)
    return frozen_clock


@pytest.fixture
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox follows the domain's clock in place of the database's, and stands still with it."""
    for name, stand_in in clocks_of_the_outbox().items():
        monkeypatch.setattr(name, stand_in)


@pytest.fixture
def frozen_clocks(frozen_clock: FrozenClock, one_clock: None) -> FrozenClock:
    """The domain's clock and the outbox's: both standing still."""
    return frozen_clock


@pytest.fixture(autouse=True)
def notified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The deliveries that workers were notified of; no unit test has a broker. An eager task runs, as it needs none."""
    ids: list[int] = []
    for_real = notify.notify_workers

    def notify_workers(delivery_id: int) -> bool:
        ids.append(delivery_id)
        return for_real(delivery_id) if current_app.conf.task_always_eager else True

    monkeypatch.setattr("worker.notify.notify_workers", notify_workers)
    return ids


@pytest.fixture(autouse=True)
def gathered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Counts wait in this process; a test that wants them in the database flushes them."""
    monkeypatch.setattr("core.observability.counters._schedule", lambda: None)
    counters._gathered.clear()
    yield
    counters._gathered.clear()


@pytest.fixture
def still() -> Iterator[None]:
    """The wall clock stands still: no window of a limit ends in the middle of a test."""
    with time_machine.travel(datetime.now(UTC), tick=False):
        yield


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test did neither limits, pauses nor slows another."""
    cache.clear()
    structlog.contextvars.clear_contextvars()  # an eager task leaves its own there
    monkeypatch.setattr(outbox, "_next_look", float("-inf"))
    monkeypatch.setattr(smtp, "_pools", {})
    monkeypatch.setattr(sweeper, "_answered_at", float("inf"))
    mailers.every.cache_clear()
    monkeypatch.setattr(sending, "_pace", sending._Pace())
    sending._pace.seconds = 0.02  # of a process that has sent mails
    for each in (ratelimit.breaker, notify.breaker):
        each.succeeded()


@pytest.fixture(autouse=True)
def sends_by_smtp(request: pytest.FixtureRequest, django_sends_by: Callable[..., None]) -> None:
    """In these folders mails leave by a test's own mail server; in all others they are in `django.core.mail.outbox`."""
    if request.path.relative_to(Path(__file__).parent).parts[0] in ("attacks", "faults", "worker"):
        django_sends_by("worker.smtp.EmailBackend")


@pytest.fixture
def django_sends_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the backend of Django's own functions; pytest-django has set one that sends nothing."""

    def set_backend(path: str, **options: object) -> None:
        monkeypatch.setattr(settings, "MAILERS", {"default": {"BACKEND": path, "OPTIONS": options}})
        if django.VERSION < (6, 1):
            monkeypatch.setattr(settings, "EMAIL_BACKEND", path)

    return set_backend


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Tests begin in English: the language that a request activates stays with its thread."""
    with translation.override("en"):
        yield
