"""`make attack`: the best that a stranger reaches, next to the bounds, and the harm to honest people."""

import argparse
import logging
import os
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

import time_machine
from django.conf import settings
from django.db import transaction
from django.test.utils import get_runner, override_settings, setup_test_environment

from tests.attacks import attacker
from tests.attacks.conftest import DEFAULTS
from tests.attacks.people import Crowd
from tests.factories import ALICE, BOB, FrozenClock, clocks_of_the_outbox, make_user


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=200, help="mails an hour at which the whole site is attacked")
    parser.add_argument("--people", type=int, default=1_000, help="honest people in a day behind one address")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    setup_test_environment()
    logging.disable(logging.CRITICAL)
    runner = get_runner(settings)(verbosity=0)
    databases = runner.setup_databases()
    quiet = {"LOGGING_CONFIG": None, "LIMIT_MAILS_SITE": [(options.mails, 3_600)]}
    apart = patch(
        "core.observability.counters._schedule", lambda: None
    )  # its thread and ours share one database in memory
    with ExitStack() as patched:
        for name, stand_in in clocks_of_the_outbox().items():
            patched.enter_context(patch(name, stand_in))
        for each in (
            override_settings(**DEFAULTS | quiet),
            apart,
            patch("worker.notify.notify_workers", lambda delivery_id: True),
        ):
            patched.enter_context(each)
        with override_settings(**DEFAULTS):  # first: what an attack leaves would be in these people's future, and count
            _live(options.people, options.seed)
        with override_settings(**DEFAULTS):
            _besiege()
        _attack(options.mails)
    runner.teardown_databases(databases)


def _attack(mails: int) -> None:
    frozen_clock = FrozenClock(datetime.now(UTC))
    with patch("core.clock.now", frozen_clock.now):
        one = attacker.at_one_address(frozen_clock, address=ALICE).worst_day()
        print(f"one address: {one:.3e} in the worst 24 hours; bound A/N {attacker.bound_of_address():.3e}", flush=True)
        frozen_clock.move(days=3)
        many = attacker.at_many_addresses(frozen_clock)
        length = len(many.guesses)
        print(
            f"all addresses, {mails} mails an hour: {many.worst_day():.5f} expected hijacks in 24 hours, {length} guesses; "
            f"bound W/N {attacker.bound_of_site():.5f}",
            flush=True,
        )


def _besiege() -> None:
    """A stranger uses up the mails of a mailbox; its owner comes every hour, each time as if never before."""
    frozen_clock = FrozenClock(datetime.now(UTC) + timedelta(days=10))
    networks = {1: "1 network", 2: "2 networks", None: "another network each time"}
    sieges = {
        f"sign-up, {name}": attacker.Siege(frozen_clock, ALICE, number, step=5) for number, name in networks.items()
    }
    sieges["sign-up, the last, who uses up each code"] = attacker.Siege(frozen_clock, ALICE, None, step=5, spoils=True)
    make_user(email=BOB)
    sieges |= {
        f"reset, {name}": attacker.SiegeOfResets(frozen_clock, BOB, number, step=5) for number, name in networks.items()
    }
    with patch("core.clock.now", frozen_clock.now):
        for name, siege in sieges.items():
            with transaction.atomic():
                waits = siege.waits(hours=30, every=1)
                mails = siege.mails_in_a_day()
                transaction.set_rollback(True)
            worst, mean = max(waits), sum(waits) / len(waits)
            print(
                f"besieged, {name}: in after {worst:.0f} min at most, {mean:.0f} on average; {mails} mails in a day",
                flush=True,
            )


def _live(people: int, seed: int) -> None:
    crowd = Crowd(people=people, seed=seed)
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False) as clock:
        crowd.run(clock.shift)
    harmed = sum(crowd.harmed.values())
    print(f"honest people behind one address: {crowd.done} of {people} got through, {harmed} met a limit or an error")
    for what, number in crowd.harmed.most_common():
        print(f"  {number} x {what}")


if __name__ == "__main__":
    main()
