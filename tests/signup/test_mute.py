"""The page behind "This wasn't me"."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client

from core import clock
from tests.factories import ALICE, BOB, make_captcha, make_muted, right, text_of
from verification import codes
from verification.models import CaptchaModel
from worker import suppression
from worker.models import Suppression

pytestmark = pytest.mark.django_db


def link(sign_up: CaptchaModel) -> str:
    return f"/signup/mute/{suppression.token_for(sign_up)}/"


def ask(client: Client, path: str, **fields: str) -> str:
    """Press the first button; return what the second one sends."""
    (text,) = re.findall(r'name="confirm" value="([^"]+)"', client.post(path, fields).content.decode())
    return text


def confirm(client: Client, path: str, **fields: str) -> HttpResponse:
    """Press both buttons."""
    return client.post(path, {"confirm": ask(client, path, **fields), **fields})


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_page_changes_nothing(client: Client, method: str) -> None:
    """Mail scanners look."""
    sign_up = make_captcha()
    before = CaptchaModel.objects.values().get()
    assert getattr(client, method)(link(sign_up)).status_code == 200
    assert CaptchaModel.objects.values().get() == before
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_token_is_in_no_referrer(client: Client, method: str) -> None:
    """It has the address in it, and nginx's log of errors has the referrer of a style that no web delivered."""
    assert getattr(client, method)(link(make_captcha())).headers["Referrer-Policy"] == "strict-origin"


def test_a_press_only_asks_again(client: Client) -> None:
    """Some scanners press buttons too. Neither the mute nor its undoing takes effect by one press."""
    sign_up = make_captcha()
    before = CaptchaModel.objects.values().get()
    page = text_of(client.post(link(sign_up)))
    assert f"Stop sign-up email to {ALICE}?" in page
    assert "Nothing has changed yet" in page
    assert (CaptchaModel.objects.values().get(), Suppression.objects.exists()) == (before, False)
    make_muted()
    until = Suppression.objects.get().until
    page = text_of(client.post(link(sign_up), {"undo": "1"}))
    assert f"Send sign-up email to {ALICE} again?" in page
    assert "Nothing has changed yet" in page
    assert Suppression.objects.get().until == until


def test_the_second_press_mutes_and_the_page_offers_to_undo(client: Client) -> None:
    """The same link shows either."""
    sign_up = make_captcha()
    assert f"Someone entered {ALICE}" in text_of(client.get(link(sign_up)))
    assert confirm(client, link(sign_up)).headers["Location"] == link(sign_up)
    assert "Sign-up email is stopped" in text_of(client.get(link(sign_up)))
    assert confirm(client, link(sign_up), undo="1").headers["Location"] == link(sign_up)
    undone = text_of(client.get(link(sign_up)))
    assert "Undone" in undone
    assert '<a href="/">Go to the start page</a>' in undone
    assert not Suppression.objects.exists()


def test_a_confirmation_is_for_one_step_of_one_link(client: Client) -> None:
    """Made up, of the other step, of another mail's page, or an hour old: the page asks again."""
    mine, others = make_captcha(), make_captcha(BOB)
    with time_machine.travel(clock.now() - timedelta(hours=1, seconds=1)):
        old = ask(client, link(mine))
    for text in ("yes", "1", "", "é\x00", ask(client, link(mine), undo="1"), ask(client, link(others)), old):
        answer = client.post(link(mine), {"confirm": text})
        assert (answer.status_code, Suppression.objects.exists()) == (200, False)
    assert client.post(link(mine), {"confirm": ask(client, link(mine))}).status_code == 303
    assert Suppression.objects.get().address == ALICE


def test_the_link_of_a_mail_about_an_account_undoes_and_no_more(client: Client) -> None:
    """It is about no sign-up that its reader could disown."""
    make_muted(), make_muted(BOB)
    path = f"/signup/mute/{suppression.undo_token_for(ALICE)}/"
    assert "Sign-up email is stopped" in text_of(client.get(path))
    assert confirm(client, path, undo="1").status_code == 303
    assert Suppression.objects.get().address == BOB
    for _ in range(2):  # with the message of the undoing, and without
        page = text_of(client.get(path))
        assert f"Sign-up email to {ALICE} is not stopped" in page
        assert "Someone entered" not in page
    assert client.post(path).status_code == 200
    assert client.post(path, {"confirm": suppression.confirmation(path.split("/")[3], undo=False)}).status_code == 200
    assert Suppression.objects.get().address == BOB


def test_a_muted_sign_up_starts_again(client: Client) -> None:
    """The page gives no reason."""
    client.post("/signup/", {"email": ALICE})
    sign_up = CaptchaModel.objects.get()
    confirm(Client(), link(sign_up))
    fields = {"email": ALICE, "captcha": right(sign_up), "username": "mallory", "password": "correct horse b"}
    for page in (client.get("/signup/verify/"), client.post("/signup/verify/", fields)):
        assert "Your sign-up timed out. Start again" in text_of(page)
        assert "wasn't me" not in text_of(page)


def test_a_muted_address_is_answered_as_any() -> None:
    """Status, text, cookies: only the address and random values differ."""
    make_muted()
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
    given = {"confirm": ask(Client(), link(sign_up))}
    assert Client(enforce_csrf_checks=True).post(link(sign_up), given).status_code == 403
    assert not Suppression.objects.exists()
