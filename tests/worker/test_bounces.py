"""Bounces and complaints: what a report changes."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from core.observability import counters
from tests.factories import ALICE, FrozenClock, make_captcha, make_delivery, make_user
from tests.servers import Postgres, System
from verification.codes import code_of, link_token
from verification.states import State, state_of
from worker import outbox
from worker.bounces import Effect, Report, record
from worker.classification import Cause, Outcome, Reply
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

BOUNCED, COMPLAINED = Delivery.State.BOUNCED, Delivery.State.COMPLAINED


def accepted(**columns: object) -> Delivery:
    """A mail that the mail server has."""
    delivery = make_delivery(make_captcha())
    Delivery.objects.filter(pk=delivery.pk).update(
        **{"state": "sent", "sent_at": delivery.created_at, "last_reply": "250 OK", **columns}
    )
    delivery.refresh_from_db()
    return delivery


def bounce(delivery: Delivery, **fields: object) -> Report:
    given = {"text": "550 5.1.1 no such user", "cause": Cause.MAILBOX, "message_id": delivery.message_id}
    return Report(BOUNCED, **{**given, **fields})


def complaint(delivery: Delivery) -> Report:
    return Report(COMPLAINED, "abuse", message_id=delivery.message_id)


def test_a_bounce_is_recorded_with_its_mail() -> None:
    """With the words of the mail server, on one line and as long as fits; the visitor learns whose it is."""
    delivery, other = accepted(), accepted()
    assert record(bounce(delivery, text="550 5.1.1\r\n no such   user" + "!" * 300)) is Effect.RECORDED
    row = Delivery.objects.get(pk=delivery.pk)
    assert (row.state, row.cause, row.sent_at) == (BOUNCED, Cause.MAILBOX, delivery.sent_at)
    assert row.last_reply == ("550 5.1.1 no such user" + "!" * 300)[:255]
    assert (row.visible_state, row.visible_reason) == ("bounced", "mailbox")
    other.refresh_from_db()
    assert other.state == "sent"


def test_a_code_that_a_report_quotes_is_taken_out() -> None:
    """It is still valid: the table of mails must not hold it."""
    delivery = accepted()
    code = code_of(delivery.sign_up)
    record(bounce(delivery, text=f"550 5.7.1 spam: subject '{code} is your Doorcode code'", cause=Cause.CONTENT))
    assert Delivery.objects.get().last_reply == "550 5.7.1 spam: subject '… is your Doorcode code'"


def test_a_link_that_a_report_quotes_opens_nothing() -> None:
    """Nor may the table hold the token of a link."""
    delivery = accepted()
    link = f"https://doorcode.test/signup/link/{link_token(delivery.sign_up)}/"
    record(bounce(delivery, text=f"554 5.7.1 listed: {link}", cause=Cause.CONTENT))
    assert Delivery.objects.get().last_reply == "554 5.7.1 listed: https://doorcode.test/signup/link/…/"


def test_a_complaint_shows_as_sent() -> None:
    """The reader has the mail; that they reported it is nobody else's business."""
    delivery = accepted()
    assert record(complaint(delivery)) is Effect.RECORDED
    row = Delivery.objects.get()
    assert (row.state, row.visible_state, row.visible_reason) == (COMPLAINED, "sent", "")


def test_a_mail_is_known_by_the_id_of_the_mail_service_too() -> None:
    """That of another mail is not it, and no id is none."""
    accepted(), accepted(provider_id="service-1")
    assert record(bounce(accepted(), message_id="", provider_id="")) is Effect.UNKNOWN
    assert record(bounce(accepted(), message_id="", provider_id="service-2")) is Effect.UNKNOWN
    assert not Delivery.objects.filter(state=BOUNCED).exists()
    assert record(bounce(accepted(), message_id="", provider_id="service-1")) is Effect.RECORDED
    assert Delivery.objects.get(state=BOUNCED).provider_id == "service-1"


