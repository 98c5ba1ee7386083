"""`Idempotency-Key`: asking for a code again is the same request."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from tests.factories import ALICE, BOB, FrozenClock, make_user
from tests.signup.api.conftest import Api, codes
from verification.models import CaptchaModel
from worker.models import Delivery

KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'


def ask(api: Api, key: str = KEY, email: str = ALICE, network: str = "192.0.2.1") -> HttpResponse:
    return api.client.post(
        "/api/captchas/",
        {"email": email},
        content_type="application/json",
        headers=api.headers | {"idempotency-key": key},
        REMOTE_ADDR=network,
    )


@pytest.fixture
def begun(frozen_clock: FrozenClock) -> FrozenClock:
    """A clock whose next window of ten minutes begins in a second."""
    frozen_clock.set(datetime(2030, 1, 31, 9, 29, 59, tzinfo=UTC))
    return frozen_clock


@pytest.mark.parametrize("registered", [False, True])
def test_a_client_that_asks_twice_has_one_request(api: Api, begun: FrozenClock, registered: bool) -> None:
    """The same body, one mail, and so one code; alike for a registered address, and across a window's edge."""
    if registered:
        make_user()
    first = ask(api)
    again = ask(api)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    begun.move(seconds=40)
    later = ask(api, email=" Alice@Example.com ").json()
    assert (later["id"], later["resend_after"]) == (first.json()["id"], 20)
    assert CaptchaModel.objects.count() == Delivery.objects.count() == 1


def test_a_process_whose_clock_is_behind_knows_a_key_of_the_next_window(api: Api, begun: FrozenClock) -> None:
    """So does one that waited for the other's call while the window ended."""
    begun.move(seconds=1)
    first = ask(api).json()["id"]
    begun.move(seconds=-1)
    assert ask(api).json()["id"] == first
    assert Delivery.objects.count() == 1


def test_a_key_is_remembered_for_ten_minutes(api: Api, begun: FrozenClock) -> None:
    """Since the first call, to the second; then it begins another request, which is remembered in turn."""
    first = ask(api).json()["id"]
    begun.move(seconds=599)
    assert ask(api).json()["id"] == first
    begun.move(seconds=1)
    second = ask(api).json()["id"]
    assert second != first
    begun.move(seconds=599)
    assert ask(api).json()["id"] == second


@pytest.mark.parametrize("other", [{"key": "another"}, {"email": BOB}, {"network": "192.0.2.2"}])
def test_another_key_address_or_network_is_another_request(api: Api, other: dict[str, str]) -> None:
    """So nobody meets a stranger's request by a key that is easily guessed."""
    assert ask(api).json()["id"] != ask(api, **other).json()["id"]
    assert Delivery.objects.count() == 2


def test_a_finished_request_is_returned_too(api: Api) -> None:
    """A call that is repeated late begins no second sign-up."""
    first = ask(api).json()["id"]
    CaptchaModel.objects.update(redeemed_at=CaptchaModel.objects.get().created_at)
    assert ask(api).json()["id"] == first
    assert Delivery.objects.count() == 1


def test_without_a_key_each_call_is_a_request(api: Api) -> None:
    """As before."""
    assert api.ask().handle != api.ask().handle


@pytest.mark.parametrize("key", ["", "x" * 256, "clé", "a\tb", "a\x00b", "\x7f"])
def test_a_key_that_cannot_be_used_is_a_400(api: Api, key: str) -> None:
    """Before anything is looked at; it is named by its own code, and no field is."""
    answer = ask(api, key)
    assert (answer.status_code, answer.json()["code"], codes(answer)) == (400, "idempotency_key", {})
    assert not CaptchaModel.objects.exists()
    assert ask(api, "x" * 255).status_code == 202


def test_a_refused_call_uses_up_no_key(api: Api) -> None:
    """After a slip in the address the same key begins the request."""
    assert codes(ask(api, email="alice")) == {"email": ["invalid"]}
    assert ask(api).status_code == 202


def test_a_key_makes_no_difference_for_a_registered_address(api: Api) -> None:
    """The same statements, first and again."""
    make_user("bob", BOB)
    for _ in range(2):
        counts = []
        for email in (ALICE, BOB):
            with CaptureQueriesContext(connection) as queries:
                ask(api, email=email)
            counts.append([query["sql"].split()[0] for query in queries.captured_queries])
        assert counts[0] == counts[1]
        assert len(counts[0]) > 3
