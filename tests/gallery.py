"""Every screen that a visitor can meet, made by the real views. Tests and `make screenshots` go through them all."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import time_machine
from django.contrib.auth.tokens import default_token_generator
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core import clock, views
from tests.factories import ALICE, BOB, PASSWORD, make_captcha, make_delivery, make_muted, make_user, right, wrong
from verification import codes, services
from verification.models import AddressGuesses, CaptchaModel
from worker import messages, suppression
from worker.models import ACCOUNT_KINDS, Delivery

SCREENS: dict[str, Callable[[Client], HttpResponse]] = {}
MAILS = tuple(Delivery.Kind.values)
VERIFY = "/signup/verify/"


def screen(make: Callable[[Client], HttpResponse]) -> Callable[[Client], HttpResponse]:
    SCREENS[make.__name__] = make
    return make


def html_of(name: str, language: str) -> str:
    """The page of a screen, or the HTML part of a mail ("mail_code"), in a language."""
    if name.startswith("mail_"):
        return str(messages.build(_delivery(name, language)).alternatives[0].content)
    return SCREENS[name](Client(headers={"accept-language": language}, raise_request_exception=False)).content.decode()


def _delivery(name: str, language: str) -> Delivery:
    kind, user = name.removeprefix("mail_"), make_user()
    about = {"user_id": user.pk} if kind in ACCOUNT_KINDS else {}
    sign_up = None if kind in ACCOUNT_KINDS else make_captcha(decoy=kind == "registered")
    return make_delivery(sign_up, kind=kind, language=language, **about)


def _ask(client: Client, email: str = ALICE, **columns: object) -> CaptchaModel:
    """A request whose mail was accepted three seconds ago, or is as `columns` say."""
    client.post("/signup/", {"email": email})
    sign_up = CaptchaModel.objects.latest("pk")
    sent = {"state": "sent", "sent_at": clock.now() - timedelta(seconds=3)}
    Delivery.objects.filter(sign_up=sign_up).update(**(columns or sent))
    if Delivery.objects.filter(sign_up=sign_up, state="sent").exists():
        services.accept(mails=[(sign_up.pk, 1)], at=clock.now())
    sign_up.refresh_from_db()
    return sign_up


def _type(client: Client, sign_up: CaptchaModel, captcha: str = "") -> HttpResponse:
    """Step two: send this code, or the right one."""
    return client.post(VERIFY, {"email": sign_up.address, "captcha": captcha or right(sign_up)})


def _fill(client: Client, /, **fields: str) -> HttpResponse:
    """Step three, after the right code."""
    sign_up = _ask(client)
    _type(client, sign_up)
    return client.post(VERIFY, {"email": sign_up.address, "username": "alice", "password": PASSWORD} | fields)


@contextmanager
def _guessed(number: int) -> Generator[None]:
    """So many wrong codes were typed for Alice's address today."""
    AddressGuesses.objects.create(address=ALICE, guesses=[clock.now().timestamp()] * number)
    with override_settings(LIMIT_GUESSES_ADDRESS=[(9, 8), (100, None)]):
        yield


def _signed_in(client: Client) -> Client:
    client.force_login(make_user())
    return client


def _reset_form(client: Client) -> str:
    user = make_user()
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    return client.get(f"/password-reset/{uid}/{token}/").headers["Location"]


def _error(client: Client, status: int) -> HttpResponse:
    with translation.override(translation.get_supported_language_variant(client.defaults["HTTP_ACCEPT_LANGUAGE"])):
        return views.error_page(RequestFactory().get("/nowhere/"), status)


@screen
def signup(client: Client) -> HttpResponse:
    return client.get("/signup/")


@screen
def signup_error(client: Client) -> HttpResponse:
    return client.post("/signup/", {"email": "alice@"})


@screen
def signup_closed(client: Client) -> HttpResponse:
    with override_settings(SIGNUP_OPEN=False):
        return client.get("/signup/")


@screen
def signup_domain(client: Client) -> HttpResponse:
    with override_settings(SIGNUP_DENIED_DOMAINS=["example.com"]):
        return client.post("/signup/", {"email": ALICE})


@screen
def signup_registered(client: Client) -> HttpResponse:
    make_user()
    with override_settings(SIGNUP_REVEAL_REGISTERED=True):
        return client.post("/signup/", {"email": ALICE})


@screen
def verify_queued(client: Client) -> HttpResponse:
    _ask(client, state="pending")
    return client.get(VERIFY)


@screen
def verify_sent(client: Client) -> HttpResponse:
    _ask(client)
    return client.get(VERIFY)


@screen
def verify_sent_long_ago(client: Client) -> HttpResponse:
    _ask(client, state="sent", sent_at=clock.now() - timedelta(minutes=4))
    return client.get(VERIFY)


@screen
def verify_delayed(client: Client) -> HttpResponse:
    _ask(client, attempts=2)
    return client.get(VERIFY)


@screen
def verify_held_by_a_limit(client: Client) -> HttpResponse:
    _ask(client, state="pending", next_attempt_at=clock.now() + timedelta(minutes=130))
    return client.get(VERIFY)


