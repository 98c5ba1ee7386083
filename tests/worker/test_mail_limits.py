"""The limits of mails: they delay, and never lose one; places are spread, and the next is never far."""

import itertools
import random
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import clock
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery, make_muted, make_user
from tests.steps import deliver
from verification.models import CaptchaModel
from worker import mail_limits, outbox, suppression
from worker.classification import Outcome, Reply
from worker.models import Delivery, SiteMails, Suppression

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


def ask_all_the_time(frozen_clock: FrozenClock, *, minutes: int, networks: int) -> list[int]:
    """Every ten minutes one of so many networks asks; return the minutes in which a mail left."""
    sent, turn = [], itertools.cycle(range(networks))
    for minute in range(0, minutes, 10):
        post(network=f"stranger{next(turn)}")
        sent += [minute] * len(go())
        frozen_clock.move(minutes=10)
    return sent


def wait_for(frozen_clock: FrozenClock, mine: Delivery) -> int:
    """Minutes until a mail left, while two strangers go on asking."""
    for minute in range(0, 24 * 60, 2):
        go()
        mine.refresh_from_db()
        if mine.state == Delivery.State.SENT:
            return minute
        frozen_clock.move(minutes=2)
        if minute % 20 == 0:
            post(network="stranger0"), post(network="stranger1")
    raise AssertionError("never")


@contextmanager
def undone(frozen_clock: FrozenClock) -> Generator[None]:
    """Undo everything that happens within."""
    start = frozen_clock.now()
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    frozen_clock.set(start)


def test_a_mailbox_gets_one_a_minute(frozen_clocks: FrozenClock) -> None:
    """The others wait their minute, also one that is asked for after the first left; another mailbox doesn't wait."""
    post(), post(), post(BOB)
    assert sorted(go()) == [ALICE, BOB]
    post()
    assert go() == []
    frozen_clocks.move(seconds=59)
    assert go() == []
    frozen_clocks.move(seconds=1)
    assert go() == [ALICE]


def test_what_waits_is_shown_as_delayed(frozen_clocks: FrozenClock) -> None:
    """At once, not only after a while."""
    post(), post()
    go()
    assert [each.visible_state for each in Delivery.objects.order_by("pk")] == ["delayed", "sent"]


def test_places_are_spread_over_the_day(frozen_clocks: FrozenClock) -> None:
    """One network that asks all the time: two at once, then one every three hours, ten a day."""
    sent = []
    for minute in range(0, 2 * 24 * 60, 10):
        post(network="stranger")
        sent += [minute] * len(go())
        frozen_clocks.move(minutes=10)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert gaps[0] == 10
    assert {round(gap / 60) for gap in gaps[1:]} == {3}
    assert sum(time < 24 * 60 for time in sent) <= 10


@pytest.mark.parametrize("most", [1, 2, 3])
def test_so_few_places_are_not_spread(frozen_clocks: FrozenClock, settings, most: int) -> None:
    """An operator's limit of three a day leaves nothing to spread: each leaves at once, and the next a day later."""
    settings.LIMIT_MAILS_MAILBOX = [(most, 86_400)]
    for _ in range(4):
        post()
    assert len({each.pk for each in deliver()}) == most
    frozen_clocks.move(hours=23)
    assert go() == []
    frozen_clocks.move(hours=1)
    assert len(go()) == min(most, 4 - most)


def test_a_third_network_waits_an_hour(frozen_clocks: FrozenClock) -> None:
    """Two that ask all the time don't keep the owner out, whenever the owner comes."""
    for minutes in (1, 61, 200, 23 * 60 + 1, 30 * 60):
        with undone(frozen_clocks):
            ask_all_the_time(frozen_clocks, minutes=minutes, networks=2)
            mine = post(network="home")
            assert wait_for(frozen_clocks, mine) <= 61


