"""Post, claim, settle."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from core import clock
from tests.factories import ALICE, FrozenClock, make_captcha, make_delivery, make_user
from tests.servers import Postgres, System
from verification.models import CaptchaModel
from verification.states import State, state_of
from worker import outbox
from worker.classification import Outcome, Reply
from worker.models import Delivery

pytestmark = pytest.mark.django_db

OK = Reply(Outcome.ACCEPTED, "250 OK")
LATER = Reply(Outcome.DEFERRED, "450 try later")
NEVER = Reply(Outcome.REFUSED, "550 no such user")
SILENCE = Reply(Outcome.UNKNOWN, "TimeoutError: timed out")


def settle(delivery: Delivery, reply: Reply) -> bool:
    return outbox.settle(results=[(delivery, reply)]) == []


def end_lease(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=Now() - timedelta(seconds=1))
    assert outbox.reclaim() == 1


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=Now() - timedelta(seconds=1))


def test_the_workers_are_notified_after_the_commit(django_capture_on_commit_callbacks, notified: list[int]) -> None:
    """With the id and nothing else; not before."""
    with django_capture_on_commit_callbacks(execute=True):
        delivery = make_delivery()
        assert notified == []
    assert notified == [delivery.pk]


def test_an_error_after_the_commit_is_no_visitors(django_capture_on_commit_callbacks, monkeypatch, caplog) -> None:
    """The mail is posted, and the sweeper finds it."""
    monkeypatch.setattr("worker.notify.notify_workers", lambda delivery_id: 1 / 0)
    with django_capture_on_commit_callbacks(execute=True):
        make_delivery()
    assert "ZeroDivisionError" in caplog.text


def test_a_claimed_mail_is_nobody_elses_until_its_lease_ends(frozen_clocks: FrozenClock) -> None:
    """Fifteen seconds after the claim."""
    make_delivery()
    [mine] = outbox.claim(limit=1)
    assert (mine.state, mine.attempts, len(mine.lease_token)) == ("sending", 1, 32)
    frozen_clocks.move(seconds=14)
    assert (outbox.reclaim(), outbox.claim(limit=1)) == (0, [])
    frozen_clocks.move(seconds=2)
    assert outbox.reclaim() == 1
    [theirs] = outbox.claim(limit=1)
    assert theirs.attempts == 2


def test_a_late_settlement_is_fenced() -> None:
    """Who lost the lease changes nothing: neither while the new holder sends, nor after."""
    delivery = make_delivery()
    [slow] = outbox.claim(limit=1)
    end_lease(delivery)
    [fast] = outbox.claim(limit=1)
    assert not settle(slow, OK)
    assert Delivery.objects.get().state == "sending"
    assert settle(fast, NEVER)
    assert not settle(slow, OK)
    delivery.refresh_from_db()
    assert delivery.state == "failed"


@pytest.mark.parametrize("reply", [OK, LATER])
def test_a_mail_that_was_deleted_with_its_account_passed_to_nobody(reply: Reply) -> None:
    """No worker lost its lease."""
    user = make_user()
    make_delivery(kind="password_changed", user_id=user.pk)
    [claimed] = outbox.claim(limit=1)
    user.delete()
    assert settle(claimed, reply)


def test_a_claim_takes_the_newest_and_the_oldest() -> None:
    """A new visitor does not wait for a backlog, and its oldest do not wait for ever."""
    deliveries = [make_delivery() for _ in range(9)]
    for age, each in enumerate(reversed(deliveries)):
        due = deliveries[0].created_at - timedelta(seconds=age)
        Delivery.objects.filter(pk=each.pk).update(next_attempt_at=due)
    first, *middle, last = [each.pk for each in deliveries]
    assert [each.pk for each in outbox.claim(limit=5)] == [last, *middle[:-3:-1], first, middle[0]]
    assert {each.pk for each in outbox.claim(limit=5)} == set(middle[1:-2])


def test_claims_of_one_take_the_oldest_too() -> None:
    """As where a send takes over half a second: each of the two is chosen half of the time."""
    oldest = make_delivery()
    Delivery.objects.update(next_attempt_at=Now() - timedelta(hours=1))
    claimed: list[int] = []
    while oldest.pk not in claimed and len(claimed) < 60:
        make_delivery()
        claimed += [each.pk for each in outbox.claim(limit=1)]
    assert oldest.pk in claimed


def test_a_claim_of_mails_about_accounts_notifies_of_the_others(
    django_capture_on_commit_callbacks, notified: list[int]
) -> None:
    """Sign-ups are claimed apart, and the message that announced them is gone."""
    make_delivery(make_captcha(accepted=False))
    reset = make_delivery(kind="password_reset", user_id=make_user().pk)
    with django_capture_on_commit_callbacks(execute=True):
        assert outbox.claim(limit=9) == [reset]
    assert notified == [reset.pk]


def test_a_full_claim_notifies_another_thread(django_capture_on_commit_callbacks, notified: list[int]) -> None:
    """There may be more than it took; one that found less has taken all."""
    for _ in range(3):
        make_delivery()
    with django_capture_on_commit_callbacks(execute=True):
        taken = outbox.claim(limit=2)
    assert notified == [taken[-1].pk]
    with django_capture_on_commit_callbacks(execute=True):
        assert len(outbox.claim(limit=2)) == 1
    assert len(notified) == 1


def test_a_lease_that_holds_is_not_taken_back() -> None:
    """Its holder is at work."""
    make_delivery()
    outbox.claim(limit=1)
    assert outbox.reclaim() == 0
    assert Delivery.objects.get().state == "sending"


def test_a_group_is_settled_at_once_and_says_who_came_too_late() -> None:
    """Each with its own words; one lost lease among them takes nobody along."""
    deliveries = [make_delivery() for _ in range(4)]
    taken = sorted(outbox.claim(limit=4), key=lambda each: each.pk)
    Delivery.objects.filter(pk=taken[1].pk).update(lease_token="another's")
    replies = [Reply(Outcome.ACCEPTED, f"250 queued as {each.pk}") for each in taken[:3]]
    assert outbox.settle(results=[*zip(taken, replies, strict=False), (taken[3], NEVER)]) == [taken[1]]
    rows = [Delivery.objects.get(pk=each.pk) for each in deliveries]
    assert [row.state for row in rows] == ["sent", "sending", "sent", "failed"]
    assert [row.last_reply for row in rows] == [replies[0].text, "", replies[2].text, NEVER.text]


def test_an_acceptance_starts_the_codes_life(frozen_clock: FrozenClock) -> None:
    """When it is settled, in the same transaction."""
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    [mine] = outbox.claim(limit=1)
    frozen_clock.move(seconds=30)
    settle(mine, OK)
    sign_up.refresh_from_db()
    delivery.refresh_from_db()
    assert sign_up.expires_at == frozen_clock.now() + timedelta(seconds=600)
    assert (delivery.state, delivery.sent_at, delivery.last_reply) == ("sent", frozen_clock.now(), "250 OK")


def fail(delivery: Delivery, reply: Reply | None) -> None:
    """Settle a mail that was not taken; without a reply, give it back untried."""
    if reply:
        settle(delivery, reply)
    else:
        outbox.release(deliveries=[delivery])


@pytest.mark.parametrize("reply", [LATER, NEVER, None])
def test_the_code_of_a_mail_that_was_certainly_not_taken_cant_be_typed(reply: Reply | None) -> None:
    """Nobody can have read it: it waits for the next send, however often that fails."""
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    for _ in range(2):
        [mine] = outbox.claim(limit=1)
        sign_up.refresh_from_db()
        assert state_of(sign_up) is State.OPEN
        fail(mine, reply)
        sign_up.refresh_from_db()
        assert state_of(sign_up) is State.WAITING
        Delivery.objects.filter(pk=delivery.pk).update(state="pending")
        make_due(delivery)


@pytest.mark.parametrize("reply", [LATER, NEVER, None])
@pytest.mark.parametrize("first", [SILENCE, None], ids=["silence", "a crash"])
def test_the_code_of_a_mail_that_may_have_arrived_stays_open(first: Reply | None, reply: Reply | None) -> None:
    """After silence behind the final dot, or the death of its worker, whatever becomes of the next tries."""
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    [mine] = outbox.claim(limit=1)
    if first:
        settle(mine, first)
    end_lease(delivery)
    for _ in range(2):
        [mine] = outbox.claim(limit=1)
        fail(mine, reply)
        sign_up.refresh_from_db()
        assert state_of(sign_up) is State.OPEN
        Delivery.objects.filter(pk=delivery.pk).update(state="pending")
        make_due(delivery)


def test_the_code_of_a_mail_that_is_given_up_unanswered_stays_open(frozen_clock: FrozenClock) -> None:
    """It may have arrived, though no try follows: the mail was deferred for two hours before."""
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    for seconds, reply in ((0, LATER), (7_190, SILENCE)):
        frozen_clock.move(seconds=seconds)
        make_due(delivery)
        [mine] = outbox.claim(limit=1)
        settle(mine, reply)
    sign_up.refresh_from_db()
    assert (Delivery.objects.get().state, state_of(sign_up)) == ("failed", State.OPEN)


@pytest.mark.parametrize("reply", [LATER, NEVER, None])
def test_a_mail_that_was_not_taken_closes_no_code_of_another_that_may_have_arrived(reply: Reply | None) -> None:
    """Two mails of one generation leave at once where the code was lengthened meanwhile."""
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up)
    [first] = outbox.claim(limit=1)
    make_delivery(sign_up)
    [second] = outbox.claim(limit=1)
    settle(second, SILENCE)
    fail(first, reply)
    sign_up.refresh_from_db()
    assert state_of(sign_up) is State.OPEN


@pytest.mark.parametrize("reply", [LATER, NEVER, None])
def test_a_former_code_that_may_have_arrived_keeps_no_new_one_open(reply: Reply | None) -> None:
    """Nobody can have read the new one, whose mail was not taken."""
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up)
    [first] = outbox.claim(limit=1)
    settle(first, SILENCE)
    sign_up.generation = 2
    sign_up.save()
    make_delivery(sign_up)
    [second] = outbox.claim(limit=1)
    fail(second, reply)
    sign_up.refresh_from_db()
    assert state_of(sign_up) is State.WAITING


def test_the_mail_of_a_replaced_code_is_not_sent() -> None:
    """Its request has a newer generation: the row ends instead."""
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    CaptchaModel.objects.update(generation=2)
    assert outbox.claim(limit=1) == []
    delivery.refresh_from_db()
    assert delivery.state == "expired"


def test_a_refusal_ends_the_row() -> None:
    """5xx about the recipient: no further try."""
    delivery = make_delivery()
    [mine] = outbox.claim(limit=1)
    settle(mine, NEVER)
    make_due(delivery)
    assert outbox.claim(limit=1) == []


@pytest.mark.parametrize("unsent", [lambda mail: settle(mail, LATER), lambda mail: outbox.release(deliveries=[mail])])
def test_a_code_stays_open_while_another_mail_of_its_request_may_be_out(unsent: Callable[[Delivery], object]) -> None:
    """It may have arrived: the server was silent behind the final dot."""
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up), make_delivery(sign_up)
    first, second = outbox.claim(limit=2)
    settle(first, SILENCE)
    unsent(second)
    assert state_of(CaptchaModel.objects.get()) == State.OPEN


RATE = Reply(Outcome.DEFERRED, "550 Connection frequency limited")


@pytest.mark.parametrize(
    ("reply", "state", "cause"),
    [
        (NEVER, "failed", "mailbox"),
        (Reply(Outcome.REFUSED, "554 DT:SPM 163 smtp14"), "failed", "content"),
        (Reply(Outcome.REFUSED, "550 no"), "failed", "unclear"),
        (RATE, "pending", "rate"),
        (Reply(Outcome.DEFERRED, "452 4.2.2 over quota"), "pending", "mailbox"),
        (Reply(Outcome.DEFERRED, "TimeoutError: timed out"), "pending", ""),
        (Reply(Outcome.UNAVAILABLE, "550 5.1.1 not this sender"), "pending", ""),
        (Reply(Outcome.UNKNOWN, "TimeoutError: timed out"), "sending", ""),
        (Reply(Outcome.DROPPED, "the address has no account"), "expired", ""),
        (OK, "sent", ""),
    ],
)
def test_the_row_keeps_whose_a_refusal_is(reply: Reply, state: str, cause: str) -> None:
    """Of the last try; a refusal because of our rate is tried again."""
    make_delivery()
    Delivery.objects.update(cause="rate")
    [mine] = outbox.claim(limit=1)
    settle(mine, reply)
    row = Delivery.objects.get()
    assert (row.state, row.cause) == (state, cause)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.BUSY], ids=lambda each: each.value)
def test_a_long_answer_fits_into_its_columns(outcome: Outcome) -> None:
    """PostgreSQL refuses a longer one, and with it the answers of all mails that are recorded together."""
    make_delivery()
    [mine] = outbox.claim(limit=1)
    settle(mine, Reply(outcome, "250 " + "x" * 996, provider_id="y" * 1_000))
    row = Delivery.objects.get()
    assert row.last_reply.endswith("xxx")
    assert max(len(row.last_reply), len(row.provider_id)) <= 255


def test_a_refusal_because_of_our_rate_is_given_up_after_two_hours(frozen_clock: FrozenClock) -> None:
    """As any mail that is tried again; its cause stays."""
    delivery = make_delivery()
    for seconds, state in ((0, "pending"), (7_200, "failed")):
        frozen_clock.move(seconds=seconds)
        make_due(delivery)
        [mine] = outbox.claim(limit=1)
        settle(mine, RATE)
        row = Delivery.objects.get()
        assert (row.state, row.cause, row.last_reply) == (state, "rate", RATE.text)


@pytest.mark.parametrize(("failures", "pause"), [(1, 20), (2, 70), (3, 180), (4, 330), (5, 480), (6, 600), (11, 600)])
def test_a_deferral_waits_in_the_row(frozen_clocks: FrozenClock, failures: int, pause: int) -> None:
    """Backoff by the number of failures, within ten percent."""
    make_delivery()
    Delivery.objects.update(attempts=failures - 1)
    [mine] = outbox.claim(limit=1)
    settle(mine, LATER)
    row = Delivery.objects.get()
    waits = (row.next_attempt_at - row.created_at).total_seconds()
    assert pause * 0.89 < waits < pause * 1.11
    assert (row.state, row.last_reply) == ("pending", "450 try later")
    assert outbox.claim(limit=1) == []


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.THROTTLED])
def test_a_fault_of_the_service_makes_no_mail_wait_longer(frozen_clocks: FrozenClock, outcome: Outcome) -> None:
    """However often it was tried: it is due soon, and the circuit breaker decides."""
    make_delivery()
    Delivery.objects.update(attempts=5)
    [mine] = outbox.claim(limit=1)
    settle(mine, Reply(outcome, "ConnectionRefusedError"))
    row = Delivery.objects.get()
    assert (row.next_attempt_at - row.created_at).total_seconds() < outbox.SERVICE_PAUSE * 1.11


@pytest.fixture
def deferred() -> list[Delivery]:
    """Five mails that the server deferred, which wait for one to five minutes; none is new."""
    mails = [make_delivery() for _ in range(5)]
    for minutes, each in enumerate(mails, 1):
        Delivery.objects.filter(pk=each.pk).update(
            attempts=3,
            last_reply="450 later",
            next_attempt_at=Now() + timedelta(minutes=minutes),
            created_at=Now() - timedelta(minutes=2),
        )
    return mails


def due_now() -> list[int]:
    return list(Delivery.objects.filter(next_attempt_at__lte=Now()).order_by("pk").values_list("pk", flat=True))


def test_each_acceptance_brings_two_deferred_mails_forward(
    deferred: list[Delivery], notified: list[int], django_capture_on_commit_callbacks
) -> None:
    """Those that come next; so after an outage twice as many leave each time. The workers are notified."""
    with django_capture_on_commit_callbacks(execute=True):
        outbox.retry_deferred_sooner(accepted=1)
    assert due_now() == [each.pk for each in deferred[:2]]
    assert notified == [deferred[0].pk]
    outbox.retry_deferred_sooner(accepted=2)
    assert len(due_now()) == 5


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_an_early_try_that_fails_makes_no_wait_longer(deferred: list[Delivery], attempts: int) -> None:
    """It is not counted; but the mail stays one that was tried."""
    Delivery.objects.update(attempts=attempts)
    outbox.retry_deferred_sooner(accepted=1)
    [early, _] = outbox.claim(limit=5)
    assert early.attempts == max(2, attempts)


def test_without_an_acceptance_none_comes_forward(deferred: list[Delivery]) -> None:
    """A server that takes nothing is not asked more often."""
    outbox.retry_deferred_sooner(accepted=0)
    assert due_now() == []


@pytest.mark.parametrize(
    "columns",
    [
        {"tried_early_at": timedelta(seconds=-50)},  # and deferred again
        {"created_at": timedelta(seconds=-50)},  # a greylisted one comes by itself
        {"next_attempt_at": timedelta(seconds=4)},  # it comes by itself
        {"attempts": 0, "mailbox": "bob@example.com"},  # a mail limit holds it back
        {"mailbox": "bob@example.com"},  # a muted one, which was never admitted
        {"last_reply": "KeyError while building"},  # the mail server is not to blame
        {"last_reply": RATE.text, "cause": "rate"},  # one mail service's ban, which each try prolongs
        {"state": "sending"},
        {"state": "failed"},
    ],
)
def test_what_an_acceptance_says_nothing_about_waits_on(deferred: list[Delivery], columns: dict) -> None:
    """It is no sign that these would be taken."""
    times = {name: Now() + value for name, value in columns.items() if isinstance(value, timedelta)}
    Delivery.objects.update(**columns | times)
    outbox.retry_deferred_sooner(accepted=5)
    assert due_now() == []


def test_where_none_is_deferred_nobody_looks_for_a_while(django_assert_num_queries) -> None:
    """A good day pays nothing for it."""
    outbox.retry_deferred_sooner(accepted=1)
    with django_assert_num_queries(0):
        outbox.retry_deferred_sooner(accepted=1)


def test_after_two_hours_it_is_given_up(frozen_clock: FrozenClock) -> None:
    """A code that late helps nobody: no try begins later."""
    make_delivery()
    begin, tries = frozen_clock.now(), 0
    while Delivery.objects.get().state != "failed":
        [mine] = outbox.claim(limit=1)
        last, tries = frozen_clock.now(), tries + 1
        settle(mine, LATER)
        frozen_clock.move(seconds=outbox.BACKOFF[min(tries, len(outbox.BACKOFF)) - 1])
        Delivery.objects.filter(state="pending").update(next_attempt_at=Now())
    assert timedelta(minutes=110) <= last - begin < timedelta(hours=2)


def test_silence_behind_the_dot_brings_three_copies_at_most(frozen_clocks: FrozenClock) -> None:
    """Widely spaced: a server that delivers, and does not answer in time, brings each of them."""
    make_delivery()
    waits, copies = [], 0
    while Delivery.objects.get().state != "failed":
        [mine] = outbox.claim(limit=1)
        copies += 1
        settle(mine, Reply(Outcome.UNKNOWN, "TimeoutError"))
        if until := Delivery.objects.get().lease_until:
            waits.append((until - frozen_clocks.now()).total_seconds())
            frozen_clocks.move(seconds=waits[-1] + 1)
            outbox.reclaim()
    assert (copies, waits) == (3, [60, 3_600])


def test_released_mails_are_free_at_once() -> None:
    """And the try is not counted."""
    make_delivery()
    outbox.release(deliveries=outbox.claim(limit=1))
    [again] = outbox.claim(limit=1)
    assert again.attempts == 1


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
    assert row.visible_state == seen


@pytest.mark.parametrize(
    ("columns", "seen"),
    [
        ({"state": "failed", "last_reply": "550 5.1.1 no", "cause": "mailbox"}, "mailbox"),
        ({"state": "failed", "last_reply": "554 DT:SPM", "cause": "content"}, "site"),
        ({"state": "failed", "last_reply": "421 4.7.0 [TSS04]", "cause": "reputation"}, "site"),
        ({"state": "failed", "last_reply": "554 5.3.5 oops", "cause": "service"}, "site"),
        ({"state": "failed", "last_reply": "550 no", "cause": "unclear"}, "unclear"),
        ({"state": "failed", "last_reply": "ConnectionRefusedError: refused"}, "unclear"),
        ({"state": "failed", "last_reply": "550 no"}, "unclear"),  # settled by an older release
        ({"attempts": 1, "last_reply": RATE.text, "cause": "rate"}, "site"),
        ({"attempts": 1, "last_reply": "450 4.7.1 greylisted", "cause": "rate"}, ""),
        ({"attempts": 1, "last_reply": "552 5.2.2 over quota", "cause": "mailbox"}, "mailbox"),
        ({"attempts": 1, "last_reply": "452 4.2.2 over quota", "cause": "mailbox"}, "mailbox"),
        ({"attempts": 1, "last_reply": "450 4.2.0 try again", "cause": "mailbox"}, ""),
        ({"attempts": 1, "last_reply": "450 4.2.2 too quickly", "cause": "rate"}, ""),
        ({"attempts": 1, "last_reply": "TimeoutError"}, ""),
        ({"last_reply": "550 5.1.1 no"}, ""),  # an operator had it sent again
        ({"state": "sent", "last_reply": "250 OK"}, ""),
        ({}, ""),
    ],
)
def test_whose_a_refusal_is_for_a_visitor(columns: dict, seen: str) -> None:
    """Their mailbox, this site, or unclear; greylisting is none."""
    assert Delivery(created_at=clock.now(), next_attempt_at=clock.now(), **columns).visible_reason == seen


def test_a_mail_keeps_its_message_id() -> None:
    """Made once, at the sender's domain."""
    delivery = make_delivery()
    [mine] = outbox.claim(limit=1)
    settle(mine, LATER)
    again = Delivery.objects.get()
    assert again.message_id == delivery.message_id
    assert again.message_id.endswith("@doorcode.test>")
    assert Delivery.objects.latest_about(make_captcha(ALICE)) is None