@screen
def verify_failed(client: Client) -> HttpResponse:
    _ask(client, state="failed")
    return client.get(VERIFY)


@screen
def verify_bounced(client: Client) -> HttpResponse:
    _ask(client)
    Delivery.objects.update(state="bounced", last_reply="550 5.1.1 no such user", cause="mailbox")
    return client.get(VERIFY)


@screen
def verify_typo(client: Client) -> HttpResponse:
    _ask(client, "alice@qq.con")
    return client.get(VERIFY)


@screen
def verify_empty(client: Client) -> HttpResponse:
    return _type(client, _ask(client), " ")


@screen
def verify_shape(client: Client) -> HttpResponse:
    return _type(client, _ask(client), "12")


@screen
def verify_mismatch(client: Client) -> HttpResponse:
    sign_up = _ask(client)
    return _type(client, sign_up, wrong(sign_up))


@screen
def verify_all_at_once(client: Client) -> HttpResponse:
    """A form with all fields, as a program may send it: their errors are shown together."""
    _ask(client)
    return client.post(VERIFY, {"email": ALICE, "captcha": "12", "username": "a b", "password": "short"})


@screen
def verify_proven_elsewhere(client: Client) -> HttpResponse:
    sign_up = _ask(client)
    CaptchaModel.objects.filter(pk=sign_up.pk).update(proven_at=clock.now(), proven_by="link")
    return client.get(VERIFY)


@screen
def register(client: Client) -> HttpResponse:
    _type(client, _ask(client))
    return client.get(VERIFY)


@screen
def register_empty(client: Client) -> HttpResponse:
    return _fill(client, username="", password="")


@screen
def register_shapes(client: Client) -> HttpResponse:
    return _fill(client, username="a b", password="\x00short")


@screen
def register_long(client: Client) -> HttpResponse:
    return _fill(client, username="аbc", password="x" * 129)


@screen
def register_easy(client: Client) -> HttpResponse:
    return _fill(client, username="alicealice", password="alicealice")


@screen
def register_common(client: Client) -> HttpResponse:
    return _fill(client, password="password")


@screen
def register_taken(client: Client) -> HttpResponse:
    make_user("alice", BOB)
    return _fill(client)


@screen
def finished(client: Client) -> HttpResponse:
    """The second post of a double click."""
    _fill(client)
    client.post("/logout/")
    return client.get(VERIFY)


@screen
def verify_tries_left(client: Client) -> HttpResponse:
    _ask(client)
    CaptchaModel.objects.update(attempts=4)
    return client.get(VERIFY)


@screen
def verify_exhausted(client: Client) -> HttpResponse:
    sign_up = _ask(client)
    CaptchaModel.objects.update(attempts=5)
    return _type(client, sign_up)


@screen
def verify_expired(client: Client) -> HttpResponse:
    sign_up = _ask(client)
    CaptchaModel.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    return _type(client, sign_up)


@screen
def verify_lengthened(client: Client) -> HttpResponse:
    sign_up = _ask(client)
    with _guessed(9):
        return _type(client, sign_up)


@screen
def verify_longer(client: Client) -> HttpResponse:
    """The same after a reload."""
    sign_up = _ask(client)
    with _guessed(9):
        _type(client, sign_up)
        return client.get(VERIFY)


@screen
def verify_link_only(client: Client) -> HttpResponse:
    _ask(client)
    with _guessed(100):
        return client.get(VERIFY)


@screen
def verify_link_only_error(client: Client) -> HttpResponse:
    sign_up = _ask(client)
    with _guessed(100):
        return _type(client, sign_up)


@screen
def verify_resent(client: Client) -> HttpResponse:
    _ask(client)
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=2))
    return client.post("/signup/resend/", {"email": ALICE}, follow=True)


@screen
def verify_renewed(client: Client) -> HttpResponse:
    _ask(client)
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=2), attempts=5)
    return client.post("/signup/resend/", {"email": ALICE}, follow=True)


@screen
def verify_too_soon(client: Client) -> HttpResponse:
    _ask(client)
    return client.post("/signup/resend/", {"email": ALICE})


@screen
def verify_change_error(client: Client) -> HttpResponse:
    _ask(client)
    return client.post("/signup/change/", {"email": ALICE, "new_email": ""})


@screen
def verify_lost(client: Client) -> HttpResponse:
    return client.get(VERIFY)


@screen
def link_here(client: Client) -> HttpResponse:
    return client.get(f"/signup/link/{codes.link_token(_ask(client))}/", follow=True)


@screen
def link_elsewhere(client: Client) -> HttpResponse:
    return client.get(f"/signup/link/{codes.link_token(make_captcha())}/", follow=True)


@screen
def link_old(client: Client) -> HttpResponse:
    """A link of the mail before the newest."""
    sign_up = _ask(client)
    token = codes.link_token(sign_up)
    CaptchaModel.objects.update(generation=2)
    return client.get(f"/signup/link/{token}/", follow=True)


