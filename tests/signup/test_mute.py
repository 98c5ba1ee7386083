"""The page behind "This wasn't me"."""

import pytest
from django.test import Client

from tests.factories import ALICE, BOB, make_captcha, muted, right, text_of
from verification import codes
from verification.models import CaptchaModel
from worker import suppression
from worker.models import Suppression

pytestmark = pytest.mark.django_db


def link(sign_up: CaptchaModel) -> str:
    return f"/signup/mute/{suppression.token_for(sign_up)}/"


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_page_changes_nothing(client: Client, method: str) -> None:
    """Mail scanners look."""
    sign_up = make_captcha()
    before = CaptchaModel.objects.values().get()
    assert getattr(client, method)(link(sign_up)).status_code == 200
    assert CaptchaModel.objects.values().get() == before
    assert not Suppression.objects.exists()


def test_the_button_mutes_and_the_page_offers_to_undo(client: Client) -> None:
    """The same link shows either."""
    sign_up = make_captcha()
    assert f"Someone entered {ALICE}" in text_of(client.get(link(sign_up)))
    assert client.post(link(sign_up)).headers["Location"] == link(sign_up)
    assert "Sign-up email is stopped" in text_of(client.get(link(sign_up)))
    client.post(link(sign_up), {"undo": "1"})
    assert "Undone" in text_of(client.get(link(sign_up)))
    assert not Suppression.objects.exists()


def test_a_muted_sign_up_starts_again(client: Client) -> None:
    """The page gives no reason."""
    client.post("/signup/", {"email": ALICE})
    sign_up = CaptchaModel.objects.get()
    Client().post(link(sign_up))
    fields = {"email": ALICE, "captcha": right(sign_up), "username": "mallory", "password": "correct horse b"}
    for page in (client.get("/signup/verify/"), client.post("/signup/verify/", fields)):
        assert "Your sign-up timed out. Start again" in text_of(page)
        assert "wasn't me" not in text_of(page)


def test_a_muted_address_is_answered_as_any(client: Client) -> None:
    """Status, text, cookies: only the address and random values differ."""
    muted()
    seen = []
    for address in (ALICE, BOB):
        browser = Client()
        answer = browser.post("/signup/", {"email": address})
        reference = codes.reference_of(CaptchaModel.objects.latest("pk"))
        page = browser.get("/signup/verify/")
        text = text_of(page).replace(str(page.context["csrf_token"]), "").replace(reference, "")
        del answer.headers["X-Request-ID"]
        seen.append((answer.status_code, dict(answer.headers), sorted(browser.cookies), text.replace(address, "")))
    assert seen[0] == seen[1]


def test_a_broken_link_says_so(client: Client) -> None:
    """404, on GET and POST."""
    for answer in (client.get("/signup/mute/abcdefgh.ijkl/"), client.post("/signup/mute/abcdefgh.ijkl/")):
        assert answer.status_code == 404
        assert "This link doesn't work any more" in text_of(answer)


def test_a_foreign_page_cant_press_the_button() -> None:
    """The token is in a mail, not in a form of ours."""
    sign_up = make_captcha()
    assert Client(enforce_csrf_checks=True).post(link(sign_up)).status_code == 403
    assert not Suppression.objects.exists()
