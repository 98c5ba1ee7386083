"""A day of a stranger who guesses, and of a thousand honest people: the bounds hold, and refuse none of the latter."""

from datetime import UTC, datetime

import pytest
import time_machine

from tests.attacks import attacker
from tests.attacks.people import Crowd
from tests.factories import ALICE, FrozenClock, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("defaults")]


@pytest.mark.parametrize("registered", [False, True])
def test_the_chance_at_one_address_stays_under_its_bound(frozen_clocks: FrozenClock, registered: bool) -> None:
    """Two days, any number of browsers: no 24 hours are worth more than A/N, and that is under 9.1e-4."""
    if registered:
        make_user()
    reached = attacker.at_one_address(frozen_clocks, address=ALICE, hours=30, browsers=3).worst_day()
    assert 9e-4 <= reached <= attacker.bound_of_address() + 1e-12 <= 9.1e-4


def test_the_hijacks_at_all_addresses_stay_under_their_bound(frozen_clocks: FrozenClock, settings) -> None:
    """Four hours with a twentieth of the site's mails: W/N holds; at the defaults the bound itself is under 0.0134."""
    assert attacker.bound_of_site() == pytest.approx(0.01329)
    settings.LIMIT_MAILS_SITE = [(100, 3_600)]
    chances = attacker.at_many_addresses(frozen_clocks, hours=4)
    assert len(chances.guesses) > 1_000  # so codes of each length were guessed at
    assert 0.0105 < chances.worst_day() <= attacker.bound_of_site(hours=4) * 1.001


def test_honest_people_meet_no_limit(one_clock: None) -> None:
    """Two hundred of them, from one network: typos, slow mail, double clicks, two tabs, the back button."""
    crowd = Crowd(people=200, seed=7)
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False) as clock:
        crowd.run(clock.shift)
    assert crowd.harmed == {}
    assert crowd.done == 200
