"""The limits as a site has them by default, and the whole system on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.journeys.conftest import system  # noqa: F401 - the fixture, once more for this folder

DEFAULTS = {
    "LIMIT_GUESSES_ADDRESS": [(9, 8), (100, None)],
    "LIMIT_GUESSES_SITE": [(100, 6), (1_000, 8)],
    "LIMIT_MAILS_MAILBOX": [(1, 60), (5, 3_600), (10, 86_400)],
    "LIMIT_MAILS_SITE": [(2_000, 3_600)],
    "LIMIT_RESETS_MAILBOX": [(1, 60), (3, 3_600), (6, 86_400)],
    "LIMIT_RESETS_SITE": [(1_000, 3_600)],
    "LIMIT_REQUESTS_NETWORK": [(60, 120), (200, 3_600)],
    "LIMIT_VERIFY_NETWORK": [(300, 600)],
    "LIMIT_LOGIN_NETWORK": [(60, 60)],
    "LIMIT_LOGIN_PAIR": [(5, 300)],
    "LIMIT_LOGIN_ACCOUNT": [(50, 3_600)],
}


def at_once(number: int, act: Callable[[int], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(max_workers=25) as pool:
        return list(pool.map(act, range(number)))


@pytest.fixture
def defaults(settings) -> None:
    """All limits at their defaults."""
    for name, value in DEFAULTS.items():
        setattr(settings, name, value)


@pytest.fixture
def limited(defaults: None, still: None, one_clock: None) -> None:
    """The same; and the outbox's clock stands still with the wall's, or a slow test sees late mail."""