def test_nobody_can_guess_a_message_id() -> None:
    """128 random bits: a report of a bounce names its mail by it."""
    first, second = make_delivery(), make_delivery()
    assert re.fullmatch(r"<[0-9a-f]{32}@doorcode\.test>", first.message_id)
    assert first.message_id != second.message_id


LOCKED = """
import os, psycopg
from signup import services
from worker import outbox
from worker.models import SiteMails
sign_up = services.request_code(address="alice@example.com", language="en", held={})
with psycopg.connect(os.environ["DATABASE_URL"]) as other:
    other.execute("SELECT 1 FROM verification_captchamodel WHERE id = %s FOR NO KEY UPDATE", [sign_up.pk])
    print("CLAIMED", len(outbox.claim(limit=5)), end=" ")
print(len(outbox.claim(limit=5)), "COUNTED", *SiteMails.objects.values_list("mails", flat=True))
"""


@pytest.mark.postgres
def test_a_claim_passes_over_a_request_that_is_locked(postgres: Postgres, tmp_path: Path) -> None:
    """
    Who asks for a mail again holds its request, and then its mails: waiting for it could be a deadlock. The mail counts
    for the site once.
    """
    system = System(database=postgres.migrated_database(), logs=tmp_path, LIMIT_MAILS_SITE="10/h")
    assert "CLAIMED 0 1 COUNTED 1" in system.shell(LOCKED)


