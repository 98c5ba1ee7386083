"""Notifying the workers: it may fail, and never hurts."""

import time

import pytest
import redis

from core import ratelimit
from tests.servers import Redis
from worker import notify, sending
from worker.celery import app
from worker.tasks import deliver

REAL_NOTIFY = notify.notify_workers


@pytest.fixture(autouse=True)
def closed() -> None:
    notify.breaker.succeeded()


@pytest.fixture
def messages(monkeypatch) -> list[dict]:
    """What the broker was sent."""
    sent: list[dict] = []
    monkeypatch.setattr(deliver, "apply_async", lambda **options: sent.append(options))
    return sent


def test_it_sends_an_id_and_nothing_else(messages: list[dict]) -> None:
    """In a message that expires, but not on a machine whose clock is a quarter of an hour ahead."""
    assert REAL_NOTIFY(7)
    assert messages == [{"args": (7,), "expires": 3_600}]


def test_a_project_whose_tasks_are_eager_sends_at_once(monkeypatch) -> None:
    """As Celery's `task_always_eager` promises, and without a broker. A failure is in the log alone."""
    calls: list[int] = []
    monkeypatch.setitem(app.conf, "task_always_eager", True)
    monkeypatch.setattr(sending, "deliver", lambda: calls.append(1) or 1)
    assert REAL_NOTIFY(7)
    assert REAL_NOTIFY(8)
    assert len(calls) == 2
    monkeypatch.setattr(sending, "deliver", lambda: 1 / 0)
    REAL_NOTIFY(9)


def test_an_eager_task_needs_no_redis(monkeypatch, asked: list[object]) -> None:
    """Nor does a project's test, whose cache may be another one."""
    monkeypatch.setitem(app.conf, "task_always_eager", True)
    ratelimit.breaker.failed()
    calls: list[int] = []
    monkeypatch.setattr(sending, "deliver", lambda: calls.append(1) or 1)
    assert REAL_NOTIFY(7)
    assert (calls, asked) == ([1], [])


def test_one_message_is_for_all_until_a_worker_takes_it(messages: list[dict]) -> None:
    """A mail that is posted after a worker began to look needs another."""
    assert [REAL_NOTIFY(number) for number in (1, 2, 3)] == [True] * 3
    assert len(messages) == 1
    notify.message_taken()
    assert [REAL_NOTIFY(number) for number in (4, 5)] == [True] * 2
    assert [options["args"] for options in messages] == [(1,), (4,)]


def test_a_lost_message_is_sent_again_after_a_second(messages: list[dict], monkeypatch) -> None:
    """Whoever comes then."""
    REAL_NOTIFY(1)
    later = time.time() + notify.LOST_AFTER
    monkeypatch.setattr(time, "time", lambda: later)
    REAL_NOTIFY(2)
    assert len(messages) == 2


@pytest.fixture
def asked(monkeypatch) -> list[object]:
    """How often a Redis that is away was asked."""
    asked: list[object] = []

    def gone(self: object, *args: object, **options: object) -> None:
        asked.append(self)
        raise ConnectionRefusedError

    for name in ("set", "delete"):
        monkeypatch.setattr(redis.Redis, name, gone)
    return asked


@pytest.mark.redis
def test_a_cache_of_the_sites_own_does_not_matter(messages: list[dict], monkeypatch, settings) -> None:
    """Memcached or a table, which may be away, or the memory of each process: a worker could not take the mark off."""
    for name in ("add", "delete"):
        monkeypatch.setattr(f"django.core.cache.backends.locmem.LocMemCache.{name}", lambda *_, **__: 1 / 0)
    with Redis() as server:
        settings.REDIS_URL, settings.CELERY_BROKER_URL = server.url, "amqp://another"
        assert [REAL_NOTIFY(number) for number in (1, 2)] == [True] * 2
        notify.message_taken()
        assert REAL_NOTIFY(3)
        assert redis.Redis.from_url(server.url).pttl(notify.ON_ITS_WAY) != -1  # without a time it would never expire
    assert [options["args"] for options in messages] == [(1,), (3,)]
    assert not ratelimit.breaker.is_open  # which would open all limits


def test_with_redis_gone_each_mail_sends_a_message(messages: list[dict], asked: list[object], settings) -> None:
    """RabbitMQ may be well while Redis is not; it is asked once in five seconds."""
    settings.REDIS_URL, settings.CELERY_BROKER_URL = "redis://one", "amqp://another"
    assert [REAL_NOTIFY(number) for number in (1, 2)] == [True] * 2
    notify.message_taken()
    assert (len(messages), len(asked)) == (2, 1)


def test_a_worker_waits_for_a_frozen_redis_but_once(asked: list[object], settings) -> None:
    """Each message would cost its time-out, before the mails are looked for."""
    settings.REDIS_URL = "redis://one"
    for _ in range(3):
        notify.message_taken()
    assert len(asked) == 1


@pytest.mark.parametrize("broker", ["redis://one", "redis://one/1", "redis://worker:secret@one"])
def test_a_redis_that_is_both_is_waited_for_but_once(
    messages: list[dict], asked: list[object], settings, broker: str
) -> None:
    """A frozen one costs its time-out each time, also as another of its databases."""
    settings.REDIS_URL, settings.CELERY_BROKER_URL = "redis://one", broker
    assert [REAL_NOTIFY(number) for number in (1, 2)] == [False] * 2
    assert (messages, len(asked)) == ([], 1)
    notify.breaker.succeeded()
    assert not REAL_NOTIFY(3)  # the limits know it already
    assert (messages, len(asked)) == ([], 1)


def test_a_cache_that_workers_do_not_share_stops_no_message(messages: list[dict], settings) -> None:
    """They could never take the mark off."""
    settings.REDIS_URL, settings.CELERY_BROKER_URL = "memory://", "amqp://broker"
    assert [REAL_NOTIFY(number) for number in (1, 2)] == [True] * 2
    assert len(messages) == 2


def test_after_a_failure_nothing_is_published_for_five_seconds(monkeypatch) -> None:
    """A dead broker costs one caller, not each."""
    calls: list[object] = []

    def fail(**options: object) -> None:
        calls.append(options)
        raise ConnectionError

    monkeypatch.setattr(deliver, "apply_async", fail)
    assert not REAL_NOTIFY(1)
    assert not REAL_NOTIFY(2)
    assert len(calls) == 1
    later = time.monotonic() + notify.PAUSE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not REAL_NOTIFY(3)
    assert len(calls) == 2


def test_once_the_broker_is_back_each_message_is_published(messages: list[dict], monkeypatch) -> None:
    """And not one in five seconds."""
    notify.breaker.failed()
    later = time.monotonic() + notify.PAUSE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for number in (1, 2):
        assert REAL_NOTIFY(number)
        notify.message_taken()
    assert len(messages) == 2
