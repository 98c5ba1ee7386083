"""The figures of the dashboard and of `manage.py stats`."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from signup import statistics
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery
from verification.models import CaptchaModel, SiteGuesses
from worker.models import Delivery

pytestmark = pytest.mark.django_db

STATES = dict.fromkeys(("sent", "failed", "bounced", "complained", "expired"), 0)
NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


@pytest.fixture
def noon(frozen_clock: FrozenClock) -> FrozenClock:
    frozen_clock.set(NOON)
    return frozen_clock


def sent(wait: float, recipient: str = ALICE, **columns: object) -> None:
    delivery = make_delivery(recipient=recipient)
    when = {"state": "sent", "sent_at": delivery.created_at + timedelta(seconds=wait)}
    Delivery.objects.filter(pk=delivery.pk).update(**{**when, **columns})


def test_the_funnel_counts_the_requests_of_an_hour_by_step(noon: FrozenClock) -> None:
    """Each step is a part of the one before; decoys and older requests are left out."""
    make_captcha(accepted=False), make_captcha(decoy=True), make_captcha(BOB)
    proven, done, disowned = make_captcha(), make_captcha(), make_captcha()
    CaptchaModel.objects.filter(pk__in=[proven.pk, done.pk]).update(proven_at=NOON)
    CaptchaModel.objects.filter(pk__in=[disowned.pk, done.pk]).update(redeemed_at=NOON)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(created_at=NOON - timedelta(hours=24))
    steps = statistics.funnel_by_hour(statistics.full_hours(24))
    assert len(steps) == 24
    assert steps[-1] == {"hour": NOON.replace(minute=0), "asked": 5, "mailed": 4, "proven": 2, "registered": 1}
    assert sum(step["asked"] for step in steps) == 5


def test_hours_are_those_of_utc(noon: FrozenClock, settings) -> None:
    """Whatever TIME_ZONE of its own a project has: there an hour may begin at half past."""
    settings.TIME_ZONE = "Asia/Kolkata"
    make_captcha()
    assert statistics.funnel_by_hour(statistics.full_hours(24))[-1]["asked"] == 1


def test_waits_are_ranked_by_the_hour(noon: FrozenClock) -> None:
    """Nearest rank, to a tenth of a second; no mail, no value."""
    for wait in (0.3, 1.0, 2.0, 90.0):
        sent(wait)
    waits = statistics.waits_by_hour(statistics.full_hours(24))
    assert waits[-1] == {"hour": NOON.replace(minute=0), "median": 1.0, "p95": 90.0}
    assert (waits[-2]["median"], waits[-2]["p95"]) == (None, None)
    assert statistics.percentile([1.0] * 94 + [7.0] * 6, 95) == 7.0
    assert statistics.percentile([1.0] * 95 + [7.0] * 5, 95) == 1.0


def test_waits_of_many_mails_are_those_of_a_sample(noon: FrozenClock, monkeypatch) -> None:
    """Spread over the whole period: no hour is without a value."""
    monkeypatch.setattr(statistics, "SAMPLE", 6)
    for hour in range(4):
        noon.set(NOON - timedelta(hours=hour))
        for _each in range(6):
            sent(hour + 1)
    noon.set(NOON)
    hours = statistics.full_hours(4)
    assert [wait["median"] for wait in statistics.waits_by_hour(hours)] == [4.0, 3.0, 2.0, 1.0]
    assert len(statistics._waits(hours[0])) <= 6


def test_the_dashboard_and_the_command_count_alike(noon: FrozenClock) -> None:
    """Of the same hours."""
    make_captcha(), make_captcha(decoy=True)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(first_accepted_at=None, proven_at=NOON)
    sent(3), sent(5)
    found, [step] = statistics.summary(hours=1), statistics.funnel_by_hour(statistics.full_hours(1))
    assert list(found["sign_ups"].values()) == [2, 2, 1, 0]
    assert found["sign_ups"] == {name: number for name, number in step.items() if name != "hour"}
    [wait] = statistics.waits_by_hour(statistics.full_hours(1))
    assert found["seconds_to_acceptance"] == {"p50": wait["median"], "p95": wait["p95"]} == {"p50": 3.0, "p95": 5.0}


def test_mails_are_counted_by_domain_and_language(noon: FrozenClock) -> None:
    """The busiest domains first, each with its mails by state."""
    sent(1), sent(1, state="failed", sent_at=None), sent(1, "x@other.example", language="zh-hans")
    since = statistics.full_hours(24)[0]
    assert statistics.domains(since) == [
        {"name": "example.com", "mails": 2, "waiting": 0, **STATES, "sent": 1, "failed": 1},
        {"name": "other.example", "mails": 1, "waiting": 0, **STATES, "sent": 1},
    ]
    assert statistics.languages(since) == [("English", 2), ("简体中文", 1)]


def test_what_came_back_is_counted_apart(noon: FrozenClock) -> None:
    """Bounces and complaints are neither sent nor failed, by domain and in all; their mails were accepted, so they waited."""
    sent(1, state="bounced"), sent(1, state="bounced"), sent(3, state="complained")
    returned = {"bounced": 2, "complained": 1}
    [domain] = statistics.domains(statistics.full_hours(24)[0])
    assert domain == {"name": "example.com", "mails": 3, "waiting": 0, **STATES, **returned}
    assert statistics.summary(hours=1)["mails"] == returned
    assert statistics.waits_by_hour(statistics.full_hours(1))[0]["p95"] == 3.0


def test_the_effect_of_the_limits_is_counted(noon: FrozenClock) -> None:
    """Wrong codes, used-up tries, longer codes, mails delayed."""
    SiteGuesses.objects.create(hour=NOON, guesses=9)
    SiteGuesses.objects.create(hour=NOON - timedelta(hours=30), guesses=90)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(attempts=5)
    CaptchaModel.objects.filter(pk=make_captcha().pk).update(length=8)
    make_delivery(network="n")
    delayed = make_delivery(network="n")
    Delivery.objects.update(next_attempt_at=NOON)
    Delivery.objects.filter(pk=delayed.pk).update(admitted_at=NOON + timedelta(minutes=1))
    waiting, exempt = make_delivery(network="n"), make_delivery()
    later = Now() + timedelta(hours=1)  # by the database's clock, as the outbox compares
    Delivery.objects.filter(pk__in=[waiting.pk, exempt.pk]).update(next_attempt_at=later)
    assert [number for _label, number in statistics.limits(statistics.full_hours(24)[0])] == [9, 1, 1, 2]