@screen
def mute(client: Client) -> HttpResponse:
    return client.get(reverse("signup_mute", args=[suppression.token_for(make_captcha())]))


@screen
def mute_confirm(client: Client) -> HttpResponse:
    return client.post(reverse("signup_mute", args=[suppression.token_for(make_captcha())]))


@screen
def mute_done(client: Client) -> HttpResponse:
    return client.get(make_muted())


@screen
def mute_undone(client: Client) -> HttpResponse:
    path = make_muted()
    confirmation = suppression.confirmation(path.split("/")[3], undo=True)
    return client.post(path, {"undo": "1", "confirm": confirmation}, follow=True)


@screen
def mute_undo_confirm(client: Client) -> HttpResponse:
    return client.post(make_muted(), {"undo": "1"})


@screen
def mute_over(client: Client) -> HttpResponse:
    """By the link of a mail about an account."""
    return client.get(reverse("signup_mute", args=[suppression.undo_token_for(ALICE)]))


@screen
def mute_account(client: Client) -> HttpResponse:
    make_muted()
    return client.get(reverse("signup_mute", args=[suppression.undo_token_for(ALICE)]))


@screen
def mute_broken(client: Client) -> HttpResponse:
    return client.get("/signup/mute/abcdefgh.ijklmn/")


@screen
def account_welcome(client: Client) -> HttpResponse:
    _fill(client)
    return client.get("/account/")


@screen
def account_delete(client: Client) -> HttpResponse:
    return _signed_in(client).get("/account/delete/")


@screen
def account_delete_error(client: Client) -> HttpResponse:
    return _signed_in(client).post("/account/delete/", {"old_password": "wrong"})


@screen
def account_deleted(client: Client) -> HttpResponse:
    return _signed_in(client).post("/account/delete/", {"old_password": PASSWORD}, follow=True)


@screen
def password_change(client: Client) -> HttpResponse:
    return _signed_in(client).get("/password-change/")


@screen
def password_change_error(client: Client) -> HttpResponse:
    return _signed_in(client).post("/password-change/", {"old_password": "", "password": "short"})


@screen
def password_changed(client: Client) -> HttpResponse:
    fields = {"old_password": PASSWORD, "password": "another horse b"}
    return _signed_in(client).post("/password-change/", fields, follow=True)


@screen
def login(client: Client) -> HttpResponse:
    return client.get("/login/")


@screen
def login_error(client: Client) -> HttpResponse:
    return client.post("/login/", {"username": "nobody", "password": "wrong"})


@screen
def login_empty(client: Client) -> HttpResponse:
    return client.post("/login/", {"username": "", "password": ""})


@screen
def login_long(client: Client) -> HttpResponse:
    return client.post("/login/", {"username": "a" * 300, "password": "\x00"})


@screen
def reset(client: Client) -> HttpResponse:
    return client.get("/password-reset/")


@screen
def reset_error(client: Client) -> HttpResponse:
    return client.post("/password-reset/", {"email": ""})


@screen
def reset_done(client: Client) -> HttpResponse:
    return client.post("/password-reset/", {"email": ALICE}, follow=True)


@screen
def reset_confirm(client: Client) -> HttpResponse:
    return client.get(_reset_form(client))


@screen
def reset_confirm_error(client: Client) -> HttpResponse:
    return client.post(_reset_form(client), {"password": "short"})


@screen
def reset_finished(client: Client) -> HttpResponse:
    return client.post(_reset_form(client), {"password": "another horse b"}, follow=True)


@screen
def reset_broken(client: Client) -> HttpResponse:
    return client.get("/password-reset/MQ/abc-def/")


@screen
def error_400(client: Client) -> HttpResponse:
    return _error(client, 400)


@screen
def error_403(client: Client) -> HttpResponse:
    client.force_login(make_user(is_staff=True))
    return client.get("/account/delete/")


@screen
def error_404(client: Client) -> HttpResponse:
    return client.get("/nowhere/")


@screen
def error_413(client: Client) -> HttpResponse:
    return client.post("/signup/", CONTENT_LENGTH="3000000")


@screen
def error_415(client: Client) -> HttpResponse:
    return _error(client, 415)


@screen
def error_429(client: Client) -> HttpResponse:
    still = time_machine.travel(datetime.now(UTC), tick=False)  # no window ends between the two
    with still, override_settings(LIMIT_REQUESTS_NETWORK=[(1, 180)]):
        client.post("/signup/", {"email": ALICE})
        return client.post("/signup/", {"email": ALICE})


@screen
def error_500(client: Client) -> HttpResponse:
    return _error(client, 500)


@screen
def error_503(client: Client) -> HttpResponse:
    return _error(client, 503)


@screen
def error_form(client: Client) -> HttpResponse:
    strict = Client(enforce_csrf_checks=True, headers={"accept-language": client.defaults["HTTP_ACCEPT_LANGUAGE"]})
    return strict.post("/signup/", {"email": ALICE})


NAMES = (*SCREENS, *(f"mail_{kind}" for kind in MAILS))