def test_however_many_networks_ask_the_next_mail_is_never_far(frozen_clocks: FrozenClock) -> None:
    """It may be somebody else's, and serves its reader all the same."""
    sent = ask_all_the_time(frozen_clocks, minutes=50 * 60, networks=500)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert max(gaps) <= 3 * 60 + 10
    assert max(sum(start <= time < start + 24 * 60 for time in sent) for start in sent) <= 10


@given(st.integers(0, 2**32))
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_order_of_networks_makes_the_next_mail_later(seed: int) -> None:
    """For any order of networks and any waits: never over ten in a day, never 3 h 10 min apart."""
    dice, rates = random.Random(seed), [(1, 60), (5, 3_600), (10, 86_400)]
    sent: list[tuple[str, datetime]] = []
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(40):
        network = dice.choice("abcdefgh"[: dice.randint(1, 8)])
        free = mail_limits.next_place(sent, network, rates, at=at)
        while free > at:
            assert free - (sent[-1][1] if sent else at) <= timedelta(hours=3, minutes=10)
            at = free
            free = mail_limits.next_place(sent, network, rates, at=at)
        sent.append((network, at))
        assert sum(time > at - timedelta(days=1) for _, time in sent) <= 10
        at += timedelta(seconds=dice.choice([0, 1, 60, 3_600, 9_000]))


def test_a_place_goes_to_the_newest_request(frozen_clocks: FrozenClock) -> None:
    """The first to come have waited so long that they may have given up."""
    post(), post(), go(), frozen_clocks.move(minutes=1), go()
    first, last = post(), post()
    frozen_clocks.move(hours=4)
    assert [each.pk for each in deliver()] == [last.pk]
    first.refresh_from_db()
    assert first.next_attempt_at > clock.now()


def test_networks_take_turns(frozen_clocks: FrozenClock) -> None:
    """A place goes to the network that had the fewest mails, though another asked later."""
    for network in ("stranger", "stranger", "office", "school"):
        post(network=network), go(), frozen_clocks.move(hours=4)
    mine = post(network="home")
    for _ in range(3):
        post(network="stranger")
    assert [each.pk for each in deliver()] == [mine.pk]
    frozen_clocks.move(hours=4)
    office = post(network="office")
    assert [each.pk for each in deliver()] == [office.pk]


def test_a_superseded_mail_takes_no_place(frozen_clocks: FrozenClock) -> None:
    """The next that waits gets it."""
    post(), post(), go(), frozen_clocks.move(minutes=1), go()
    mine = post()
    sign_up = make_captcha(accepted=False)
    over = make_delivery(sign_up, network="home")
    CaptchaModel.objects.filter(pk=sign_up.pk).update(generation=2)
    frozen_clocks.move(hours=4)
    while not (sent := deliver()):
        pass
    assert [each.pk for each in sent] == [mine.pk]
    over.refresh_from_db()
    assert over.state == Delivery.State.EXPIRED


def test_a_pile_of_mails_that_nobody_wants_holds_no_claim_up(
    frozen_clocks: FrozenClock, django_assert_max_num_queries
) -> None:
    """A stranger asked for a mailbox all day, and a day later all of it is over at once."""
    post(), go()
    over = make_captcha()
    for _ in range(150):
        make_delivery(over, network="stranger")
    CaptchaModel.objects.update(generation=2)
    frozen_clocks.move(minutes=2)
    mine = post()
    with django_assert_max_num_queries(40):
        assert [each.pk for each in outbox.claim(limit=50)] == [mine.pk]
    frozen_clocks.move(hours=24)
    assert [outbox.claim(limit=50) for _ in range(3)] == [[]] * 3
    assert not Delivery.objects.filter(state=Delivery.State.PENDING).exists()


def test_a_turn_is_found_however_many_mails_wait(frozen_clocks: FrozenClock) -> None:
    """The claim reads its own rows, the newest and the oldest; the network whose turn it is may be between them."""
    post(network="stranger"), go(), frozen_clocks.move(hours=4)
    post(network="stranger"), go(), frozen_clocks.move(hours=4)
    waiting = [post(network=network) for network in ("stranger", "home", "stranger", "stranger")]
    assert [each.pk for each in outbox.claim(limit=1)] == [waiting[1].pk]


