"""The limits of wrong guesses, and the lengths that they require."""

import math
from datetime import timedelta

import pytest
from django.db import transaction

from tests.factories import ALICE, BOB, FrozenClock
from verification import guess_limits, metrics
from verification.models import AddressGuesses, SiteGuesses
from verification.states import CodeTooShort, LinkOnly

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def tiers(settings) -> None:
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8), (100, None)]
    settings.LIMIT_GUESSES_SITE = [(100, 6), (1000, 8)]


def guess(frozen_clock: FrozenClock, number: int = 1, *, address: str = ALICE, length: int = 4) -> None:
    for _ in range(number):
        with transaction.atomic():
            guess_limits.count(address=address, length=length, at=frozen_clock.now())
            guess_limits.count_for_site(at=frozen_clock.now())


def length(address: str = ALICE) -> int:
    return guess_limits.required(address=address).length


def test_nine_guesses_are_free_the_next_needs_eight_digits(frozen_clock: FrozenClock) -> None:
    """Of this address alone."""
    guess(frozen_clock, 9)
    with pytest.raises(CodeTooShort):
        guess(frozen_clock)
    with pytest.raises(CodeTooShort):
        guess(frozen_clock, length=6)
    guess(frozen_clock, length=8)
    assert (length(), length(BOB)) == (8, 4)
    guess(frozen_clock, address=BOB)


def test_after_a_hundred_only_the_link_proves(frozen_clock: FrozenClock) -> None:
    """No length helps; new codes keep the highest."""
    guess(frozen_clock, 9)
    guess(frozen_clock, 91, length=8)
    with pytest.raises(LinkOnly):
        guess(frozen_clock, length=10)
    assert length() == 8


@pytest.mark.parametrize(("limit", "now"), [(8, 8), (None, math.inf)])
def test_operators_see_how_long_new_codes_are(
    frozen_clock: FrozenClock, settings, limit: int | None, now: float
) -> None:
    """Endless where only links prove, so that the alert fires."""
    settings.LIMIT_GUESSES_SITE = [(9, limit)]
    guess(frozen_clock, 9)
    [digits] = metrics.digits()
    assert [sample.value for sample in digits.samples] == [4, now]


def test_a_right_guess_at_the_last_limit_frees_none(frozen_clock: FrozenClock, settings) -> None:
    """Only so many guesses are kept; taking one back leaves as many as there were."""
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8)]
    guess(frozen_clock, 9)
    frozen_clock.move(seconds=1)
    for _ in range(2):
        guess(frozen_clock, length=8)
        with transaction.atomic():
            guess_limits.undo(address=ALICE, at=frozen_clock.now())
    assert length() == 8


def test_the_window_rolls(frozen_clock: FrozenClock) -> None:
    """Each guess is forgotten 24 hours after it, not at midnight, and not a second earlier."""
    guess(frozen_clock, 4)
    frozen_clock.move(hours=12)
    guess(frozen_clock, 5)
    frozen_clock.move(hours=12, seconds=-1)
    assert length() == 8
    frozen_clock.move(seconds=1)
    guess(frozen_clock, 4)
    with pytest.raises(CodeTooShort):
        guess(frozen_clock)


def test_a_refused_guess_is_not_counted(frozen_clock: FrozenClock) -> None:
    """More attempts do not make the wait longer."""
    guess(frozen_clock, 9)
    for _ in range(50):
        with pytest.raises(CodeTooShort):
            guess(frozen_clock)
    assert len(AddressGuesses.objects.get().guesses) == 9
    frozen_clock.move(hours=24)
    guess(frozen_clock)


def test_an_undone_guess_does_not_count(frozen_clock: FrozenClock) -> None:
    """The right code costs its owner nothing."""
    guess(frozen_clock, 8)
    for _ in range(20):
        frozen_clock.move(seconds=1)
        guess(frozen_clock)
        with transaction.atomic():
            guess_limits.undo(address=ALICE, at=frozen_clock.now())
    assert length() == 4


def test_undoing_a_guess_keeps_a_later_one(frozen_clock: FrozenClock) -> None:
    """Somebody else guessed after it: that one still counts."""
    guess(frozen_clock, 3)
    mine = frozen_clock.now()
    frozen_clock.move(seconds=1)
    guess(frozen_clock)
    with transaction.atomic():
        guess_limits.undo(address=ALICE, at=mine)
    left = AddressGuesses.objects.get().guesses
    assert len(left) == 3
    assert left[-1] == pytest.approx(frozen_clock.now().timestamp(), abs=0.001)


def test_a_guess_that_an_operator_forgot_needs_no_undoing(frozen_clock: FrozenClock) -> None:
    """By `manage.py unlock`, between the count of a right guess and its undoing."""
    for row_is_there in (False, True):
        if row_is_there:
            guess(frozen_clock)
        frozen_clock.move(seconds=1)
        with transaction.atomic():
            guess_limits.undo(address=ALICE, at=frozen_clock.now())
    assert len(AddressGuesses.objects.get().guesses) == 1


def test_the_row_keeps_no_more_than_a_rule_looks_at(frozen_clock: FrozenClock, settings) -> None:
    """However long somebody guesses; and the last, which may be taken back."""
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8)]
    guess(frozen_clock, 50, length=8)
    assert len(AddressGuesses.objects.get().guesses) == 9 + 1
    assert length() == 8


def test_the_site_lengthens_every_code(frozen_clock: FrozenClock) -> None:
    """100 wrong guesses anywhere make 6 digits, 1,000 make 8."""
    for number in range(100):
        guess(frozen_clock, address=f"person{number}@example.com")
    assert length() == 6
    with pytest.raises(CodeTooShort):
        guess(frozen_clock)
    SiteGuesses.objects.update(guesses=1000)
    assert length() == 8


def test_the_site_forgets_after_a_day_to_the_hour(frozen_clock: FrozenClock) -> None:
    """Never before 24 hours, always before 25."""
    frozen_clock.set(frozen_clock.now().replace(minute=50))
    SiteGuesses.objects.create(hour=frozen_clock.now().replace(minute=0, second=0, microsecond=0), guesses=100)
    frozen_clock.move(hours=24)
    assert length() == 6
    frozen_clock.move(minutes=10)
    assert length() == 4


def test_old_hours_are_not_read(frozen_clock: FrozenClock, django_assert_num_queries) -> None:
    """The length of a new code takes two queries, and they look at no more than a day."""
    rows = [SiteGuesses(hour=frozen_clock.now() - timedelta(days=days), guesses=10**6) for days in range(2, 50)]
    SiteGuesses.objects.bulk_create(rows)
    with django_assert_num_queries(2):
        assert length() == 4


def test_a_longer_configured_length_wins(frozen_clock: FrozenClock, settings) -> None:
    """max(CAPTCHA_LENGTH, tier)."""
    settings.CAPTCHA_LENGTH = 10
    guess(frozen_clock, 50, length=10)
    assert length() == 10


def test_both_limits_of_guesses_can_be_switched_off(
    frozen_clock: FrozenClock, settings, django_assert_num_queries
) -> None:
    """Then nothing is read for a new code."""
    settings.LIMIT_GUESSES_ADDRESS, settings.LIMIT_GUESSES_SITE = [], []
    guess(frozen_clock, 200)
    with django_assert_num_queries(0):
        assert length() == 4
    assert not SiteGuesses.objects.exists()