CROSSED = """
import threading, time
from django.db import connection
from signup import services
from signup.accounts.services import request_password_reset
from signup.models import User
from worker import mail_limits, outbox
people = ["alice@example.com", "bob@example.com"]
for email in people:
    User.objects.create_user(email=email, username=email.partition("@")[0], password="correct horse b")
    request_password_reset(address=email, language="en", network="1")
outbox.claim(limit=2)
for email in reversed(people):
    request_password_reset(address=email, language="en", network="1")
for email in people:
    services.request_code(address=email, language="en", held={})
real, both, claimed = mail_limits._admit_to_mailboxes, threading.Barrier(2), []
def meet(asking, limit, at):
    passed = real(asking, limit, at)
    if limit is mail_limits.ACCOUNT_MAILS:
        both.wait(10)
        time.sleep(asking[0].mailbox == people[1])  # who held Alice's mailbox asks for Bob's first
    return passed
mail_limits._admit_to_mailboxes = meet
def claim():
    claimed.extend(each.recipient for each in outbox.claim(limit=1))
    connection.close()
threads = [threading.Thread(target=claim) for _ in people]
for each in threads:
    each.start()
for each in threads:
    each.join()
print("CLAIMED", sorted(claimed))
"""


EXACT = """
import threading
from datetime import timedelta
from django.db import connection, transaction
from core import clock
from signup import services
from worker import mail_limits, outbox
for email in %(people)s:
    services.request_code(address=email, language="en", held={})
both, claimed = threading.Barrier(2), []
real = mail_limits.%(admit)s
def meet(*args):
    both.wait(10)
    return real(*args)
mail_limits.%(admit)s = meet
edge = clock.now().replace(second=0, microsecond=0) + timedelta(minutes=1)
def claim(at):
    with transaction.atomic():
        claimed.extend(outbox._claim(mail_limits.SIGN_UP_MAILS, 1, at))
        threading.Event().wait(0.5)  # the other would not see what is not committed
    connection.close()
threads = [threading.Thread(target=claim, args=[at]) for at in (edge - timedelta(seconds=0.1), edge)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print("CLAIMED", len(claimed))
"""


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("limits", "people", "admit"),
    [
        ({"LIMIT_MAILS_MAILBOX": "1/60s"}, ["alice+a@example.com", "alice+b@example.com"], "_admit_to_mailboxes"),
        ({"LIMIT_MAILS_SITE": "2/h"}, ["alice@example.com", "bob@example.com"], "_admit_to_site"),
    ],
    ids=["mailbox", "site"],
)
def test_mail_limits_are_exact_for_claims_at_the_same_time(
    postgres: Postgres, tmp_path: Path, limits: dict[str, str], people: list[str], admit: str
) -> None:
    """Two find the last place, on both sides of a minute's edge: one mail leaves."""
    system = System(database=postgres.migrated_database(), logs=tmp_path, **limits)
    shown = system.shell(EXACT % {"people": people, "admit": admit})
    assert "CLAIMED 1" in shown


@pytest.mark.postgres
def test_claims_that_find_resets_over_their_limit_do_not_wait_for_each_other(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Each of two held a mailbox for a reset that may not leave, and goes on to a sign-up mail to the other's."""
    system = System(database=postgres.migrated_database(), logs=tmp_path, LIMIT_MAILS_MAILBOX="5/h")
    shown = system.shell(CROSSED)
    assert "CLAIMED ['alice@example.com', 'bob@example.com']" in shown
