"""Post, claim, settle."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from core import clock
from tests.factories import ALICE, Hands, make_captcha, make_delivery
from verification.models import CaptchaModel
from worker import outbox, status
from worker.models import Delivery
from worker.smtp import Outcome, Reply

pytestmark = pytest.mark.django_db

OK = Reply(Outcome.ACCEPTED, "250 OK")
LATER = Reply(Outcome.DEFERRED, "450 try later")
NEVER = Reply(Outcome.REFUSED, "550 no such user")


def settle(delivery: Delivery, reply: Reply) -> bool:
    return outbox.settle(results=[(delivery, reply)]) == []


def end_lease(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=Now() - timedelta(seconds=1))


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=Now() - timedelta(seconds=1))


def test_the_bell_rings_after_the_commit(django_capture_on_commit_callbacks, rung: list[int]) -> None:
    """With the id and nothing else; not before."""
    with django_capture_on_commit_callbacks(execute=True):
        delivery = make_delivery()
        assert rung == []
    assert rung == [delivery.pk]


def test_a_broken_bell_leaves_the_row_to_the_sweeper(django_capture_on_commit_callbacks, monkeypatch) -> None:
    """It is marked as never rung, so it is found at once."""
    monkeypatch.setattr("worker.bell.ring", lambda ids: False)
    with django_capture_on_commit_callbacks(execute=True):
        delivery = make_delivery()
    assert outbox.unheard(limit=10) == [delivery.pk]


def test_a_claim_takes_a_mail_for_a_minute() -> None:
    """Nobody else gets it until the lease ends."""
    delivery = make_delivery()
    [mine] = outbox.claim(first=delivery.pk)
    assert (mine.state, mine.attempts, len(mine.lease_token)) == ("sending", 1, 32)
    assert outbox.claim(first=delivery.pk) == []
    end_lease(delivery)
    [theirs] = outbox.claim(first=delivery.pk)
    assert theirs.attempts == 2


def test_a_late_settlement_is_fenced() -> None:
    """Who lost the lease changes nothing: neither while the new holder sends, nor after."""
    delivery = make_delivery()
    [slow] = outbox.claim(first=delivery.pk)
    end_lease(delivery)
    [fast] = outbox.claim(first=delivery.pk)
    assert not settle(slow, OK)
    assert Delivery.objects.get().state == "sending"
    assert settle(fast, NEVER)
    assert not settle(slow, OK)
    delivery.refresh_from_db()
    assert delivery.state == "failed"


def test_a_claim_takes_what_else_is_due_along() -> None:
    """The one that was rung for first, then the oldest, up to the limit."""
    deliveries = [make_delivery() for _ in range(4)]
    claimed = outbox.claim(first=deliveries[2].pk, limit=3)
    assert [each.pk for each in claimed] == [deliveries[2].pk, deliveries[0].pk, deliveries[1].pk]


def test_a_late_ring_takes_nothing() -> None:
    """Its mail is gone; what else waits has bells of its own."""
    delivery = make_delivery()
    [mine] = outbox.claim(first=delivery.pk)
    settle(mine, OK)
    make_delivery()
    assert outbox.claim(first=delivery.pk, limit=10) == []


def test_an_acceptance_starts_the_codes_life(hands: Hands) -> None:
    """At the moment of settling, in the same transaction."""
    captcha = make_captcha(accepted=False)
    delivery = make_delivery(captcha)
    [mine] = outbox.claim(first=delivery.pk)
    hands.move(seconds=30)
    settle(mine, OK)
    captcha.refresh_from_db()
    delivery.refresh_from_db()
    assert captcha.expires_at == hands.moment + timedelta(seconds=600)
    assert (delivery.state, delivery.sent_at, delivery.last_reply) == ("sent", hands.moment, "250 OK")


def test_the_mail_of_a_dead_code_is_not_sent() -> None:
    """Its generation is over: the row ends instead."""
    captcha = make_captcha(accepted=False)
    delivery = make_delivery(captcha)
    CaptchaModel.objects.update(generation=2)
    assert outbox.claim(first=delivery.pk) == []
    delivery.refresh_from_db()
    assert delivery.state == "expired"


def test_a_refusal_ends_the_row() -> None:
    """5xx about the recipient: no further try."""
    delivery = make_delivery()
    [mine] = outbox.claim(first=delivery.pk)
    settle(mine, NEVER)
    make_due(delivery)
    assert outbox.claim(first=delivery.pk) == []


@pytest.mark.parametrize(("failures", "pause"), [(1, 20), (2, 70), (3, 180), (4, 330), (5, 480), (6, 600), (11, 600)])
def test_a_deferral_waits_in_the_row(failures: int, pause: int) -> None:
    """Backoff by the number of failures, within ten percent; the bell is free again for the sweeper."""
    delivery = make_delivery()
    Delivery.objects.update(attempts=failures - 1)
    [mine] = outbox.claim(first=delivery.pk)
    settle(mine, LATER)
    row = Delivery.objects.get()
    waits = (row.next_attempt_at - row.created_at).total_seconds()
    assert pause * 0.89 < waits < pause * 1.11 + 1
    assert (row.state, row.published_at, row.last_reply) == ("pending", None, "450 try later")
    assert outbox.claim(first=delivery.pk) == []


def test_after_two_hours_it_is_given_up(hands: Hands) -> None:
    """A code that late helps nobody."""
    delivery = make_delivery()
    [mine] = outbox.claim(first=delivery.pk)
    hands.move(hours=2)
    settle(mine, LATER)
    assert Delivery.objects.get().state == "failed"


def test_released_mails_are_free_at_once() -> None:
    """And the try is not counted."""
    delivery = make_delivery()
    outbox.release(deliveries=outbox.claim(first=delivery.pk))
    [again] = outbox.claim(first=delivery.pk)
    assert again.attempts == 1


def test_a_bell_is_rung_again_after_a_minute() -> None:
    """Not earlier, or a backlog would flood the broker."""
    delivery = make_delivery()
    Delivery.objects.update(published_at=Now() - timedelta(seconds=59))
    assert outbox.unheard(limit=10) == []
    Delivery.objects.update(published_at=Now() - timedelta(seconds=60))
    assert outbox.unheard(limit=10) == [delivery.pk]
    assert outbox.unheard(limit=10) == []


@pytest.mark.parametrize(
    ("columns", "seen"),
    [
        ({}, "queued"),
        ({"attempts": 1}, "delayed"),
        ({"next_attempt_at": timedelta(minutes=1)}, "delayed"),
        ({"state": "sending", "attempts": 1}, "sending"),
        ({"state": "sending", "attempts": 2}, "delayed"),
        ({"state": "sent", "attempts": 1}, "sent"),
        ({"state": "failed", "attempts": 1}, "failed"),
        ({"state": "expired"}, "failed"),
    ],
)
def test_what_a_visitor_sees(columns: dict, seen: str) -> None:
    """Five states, in the words of the contract; a time is from now on."""
    next_attempt_at = clock.now() + columns.get("next_attempt_at", timedelta())
    row = Delivery(**{**columns, "created_at": clock.now(), "next_attempt_at": next_attempt_at})
    assert status.visible_state(row) == seen


def test_a_mail_keeps_its_message_id() -> None:
    """Made once, at the sender's domain."""
    delivery = make_delivery()
    [mine] = outbox.claim(first=delivery.pk)
    settle(mine, LATER)
    again = Delivery.objects.get()
    assert again.message_id == delivery.message_id
    assert again.message_id.endswith("@doorcode.test>")
    assert status.latest(captcha=make_captcha(ALICE)) is None