def test_a_mail_that_is_held_back_stops_no_other_to_its_mailbox(frozen_clocks: FrozenClock) -> None:
    """Addresses with tags share a mailbox, and are suppressed one by one."""
    post(), go(), frozen_clocks.move(hours=4)
    suppression.suppress(address="alice+tag@example.com", reason=Suppression.Reason.BOUNCED)
    mine = post()
    post("alice+tag@example.com")
    go()
    mine.refresh_from_db()
    assert mine.state == Delivery.State.SENT


def test_what_is_held_back_takes_no_place(frozen_clocks: FrozenClock) -> None:
    """A muted or suppressed address, and a reset where there is no account: nothing is sent, so nothing is counted."""
    make_muted(), [post() for _ in range(4)]
    assert len(deliver()) == 4
    suppression.suppress(address=BOB, reason=Suppression.Reason.BOUNCED)
    [post(BOB) for _ in range(4)]
    assert len(deliver()) == 4
    nobody = [make_delivery(recipient=BOB, network="home", kind=Delivery.Kind.PASSWORD_RESET) for _ in range(8)]
    assert len(deliver()) == len(nobody)
    assert not Delivery.objects.filter(admitted_at__isnull=False).exists()
    assert not SiteMails.objects.filter(mails__gt=0).exists()


def test_resets_have_limits_of_their_own(frozen_clocks: FrozenClock, settings) -> None:
    """Neither sign-up mails nor those of the whole site keep a reset back, nor the other way round."""
    settings.LIMIT_RESETS_MAILBOX, settings.LIMIT_RESETS_SITE = [(1, 60)], [(40, 3_600)]
    settings.LIMIT_MAILS_SITE = [(2, 3_600)]
    user = make_user()
    for _ in range(3):
        post(), post(BOB)
    assert len(go()) == 1  # and the others wait for a minute, or an hour
    first = make_delivery(kind=Delivery.Kind.PASSWORD_RESET, user_id=user.pk, network="home")
    second = make_delivery(kind=Delivery.Kind.PASSWORD_RESET, user_id=user.pk, network="home")
    assert [each.pk for each in deliver()] == [second.pk]
    frozen_clocks.move(minutes=1)
    assert [each.pk for each in deliver() if each.kind == "password_reset"] == [first.pk]
    assert sum(each.resets for each in SiteMails.objects.all()) == 2


def test_variants_of_a_mailbox_share_its_limit(frozen_clocks: FrozenClock) -> None:
    """Tags anywhere, dots at Gmail."""
    for variant in ("a.lice+1@gmail.com", "alice+2@googlemail.com", "ali.ce@gmail.com"):
        post(variant)
    assert go() == ["ali.ce@gmail.com"]
    post("al.ice@example.com"), post("alice@example.com")
    assert len(go()) == 2


def test_a_retry_is_not_a_second_mail(frozen_clocks: FrozenClock) -> None:
    """Greylisted five times, it has its place once, and that of its first try."""
    delivery, first = post(), clock.now()
    for _ in range(5):
        [mine] = outbox.claim(limit=1)
        outbox.settle(results=[(mine, Reply(Outcome.DEFERRED, "450 later"))])
        frozen_clocks.move(minutes=15)
    assert go() == [ALICE]
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.admitted_at) == (6, first)


def test_a_retry_and_another_mail_to_its_mailbox_leave_once_each(frozen_clocks: FrozenClock, settings) -> None:
    """The mailbox has two more places, and the mail that is tried again took its own before."""
    settings.LIMIT_MAILS_MAILBOX = [(3, 86_400)]
    again = post()
    [mine] = outbox.claim(limit=1)
    outbox.settle(results=[(mine, Reply(Outcome.DEFERRED, "450 later"))])
    frozen_clocks.move(minutes=2)
    other = post()
    assert sorted(each.pk for each in deliver()) == [again.pk, other.pk]