def test_a_report_about_no_mail_of_ours_changes_nothing() -> None:
    """Forged, or about a row that was purged: above all no address is suppressed."""
    delivery = accepted()
    assert record(bounce(delivery, message_id="<forged@example.com>")) is Effect.UNKNOWN
    delivery.refresh_from_db()
    assert delivery.state == "sent"
    assert not Suppression.objects.exists()


def test_a_report_about_no_mail_of_ours_takes_one_query(django_assert_num_queries) -> None:
    """A service may report a thousand mails at once, of all programs that share its account."""
    with django_assert_num_queries(1):
        record(bounce(Delivery(message_id="<x@y>")))


@pytest.mark.parametrize("order", sorted(set(permutations(["bounce", "complaint", "bounce"]))), ids="-".join)
def test_the_order_of_reports_doesnt_matter(order: tuple[str, ...]) -> None:
    """A complaint outweighs a bounce; the address is suppressed once."""
    delivery = accepted()
    for each in order:
        record(complaint(delivery) if each == "complaint" else bounce(delivery))
    assert Delivery.objects.get().state == COMPLAINED
    assert Suppression.objects.get().times == 1


@pytest.mark.parametrize("report", [bounce, complaint])
def test_a_repeated_report_changes_nothing(frozen_clock: FrozenClock, report) -> None:
    """Not even when the first suppression is over: it is the same news."""
    delivery = accepted()
    assert record(report(delivery)) is Effect.RECORDED
    before = (Delivery.objects.values().get(), Suppression.objects.values().get())
    frozen_clock.move(days=2)
    assert record(report(delivery)) is Effect.REPEATED
    assert (Delivery.objects.values().get(), Suppression.objects.values().get()) == before


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "bounced"),
        ({"is_permanent": False}, None),
        ({"cause": Cause.REPUTATION}, None),
        ({"cause": Cause.UNCLEAR}, None),
        ({"cause": None}, None),
    ],
)
def test_only_a_mailbox_that_takes_no_mail_is_suppressed(fields: dict, reason: str | None) -> None:
    """A bounce because of us, or one that may pass, says nothing about the address."""
    assert record(bounce(accepted(), **fields)) is Effect.RECORDED
    assert Suppression.objects.values_list("reason", flat=True).first() == reason


def test_a_complaint_suppresses_its_address() -> None:
    """The canonical one, which the next request has too."""
    record(complaint(accepted()))
    assert Suppression.objects.values_list("address", "reason").get() == (ALICE, "complained")


@pytest.mark.parametrize("report", [bounce, complaint])
def test_a_report_may_come_before_the_answer_is_on_record(frozen_clock: FrozenClock, report) -> None:
    """It was accepted, so the code is valid. The worker's own record comes too late and changes nothing."""
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up)
    [claimed] = outbox.claim(limit=1)
    assert record(report(claimed)) is Effect.RECORDED
    state = Delivery.objects.get().state
    assert outbox.settle(results=[(claimed, Reply(Outcome.ACCEPTED, "250 OK"))]) == [claimed]
    row = Delivery.objects.get()
    assert (row.state, row.lease_token, row.lease_until) == (state, "", None)
    assert row.sent_at
    sign_up.refresh_from_db()
    assert state_of(sign_up) is State.OPEN


@pytest.mark.parametrize("state", ["pending", "failed", "expired"])
def test_a_mail_whose_acceptance_nobody_saw_bounces_too(state: str) -> None:
    """It fell silent after the final dot, and waits for another try, or was given up."""
    delivery = accepted(state=state, sent_at=None, last_reply="TimeoutError")
    assert record(bounce(delivery)) is Effect.RECORDED
    row = Delivery.objects.get()
    assert (row.state, bool(row.sent_at)) == (BOUNCED, True)
    assert outbox.claim(limit=1) == []


