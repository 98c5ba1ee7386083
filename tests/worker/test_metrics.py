"""What `/metrics` says of mails and workers."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from core.observability import counters
from tests.factories import FrozenClock, make_captcha, make_delivery
from worker import mailers, metrics, outbox, sending, smtp, sweeper
from worker.classification import Outcome, Reply
from worker.models import Delivery, Heartbeat, SiteMails

pytestmark = pytest.mark.django_db


def shown(collect) -> dict[tuple[str, ...], float]:
    return {
        (row.name.removeprefix("doorcode_"), *row.labels.values()): row.value
        for family in collect()
        for row in family.samples
    }


def put(state: str, seconds: int, **fields: object) -> None:
    """A mail in this state, its time this many seconds ago."""
    delivery = make_delivery()
    time = Now() - timedelta(seconds=seconds)
    column = "lease_until" if state == "sending" else "next_attempt_at"
    Delivery.objects.filter(pk=delivery.pk).update(state=state, **{column: time}, **fields)


@pytest.fixture
def replies(monkeypatch) -> list[Reply]:
    """What the mail server says, in turn."""
    answers: list[Reply] = []
    monkeypatch.setattr(smtp.EmailBackend, "submit", lambda *_, **__: answers.pop(0))
    return answers


def test_an_empty_outbox_waits_for_nothing() -> None:
    """Zeros, so that an alert on absent series can tell."""
    assert shown(metrics.mails) == {
        ("mails_waiting", "due"): 0,
        ("mails_waiting", "deferred"): 0,
        ("mails_waiting", "later"): 0,
        ("mails_waiting", "sending"): 0,
        ("mails_waiting", "left"): 0,
        ("mail_oldest_due_seconds",): 0,
        ("mail_oldest_undelivered_seconds",): 0,
        ("mail_limit_left",): 1000,
    }


def test_what_waits_is_told_by_why(settings) -> None:
    """What was settled waits no more; only what is due has a wait."""
    put("pending", 90)
    put("pending", 30)
    put("pending", -600)
    put("pending", -500, attempts=2)
    put("sending", -50)
    put("sending", 10)
    put("sent", 5_000)
    put("failed", 5_000)
    settings.LIMIT_MAILS_SITE = []
    seen = shown(metrics.mails)
    assert 89 < seen.pop(("mail_oldest_due_seconds",)) < 120
    assert 89 < seen.pop(("mail_oldest_undelivered_seconds",)) < 120
    assert seen == {
        ("mails_waiting", "due"): 2,
        ("mails_waiting", "deferred"): 1,
        ("mails_waiting", "later"): 1,
        ("mails_waiting", "sending"): 1,
        ("mails_waiting", "left"): 1,
    }


def test_a_mail_that_a_dead_worker_left_is_due_since_its_lease_ended() -> None:
    """It waits too."""
    put("sending", 300)
    assert 299 < shown(metrics.mails)["mail_oldest_due_seconds",] < 330


@pytest.mark.parametrize(
    ("fields", "age"),
    [
        ({"attempts": 3, "admitted_at": True}, 4_000),
        ({"attempts": 1, "state": "sending", "admitted_at": True}, 4_000),  # silence after the dot: a long lease
        ({}, 0),  # a mail limit holds it back
        ({"state": "failed", "admitted_at": True}, 0),
    ],
)
def test_a_mail_that_waits_for_its_next_try_grows_old(frozen_clock: FrozenClock, fields: dict, age: int) -> None:
    """Nothing is due, and a mail that the server defers again and again is undelivered all the same."""
    begin = frozen_clock.now() - timedelta(seconds=4_000)
    fields |= {"admitted_at": begin} if "admitted_at" in fields else {}
    make_delivery(network="n")
    later = frozen_clock.now() + timedelta(minutes=5)
    Delivery.objects.update(created_at=begin, next_attempt_at=later, lease_until=later, **fields)
    seen = shown(metrics.mails)
    assert (seen["mail_oldest_due_seconds",], seen["mail_oldest_undelivered_seconds",]) == (0, age)


@pytest.mark.parametrize(
    ("hours", "reply", "state", "reason"),
    [
        (0, Reply(Outcome.REFUSED, "550 no"), "failed", "refused"),
        (2, Reply(Outcome.DEFERRED, "450 later"), "failed", "given_up"),
        (2, Reply(Outcome.UNKNOWN, "TimeoutError"), "failed", "given_up"),
        (0, Reply(Outcome.DEFERRED, "450 later"), "pending", None),
        (0, Reply(Outcome.UNKNOWN, "TimeoutError"), "sending", None),
    ],
)
def test_a_mail_that_ends_undelivered_is_counted_by_why(
    replies: list[Reply],
    frozen_clock: FrozenClock,
    django_capture_on_commit_callbacks,
    hours: int,
    reply: Reply,
    state: str,
    reason: str | None,
) -> None:
    """Refused, or given up after two hours; not what will be tried again."""
    make_delivery(make_captcha(accepted=False))
    Delivery.objects.update(attempts=1, first_tried_at=frozen_clock.now() - timedelta(hours=hours))
    replies.append(reply)
    with django_capture_on_commit_callbacks(execute=True):
        sending.deliver()
    assert Delivery.objects.get().state == state
    failed = {
        labels: number for (name, labels), number in counters._gathered.items() if name == "doorcode_mails_failed"
    }
    assert failed == ({reason: 1} if reason else {})


def test_the_room_is_what_came_back_since(frozen_clock: FrozenClock) -> None:
    """As the claim sees it: half of the limit goes at once, the other half comes back evenly."""
    minute = frozen_clock.now().replace(second=0, microsecond=0)
    SiteMails.objects.create(minute=minute - timedelta(minutes=5), mails=1_000)
    assert shown(metrics.mails)["mail_limit_left",] == 83


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250 2.0.0 OK", "2xx"),
        ("450 4.7.1 greylisted", "4xx"),
        ("550 5.1.1 no such user", "5xx"),
        ("550-5.7.26 not authenticated", "5.7.x"),
        ("554 5.7.1 blocked", "5.7.x"),
        ("552 5.3.4 too big", "5.3.x"),
        ("550 no 5.7.1 in the middle", "5xx"),
        ("TimeoutError: timed out", "none"),
        ("5505 what", "none"),
        ("", "none"),
    ],
)
def test_replies_have_few_classes(text: str, expected: str) -> None:
    """What is about us is told from what is about the recipient."""
    assert metrics.reply_class(text) == expected
    assert expected in metrics.REPLIES


def test_each_try_is_counted_by_what_came_of_it(replies: list[Reply], frozen_clocks: FrozenClock) -> None:
    """With the time that the accepted ones took, and nothing for the others."""
    replies += [Reply(Outcome.DEFERRED, "450 later"), Reply(Outcome.ACCEPTED, "250 OK")]
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    frozen_clocks.move(seconds=40)
    sending.deliver()
    counted = counters._gathered
    assert counted["doorcode_mail_tries", "code/deferred"] == counted["doorcode_mail_tries", "code/accepted"] == 1
    assert counted["doorcode_mail_replies", "4xx"] == counted["doorcode_mail_replies", "2xx"] == 1
    assert counted["doorcode_mail_acceptance_seconds", "60.0"] == 1
    assert counted["doorcode_mail_acceptance_seconds", "sum"] == 40


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (Reply(Outcome.REFUSED, "550 5.1.1 no such user"), {"mailbox": 1}),
        (Reply(Outcome.REFUSED, "554 DT:SPM"), {"content": 1}),
        (Reply(Outcome.DEFERRED, "550 Connection frequency limited"), {"rate": 1}),
        (Reply(Outcome.DEFERRED, "450 4.7.1 greylisted"), {}),
        (Reply(Outcome.UNAVAILABLE, "550 5.7.1 not this sender"), {}),
        (Reply(Outcome.ACCEPTED, "250 OK"), {}),
    ],
)
def test_a_refusal_is_counted_by_its_cause(replies: list[Reply], reply: Reply, counted: dict[str, int]) -> None:
    """Each try that gets 5xx, also one that is tried again."""
    replies.append(reply)
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    seen = {labels: number for (name, labels), number in counters._gathered.items() if name == "doorcode_mail_refusals"}
    assert seen == counted


def test_lost_leases_are_counted_on_both_sides(replies: list[Reply]) -> None:
    """By the worker that takes them back, and by the one that comes too late."""
    make_delivery(make_captcha(accepted=False))
    [slow] = outbox.claim(limit=1)
    assert counters._gathered["doorcode_leases_reclaimed", ""] == 0
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    outbox.reclaim()
    sending._settle([(slow, Reply(Outcome.ACCEPTED, "250 OK"))])
    assert counters._gathered["doorcode_leases_reclaimed", ""] == 1
    assert counters._gathered["doorcode_settles_fenced", ""] == 1


def test_a_mail_that_waited_after_silence_is_no_lost_lease() -> None:
    """Its worker ended the wait on purpose, and lives."""
    make_delivery(make_captcha(accepted=False))
    [silent] = outbox.claim(limit=1)
    outbox.settle(results=[(silent, Reply(Outcome.UNKNOWN, "timed out"))])
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert outbox.reclaim() == 1
    assert counters._gathered["doorcode_leases_reclaimed", ""] == 0
    assert outbox.claim(limit=1)  # and this worker is killed
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert outbox.reclaim() == 1
    assert counters._gathered["doorcode_leases_reclaimed", ""] == 1


@pytest.fixture
def beating(monkeypatch) -> None:
    """A process without a heartbeat."""
    monkeypatch.setattr(sweeper, "_last_beat", float("-inf"))


def test_a_worker_is_counted_until_it_stops(beating) -> None:
    """Others by their own rows; who is silent for too long is gone, and at last forgotten."""
    Heartbeat.objects.create(name="quiet:1", beat_at=Now() - Heartbeat.ALIVE - timedelta(seconds=1), broker_broken=True)
    Heartbeat.objects.create(name="old:1", beat_at=Now() - timedelta(days=2))
    sweeper.beat()
    seen = shown(metrics.workers)
    assert seen["workers",] == 1
    assert seen["breakers_open", "broker"] == 0
    assert seen["sweeper_last_run_timestamp_seconds",] > 1e9
    assert Heartbeat.objects.count() == 2
    sweeper.stop_beating()
    assert shown(metrics.workers)["workers",] == 0


def test_a_worker_says_what_it_does_not_reach(beating, monkeypatch) -> None:
    """Its circuit breakers are in its memory; nobody else can see them."""
    mailers.every()[0].breaker.failed()
    sweeper.beat()
    seen = shown(metrics.workers)
    assert (seen["breakers_open", "mail_server"], seen["breakers_open", "broker"]) == (1, 0)
    monkeypatch.setattr(mailers.every()[0], "_is_throttled", True)  # no more mails for a while: no outage
    monkeypatch.setattr(sweeper, "_last_beat", float("-inf"))
    sweeper.beat()
    assert shown(metrics.workers)["breakers_open", "mail_server"] == 0


def test_beats_are_seldom(beating) -> None:
    """A sweep every two seconds does not write as often."""
    sweeper.beat()
    Heartbeat.objects.all().delete()
    sweeper.beat()
    assert not Heartbeat.objects.exists()
