"""Nobody is starved of mail: attacks 71 to 73 and 76."""

import pytest

from tests.attacks.attacker import Siege, SiegeOfResets
from tests.attacks.conftest import DEFAULTS
from tests.factories import ALICE, BOB, Hands, make_captcha, make_delivery, make_user, muted
from tests.visits import deliver
from worker.models import Delivery, SiteMails

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

HOUR = 60  # minutes


@pytest.fixture(autouse=True)
def defaults(settings) -> None:
    for name, value in DEFAULTS.items():
        setattr(settings, name, value)


@pytest.mark.parametrize(("networks", "bound"), [(1, HOUR), (2, HOUR), (None, 3 * HOUR)], ids=["one", "two", "any"])
def test_71_a_besieged_owner_gets_in(all_hands: Hands, networks: int | None, bound: int) -> None:
    """Whenever they come, by their own mail or by the link of one that the stranger asked for."""
    siege = Siege(all_hands, ALICE, networks)
    waits = siege.waits(hours=28, every=3)
    assert len(waits) == 9
    assert max(waits) <= bound
    assert siege.mails_in_a_day() <= 10


@pytest.mark.parametrize("networks", [0, 2], ids=["sign-ups alone", "two"])
def test_72_a_reset_comes_within_two_minutes(all_hands: Hands, networks: int) -> None:
    """Sign-up mails take no place of a reset's; and a reset's link works for an hour, whoever asked for it."""
    make_user(email=ALICE)
    siege = SiegeOfResets(all_hands, ALICE, networks)
    if not networks:
        for _ in range(40):
            Siege.want(siege, network="stranger")
        while deliver():
            pass
    assert max(siege.waits(hours=28, every=4)) <= 2


def test_73_a_mail_that_is_held_back_takes_no_place(all_hands: Hands) -> None:
    """Who asked for it sees it fare as any other; the owner, who undoes the mute, has all places."""
    muted(ALICE)
    for _ in range(6):
        make_delivery(make_captcha(accepted=False), network="stranger")
    assert len(deliver()) == 6
    assert not Delivery.objects.filter(admitted_at__isnull=False).exists()
    assert not SiteMails.objects.filter(mails__gt=0).exists()


def test_76_a_stranger_fills_only_part_of_the_sites_mails(all_hands: Hands, settings) -> None:
    """Its last places are for networks that asked for few; and it never sends all of an hour at once."""
    settings.LIMIT_MAILS_SITE = [(200, 3_600)]
    for number in range(300):
        make_delivery(recipient=f"victim{number}@example.com", network=f"stranger{number % 3}")
    while deliver():
        pass
    sent = Delivery.objects.filter(state=Delivery.State.SENT)
    assert 0 < sent.count() <= 100
    mine = make_delivery(recipient=BOB, network="home")
    assert [each.pk for each in deliver()] == [mine.pk]
