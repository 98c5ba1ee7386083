"""The budgets of mails: they delay, and never lose one."""

from datetime import timedelta

import pytest

from core import clock
from tests.factories import ALICE, BOB, Hands, make_captcha, make_delivery
from tests.visits import deliver
from worker import due, outbox, status
from worker.models import Delivery, MailTally
from worker.smtp import Outcome, Reply

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rates(settings) -> None:
    settings.LIMIT_MAILS_MAILBOX = [(1, 60), (5, 3_600), (10, 86_400)]
    settings.LIMIT_MAILS_SITE = [(2_000, 3_600)]


def post(recipient: str = ALICE, network: str | None = "home") -> Delivery:
    return make_delivery(recipient=recipient, network=network, kind=Delivery.Kind.REGISTERED)


def go() -> list[str]:
    """Deliver what is due; return the recipients."""
    sent: list[str] = []
    while mails := deliver():
        sent += [each.recipient for each in mails]
    return sent


def test_a_mailbox_gets_one_a_minute(all_hands: Hands) -> None:
    """The second waits its minute and goes; another mailbox doesn't wait."""
    post(), post(), post(BOB)
    assert sorted(go()) == [ALICE, BOB]
    all_hands.move(seconds=59)
    assert go() == []
    all_hands.move(seconds=1)
    assert go() == [ALICE]


def test_what_waits_is_shown_as_delayed(all_hands: Hands) -> None:
    """At once, not only after a while."""
    post(), post()
    go()
    assert [status.visible_state(each) for each in Delivery.objects.order_by("pk")] == ["sent", "delayed"]


def test_five_an_hour_then_none_until_the_first_is_an_hour_old(all_hands: Hands) -> None:
    """Rolling, not by the clock's hour."""
    sent = []
    for minute in range(70):
        post()
        sent += [minute] * len(go())
        all_hands.move(minutes=1)
    assert sent == [0, 1, 2, 3, 4, 60, 61, 62, 63]  # the ninth is the last of this network's day


def test_the_tenth_of_a_day_is_for_another_network(all_hands: Hands) -> None:
    """Who fills a mailbox from one place doesn't keep its owner out."""
    sent = []
    for hour in range(20):
        post(network="stranger")
        sent += [hour] * len(go())
        all_hands.move(hours=1)
    assert sent == list(range(9))
    post(network="home")
    assert go() == [ALICE]
    post(network="office")
    assert go() == []


def test_variants_of_a_mailbox_share_its_budget(all_hands: Hands) -> None:
    """Tags anywhere, dots at Gmail."""
    for variant in ("a.lice+1@gmail.com", "alice+2@googlemail.com", "ali.ce@gmail.com"):
        post(variant)
    assert go() == ["a.lice+1@gmail.com"]
    post("al.ice@example.com"), post("alice@example.com")
    assert len(go()) == 2


def test_a_retry_is_not_a_second_mail(all_hands: Hands) -> None:
    """Greylisted five times, it has its place once."""
    delivery = post()
    for _ in range(5):
        [mine] = outbox.claim(limit=1)
        outbox.settle(results=[(mine, Reply(Outcome.DEFERRED, "450 later"))])
        all_hands.move(minutes=15)
    assert go() == [ALICE]
    assert Delivery.objects.get(pk=delivery.pk).attempts == 6


def test_what_is_given_back_unsent_is_not_charged_twice(all_hands: Hands) -> None:
    """A batch that ran out of time returns its rest."""
    post()
    outbox.release(deliveries=outbox.claim(limit=1))
    assert go() == [ALICE]


def test_waiting_for_the_budget_is_no_failing(all_hands: Hands) -> None:
    """After 20 hours in the queue, a first passing trouble must not be the last."""
    delivery = post()
    all_hands.move(hours=20)
    [mine] = outbox.claim(limit=1)
    outbox.settle(results=[(mine, Reply(Outcome.DEFERRED, "450 later"))])
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.PENDING


def test_a_mail_whose_sign_up_is_over_is_not_sent(all_hands: Hands, settings) -> None:
    """It waited for longer than a sign-up lives."""
    captcha = make_captcha(accepted=False)
    make_delivery(captcha, network="home")
    all_hands.move(hours=24)
    assert go() == []
    assert Delivery.objects.get().state == Delivery.State.EXPIRED


def test_a_mail_that_nobody_asked_for_is_outside_the_budgets(all_hands: Hands, settings) -> None:
    """It neither waits nor makes others wait."""
    settings.LIMIT_MAILS_SITE = [(1, 3_600)]
    post(network=None), post(network=None), post()
    assert go() == [ALICE] * 3
    assert MailTally.objects.get().mails == 1


def test_the_site_sends_its_number_and_the_rest_an_hour_later(all_hands: Hands, settings) -> None:
    """Exactly; and what has to wait is not touched, however long the queue is."""
    settings.LIMIT_MAILS_SITE = [(7, 3_600)]
    for number in range(10):
        post(f"person{number}@example.com")
    assert len(go()) == 7
    assert go() == []
    all_hands.move(minutes=2)
    assert due.longest() is None  # no bell is rung for what can't go
    all_hands.move(minutes=59)
    assert due.count() == 3
    assert len(go()) == 3


def test_the_sites_hour_rolls(all_hands: Hands, settings) -> None:
    """No hour, wherever it begins, has more than its number."""
    settings.LIMIT_MAILS_SITE = [(5, 3_600)]
    sent = []
    for minute in range(180):
        post(f"person{minute}@example.com")
        sent += [minute] * len(go())
        all_hands.move(minutes=1)
    assert max(sum(start <= minute < start + 60 for minute in sent) for start in range(120)) == 5
    assert len(sent) >= 14


def test_both_can_be_off(all_hands: Hands, settings) -> None:
    """Then all leave at once, and nothing is counted."""
    settings.LIMIT_MAILS_MAILBOX, settings.LIMIT_MAILS_SITE = [], []
    for _ in range(20):
        post()
    assert len(go()) == 20
    assert not MailTally.objects.exists()


def test_what_the_log_knows_of_a_visitor_is_a_fingerprint(all_hands: Hands) -> None:
    """When, which mailbox, and a keyed hash of the network."""
    post(network="0123456789abcdef")
    go()
    row = Delivery.objects.get()
    assert (row.mailbox, row.network, row.admitted_at) == (ALICE, "0123456789abcdef", clock.now())
    assert row.next_attempt_at <= clock.now() + timedelta(seconds=1)