def test_a_released_mail_counts_once_for_the_limits(frozen_clocks: FrozenClock) -> None:
    """A batch that ran out of time returns its rest."""
    post()
    outbox.release(deliveries=outbox.claim(limit=1))
    assert go() == [ALICE]


def test_time_spent_waiting_for_a_limit_does_not_make_a_failure_final(frozen_clocks: FrozenClock) -> None:
    """After 20 hours in the queue, the first passing failure must not be the last."""
    delivery = post()
    frozen_clocks.move(hours=20)
    [mine] = outbox.claim(limit=1)
    outbox.settle(results=[(mine, Reply(Outcome.DEFERRED, "450 later"))])
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.PENDING


def test_a_mail_whose_sign_up_is_over_is_not_sent(frozen_clocks: FrozenClock) -> None:
    """It waited for longer than a sign-up is valid."""
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up, network="home")
    frozen_clocks.move(hours=24)
    assert go() == []
    assert Delivery.objects.get().state == Delivery.State.EXPIRED


def test_a_clock_that_was_ahead_stops_no_mail(frozen_clocks: FrozenClock, settings) -> None:
    """Once it is set back, what was sent by it is not in the way for all the hours that it was ahead."""
    settings.LIMIT_MAILS_MAILBOX = [(1, 60), (5, 3_600), (10, 86_400)]
    frozen_clocks.move(hours=8)
    post(), post(BOB)
    assert len(go()) == 2
    frozen_clocks.move(hours=-8)
    Delivery.objects.update(next_attempt_at=clock.now())
    post(), post("carol@example.com")
    assert sorted(go()) == [ALICE, "carol@example.com"]


def test_a_mail_that_nobody_asked_for_is_outside_the_limits(frozen_clocks: FrozenClock, settings) -> None:
    """It neither waits nor makes others wait."""
    settings.LIMIT_MAILS_SITE = [(1, 3_600)]
    post(network=None), post(network=None), post()
    assert go() == [ALICE] * 3
    assert SiteMails.objects.get().mails == 1
    post(network=None), post(BOB)  # the site's limit is used up
    assert go() == [ALICE]


def test_the_site_sends_half_at_once_and_half_over_the_hour(frozen_clocks: FrozenClock, settings) -> None:
    """So the next place is never far; and what has to wait is not touched, however long the queue is."""
    settings.LIMIT_MAILS_SITE = [(120, 3_600)]
    for number in range(130):
        post(f"person{number}@example.com", network=f"network{number}")
    assert len(go()) == 60
    assert Delivery.objects.filter(next_attempt_at__lte=frozen_clocks.now(), state="pending").count() == 70
    assert not any(each.waits_for_limit for each in Delivery.objects.all())  # each asked but once, and reads no other
    assert mail_limits.claimable().longest_due() is None  # no worker is notified of what can't go
    sent = []
    for _ in range(5):
        frozen_clocks.move(minutes=1)
        sent.append(len(go()))
    assert sent == [1] * 5
    frozen_clocks.move(hours=1)
    assert mail_limits.claimable().count() == 65
    assert len(go()) == 60


def test_the_sites_places_go_to_the_oldest_and_the_newest(frozen_clocks: FrozenClock, settings) -> None:
    """So neither waits until the overload ends."""
    settings.LIMIT_MAILS_SITE = [(8, 3_600)]
    for number in range(12):
        post(f"person{number}@example.com", network=f"network{number}")
        frozen_clocks.move(seconds=1)
    assert go() == [f"person{number}@example.com" for number in (0, 1, 10, 11)]