def test_a_mail_that_bounced_is_another_one_when_it_is_sent_again() -> None:
    """Its Message-ID is new, so a late report about the first changes nothing."""
    delivery = accepted(provider_id="service-1")
    record(bounce(delivery))
    Suppression.objects.all().delete()
    assert outbox.requeue(delivery_id=delivery.pk)
    row = Delivery.objects.get()
    assert (row.state, row.cause, row.provider_id, row.sent_at) == ("pending", "", "", None)
    assert row.message_id != delivery.message_id
    assert record(complaint(delivery)) is Effect.UNKNOWN
    assert record(bounce(row)) is Effect.RECORDED


@pytest.mark.parametrize("report", [bounce, complaint])
def test_a_report_of_a_mail_about_an_account_suppresses_nothing(
    frozen_clock: FrozenClock, report: Callable[[Delivery], Report]
) -> None:
    """Such mail goes to accounts alone: whoever asked for a reset would see at the next sign-up that there is one."""
    reset = make_delivery(kind="password_reset", user_id=make_user().pk)
    Delivery.objects.update(state="sent")
    assert record(report(reset)) is Effect.RECORDED
    assert not Suppression.objects.exists()
    make_delivery(kind="password_reset", user_id=reset.user_id)
    assert [claimed.is_held_back for claimed in outbox.claim(limit=1)] == [False]


@pytest.mark.django_db(transaction=True)
def test_reports_are_counted_by_what_they_changed() -> None:
    """For `/metrics`."""
    delivery = accepted()
    for report in (bounce(delivery), bounce(delivery), bounce(delivery, message_id="<x@y>"), complaint(delivery)):
        record(report)
    counted = {labels: number for (name, labels), number in counters._gathered.items() if "reports" in name}
    assert counted == {
        "bounced/recorded": 1,
        "bounced/repeated": 1,
        "bounced/unknown": 1,
        "complained/recorded": 1,
    }


CROWD = """
import threading
from django.db import connection, transaction
from signup import services
from worker import outbox
from worker.bounces import Report, record
from worker.classification import Cause, Outcome, Reply
from worker.models import Delivery, Suppression

for number in range(40):  # from four addresses
    services.request_code(address=f"a{number % 4}@example.com", language="en", held={})
claimed = outbox.claim(limit=50)
ids = list(Delivery.objects.values_list("message_id", flat=True))
errors, start = [], threading.Barrier(10)

def work(number):
    start.wait()
    try:
        for turn in range(len(ids)):
            message_id = ids[(turn * (1 if number % 2 else -1) + number) % len(ids)]
            if number < 6:
                state = Delivery.State.BOUNCED if number % 2 else Delivery.State.COMPLAINED
                record(Report(state, "550 5.1.1 unknown", cause=Cause.MAILBOX, message_id=message_id))
            elif number == 6:
                outbox.renew(deliveries=claimed)
            elif number == 7:
                outbox.reclaim()
                outbox.release(deliveries=outbox.claim(limit=5))
            else:
                group = claimed[turn::10]
                outbox.settle(results=[(each, Reply(Outcome.ACCEPTED, "250 OK")) for each in group])
    except Exception as error:
        errors.append(repr(error))
    finally:
        connection.close()

threads = [threading.Thread(target=work, args=[number]) for number in range(10)]
for each in threads: each.start()
for each in threads: each.join()
states = sorted(set(Delivery.objects.values_list("state", "lease_token")))
print("ENDED", len(claimed) > 0, errors, states, sorted(Suppression.objects.values_list("address", "times")))
"""


@pytest.mark.postgres
def test_reports_meet_claims_renewals_and_records(postgres: Postgres, tmp_path: Path) -> None:
    """None waits for another in a circle; each mail ends as reported, and each address is suppressed once."""
    system = System(database=postgres.migrated_database(), logs=tmp_path)
    once = [(f"a{number}@example.com", 1) for number in range(4)]
    ended = f"ENDED True [] [('complained', '')] {once}"
    assert ended in system.shell(CROWD)
