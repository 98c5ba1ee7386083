"""The limits of wrong guesses, and the lengths that they require."""

from datetime import timedelta

import pytest
from django.db import transaction

from tests.factories import ALICE, BOB, Hands
from verification import guess_limits
from verification.models import AddressGuesses, SiteGuesses
from verification.states import CodeTooShort, LinkOnly

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def tiers(settings) -> None:
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8), (100, None)]
    settings.LIMIT_GUESSES_SITE = [(100, 6), (1000, 8)]


def guess(hands: Hands, number: int = 1, *, address: str = ALICE, length: int = 4) -> None:
    for _ in range(number):
        with transaction.atomic():
            guess_limits.count(address=address, length=length, at=hands.now())
            guess_limits.count_for_site(at=hands.now())


def length(hands: Hands, address: str = ALICE) -> int:
    return guess_limits.required(address=address, at=hands.now()).length


def test_nine_guesses_are_free_the_next_needs_eight_digits(hands: Hands) -> None:
    """Of this address alone."""
    guess(hands, 9)
    with pytest.raises(CodeTooShort):
        guess(hands)
    with pytest.raises(CodeTooShort):
        guess(hands, length=6)
    guess(hands, length=8)
    assert (length(hands), length(hands, BOB)) == (8, 4)
    guess(hands, address=BOB)


def test_after_a_hundred_only_the_link_proves(hands: Hands) -> None:
    """No length helps; new codes keep the highest."""
    guess(hands, 9)
    guess(hands, 91, length=8)
    with pytest.raises(LinkOnly):
        guess(hands, length=10)
    assert length(hands) == 8


def test_a_right_guess_at_the_last_limit_frees_none(hands: Hands, settings) -> None:
    """Only so many guesses are kept; taking one back leaves as many as there were."""
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8)]
    guess(hands, 9)
    hands.move(seconds=1)
    for _ in range(2):
        guess(hands, length=8)
        with transaction.atomic():
            guess_limits.undo(address=ALICE, at=hands.now())
    assert length(hands) == 8


def test_the_window_rolls(hands: Hands) -> None:
    """Each guess is forgotten 24 hours after it, not at midnight, and not a second earlier."""
    guess(hands, 4)
    hands.move(hours=12)
    guess(hands, 5)
    hands.move(hours=12, seconds=-1)
    assert length(hands) == 8
    hands.move(seconds=1)
    guess(hands, 4)
    with pytest.raises(CodeTooShort):
        guess(hands)


def test_a_refused_guess_is_not_counted(hands: Hands) -> None:
    """More attempts do not make the wait longer."""
    guess(hands, 9)
    for _ in range(50):
        with pytest.raises(CodeTooShort):
            guess(hands)
    assert len(AddressGuesses.objects.get().guesses) == 9
    hands.move(hours=24)
    guess(hands)


def test_an_undone_guess_does_not_count(hands: Hands) -> None:
    """The right code costs its owner nothing."""
    guess(hands, 8)
    for _ in range(20):
        hands.move(seconds=1)
        guess(hands)
        with transaction.atomic():
            guess_limits.undo(address=ALICE, at=hands.now())
    assert length(hands) == 4


def test_undoing_a_guess_keeps_a_later_one(hands: Hands) -> None:
    """Somebody else guessed after it: that one still counts."""
    guess(hands, 3)
    mine = hands.now()
    hands.move(seconds=1)
    guess(hands)
    with transaction.atomic():
        guess_limits.undo(address=ALICE, at=mine)
    left = AddressGuesses.objects.get().guesses
    assert len(left) == 3
    assert left[-1] == pytest.approx(hands.now().timestamp(), abs=0.001)


def test_the_row_keeps_no_more_than_a_rule_looks_at(hands: Hands, settings) -> None:
    """However long somebody guesses; and the last, which may be taken back."""
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8)]
    guess(hands, 50, length=8)
    assert len(AddressGuesses.objects.get().guesses) == 9 + 1
    assert length(hands) == 8


def test_the_site_lengthens_every_code(hands: Hands, settings) -> None:
    """100 wrong guesses anywhere make 6 digits, 1,000 make 8."""
    for number in range(100):
        guess(hands, address=f"person{number}@example.com")
    assert length(hands) == 6
    with pytest.raises(CodeTooShort):
        guess(hands)
    SiteGuesses.objects.update(guesses=1000)
    assert length(hands) == 8


def test_the_site_forgets_after_a_day_to_the_hour(hands: Hands) -> None:
    """Never before 24 hours, always before 25."""
    hands.set(hands.now().replace(minute=50))
    SiteGuesses.objects.create(hour=hands.now().replace(minute=0, second=0, microsecond=0), guesses=100)
    hands.move(hours=24)
    assert length(hands) == 6
    hands.move(minutes=10)
    assert length(hands) == 4


def test_old_hours_are_not_read(hands: Hands, django_assert_num_queries) -> None:
    """The length of a new code takes two queries, and they look at no more than a day."""
    rows = [SiteGuesses(hour=hands.now() - timedelta(days=days), guesses=10**6) for days in range(2, 50)]
    SiteGuesses.objects.bulk_create(rows)
    with django_assert_num_queries(2):
        assert length(hands) == 4


def test_a_longer_configured_length_wins(hands: Hands, settings) -> None:
    """max(CAPTCHA_LENGTH, tier)."""
    settings.CAPTCHA_LENGTH = 10
    guess(hands, 50, length=10)
    assert length(hands) == 10


def test_both_can_be_off(hands: Hands, settings, django_assert_num_queries) -> None:
    """Then nothing is read for a new code."""
    settings.LIMIT_GUESSES_ADDRESS, settings.LIMIT_GUESSES_SITE = [], []
    guess(hands, 200)
    with django_assert_num_queries(0):
        assert length(hands) == 4
    assert not SiteGuesses.objects.exists()