def test_places_of_the_site_that_come_back_one_at_a_time_go_to_new_mails_too(
    frozen_clocks: FrozenClock, settings, monkeypatch
) -> None:
    """Every other one, by chance; else a small site's new visitors waited until the overload ends."""
    settings.LIMIT_MAILS_SITE = [(60, 3_600)]
    turns = itertools.cycle([0, 1])
    monkeypatch.setattr(mail_limits.random, "getrandbits", lambda bits: next(turns))
    for number in range(60):
        post(f"backlog{number}@example.com", network=f"network{number}")
    go()
    sent = []
    for number in range(20):
        frozen_clocks.move(minutes=1)
        post(f"new{number}@example.com", network=f"newcomer{number}")
        sent += go()
    assert sum(name.startswith("new") for name in sent) == len(sent) // 2 > 3


def test_the_sites_last_places_are_for_networks_that_asked_for_few(frozen_clocks: FrozenClock, settings) -> None:
    """A stranger who fills the site's limit from one network doesn't stop the others."""
    settings.LIMIT_MAILS_SITE = [(120, 3_600)]
    for number in range(100):
        post(f"victim{number}@example.com", network="stranger")
    assert 0 < len(go()) < 60
    post(network="home")
    assert go() == [ALICE]


def test_the_last_places_of_a_small_limit_are_for_every_network_that_asked_once(
    frozen_clocks: FrozenClock, settings
) -> None:
    """A hundredth of it is less than one mail."""
    settings.LIMIT_MAILS_SITE = [(40, 3_600)]
    sent = []
    for number in range(20):
        post(f"person{number}@example.com", network=f"network{number}")
        sent += go()
    assert len(sent) == 20


def test_the_last_quarter_is_kept_however_many_mails_are_claimed_at_once(frozen_clocks: FrozenClock, settings) -> None:
    """A network's mails that wait after an outage get the places of all; the next network's mail leaves at once."""
    settings.LIMIT_MAILS_SITE = [(200, 3_600)]
    for number in range(160):
        post(f"person{number}@example.com", network="busy")
    assert len(go()) == 50  # of the 100 that may leave at once
    post("newcomer@example.com", network="other")
    assert go() == ["newcomer@example.com"]


def test_in_the_last_quarter_a_network_has_one_mail_of_a_small_limit(frozen_clocks: FrozenClock, settings) -> None:
    """And waits with its second: at least one is a hundredth."""
    settings.LIMIT_MAILS_SITE = [(40, 3_600)]
    for number in range(11):
        post(f"person{number}@example.com", network=f"network{number}")
    assert len(go()) == 11
    for number in range(2):
        post(f"twice{number}@example.com", network="twice")
    post("once@example.com", network="once")
    assert go() == ["once@example.com"]


def test_the_sites_hour_rolls(frozen_clocks: FrozenClock, settings) -> None:
    """No hour, wherever it begins, has more than its number."""
    settings.LIMIT_MAILS_SITE = [(5, 3_600)]
    sent = []
    for minute in range(180):
        post(f"person{minute}@example.com", network=f"network {minute}")
        sent += [minute] * len(go())
        frozen_clocks.move(minutes=1)
    assert max(sum(start <= minute < start + 60 for minute in sent) for start in range(120)) in (4, 5)
    assert len(sent) >= 12


def test_both_limits_of_mails_can_be_switched_off(frozen_clocks: FrozenClock, settings) -> None:
    """Then all leave at once, and nothing is counted."""
    settings.LIMIT_MAILS_MAILBOX, settings.LIMIT_MAILS_SITE = [], []
    for _ in range(20):
        post()
    assert len(go()) == 20
    assert not SiteMails.objects.exists()


def test_a_delivery_stores_the_network_only_as_a_keyed_hash(frozen_clocks: FrozenClock) -> None:
    """When, which mailbox, and a keyed hash of the network."""
    post(network="0123456789abcdef")
    go()
    row = Delivery.objects.get()
    assert (row.mailbox, row.network, row.admitted_at) == (ALICE, "0123456789abcdef", clock.now())
    assert row.next_attempt_at <= clock.now() + timedelta(seconds=1)
