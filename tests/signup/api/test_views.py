"""The calls, by the test client: the contract, and the errors of a classic sign-up."""

import re
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from django.core.cache import cache
from django.db import InternalError, OperationalError
from django.test import Client
from rest_framework.test import APIClient

from core import clock
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, make_captcha, make_user, right, wrong
from tests.signup.api.conftest import Api, codes
from verification import services as verification
from verification.models import CaptchaModel
from worker.models import Delivery

READ_ONLY = InternalError("read-only")  # as Django raises it
READ_ONLY.__cause__ = psycopg.errors.ReadOnlySqlTransaction()


def test_asking_answers_what_a_client_needs(api: Api) -> None:
    """The handle, the code's length and lifetime, and the URL of its mail's state."""
    answer = api.post("/api/captchas/", {"email": " Alice@Example.com "})
    sign_up = CaptchaModel.objects.get(address=ALICE)
    assert answer.status_code == 202
    assert answer.json() == {
        "id": sign_up.handle,
        "code_length": 4,
        "expires_in": 600,
        "resend_after": 60,
        "status_url": f"http://testserver/api/captchas/{sign_up.handle}/",
    }
    state = {"state": "queued", "sent_at": None, "resend_after": 60, "code_length": 4}
    assert api.get(answer.json()["status_url"]).json() == state


def test_a_code_makes_an_account_and_a_token_that_opens_it(api: Api) -> None:
    """In the language of the request; no response holds the password."""
    api.headers["accept-language"] = "zh-CN"
    answer = api.register(api.ask(), username="小明")
    user = User.objects.get(email=ALICE)
    assert answer.status_code == 201
    assert answer.json() | {"token": ""} == {"id": str(user.public_id), "username": "小明", "email": ALICE, "token": ""}
    api.sign_in(answer.json()["token"])
    me = api.get("/api/users/me/")
    assert me.json() == {"id": str(user.public_id), "username": "小明", "email": ALICE, "language": "zh-hans"}
    assert PASSWORD not in answer.content.decode() + me.content.decode()
    assert user.last_login is not None


def test_an_accounts_id_is_random_and_stays(api: Api) -> None:
    """It says nothing of how many accounts there are, and no call takes it for another account's."""
    ids = [api.register(api.ask(email), username=name).json()["id"] for name, email in (("alice", ALICE), ("bob", BOB))]
    assert all(UUID(each).version == 4 for each in ids)
    assert ids[0] != ids[1]
    api.sign_in(api.post("/api/login/", {"username": "alice", "password": PASSWORD}).json()["token"])
    assert api.get("/api/users/me/").json()["id"] == ids[0]


@pytest.mark.parametrize("language", ["", "eo"])
def test_an_account_without_a_language_has_the_sites(api: Api, settings, language: str) -> None:
    """One that an operator created, and one whose language the site offers no more."""
    settings.LANGUAGE_CODE = "zh-hant"
    make_user(language=language)
    api.sign_in(api.post("/api/login/", {"username": "alice", "password": PASSWORD}).json()["token"])
    assert api.get("/api/users/me/").json()["language"] == "zh-hant"


def test_signing_in_and_out(api: Api) -> None:
    """By username or address; the token ends at sign-out, and its expiry is given."""
    make_user()
    for name in ("ALICE", "Alice@example.com"):
        answer = api.post("/api/login/", {"username": name, "password": PASSWORD})
        assert answer.status_code == 200
        assert set(answer.json()) == {"token", "expires_at"}
        ends = datetime.strptime(answer.json()["expires_at"], "%Y-%m-%dT%H:%M:%S%z")  # whole seconds, as every time
        assert timedelta(days=29) < ends - clock.now() <= timedelta(days=30)
        api.sign_in(answer.json()["token"])
        assert api.get("/api/users/me/").status_code == 200
        out = api.post("/api/logout/")
        assert (out.status_code, out.content) == (204, b"")
        assert api.get("/api/users/me/").status_code == 401


@pytest.mark.django_db
def test_an_account_that_a_test_of_another_app_signs_in_has_no_token_to_delete() -> None:
    """By DRF's `force_authenticate`, as its docs show."""
    client = APIClient()
    client.force_authenticate(make_user())
    assert client.get("/api/users/me/").json()["email"] == ALICE
    assert client.post("/api/logout/").status_code == 204


@pytest.mark.parametrize("name", ["alice", "nobody", "nobody@example.com", "a@b@c"])
def test_a_failed_sign_in_is_one_answer(api: Api, name: str) -> None:
    """The same for a wrong password, an unknown name, and a string that can't be one."""
    make_user()
    answer = api.post("/api/login/", {"username": name, "password": "wrong horse b"})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Token")
    assert answer.json()["detail"] == "Email, username or password is incorrect"
    assert answer["Content-Type"] == "application/problem+json"


def test_a_sign_in_needs_both_fields(api: Api) -> None:
    """400, not 401: nothing was tried."""
    answer = api.post("/api/login/", {})
    assert answer.status_code == 400
    assert codes(answer) == {"username": ["required"], "password": ["required"]}
    nul = api.post("/api/login/", {"username": "a\x00b", "password": "a\x00b"})
    assert (nul.status_code, set(codes(nul))) == (400, {"username", "password"})


def test_a_disabled_account_signs_in_nowhere(api: Api) -> None:
    """Neither by password nor by the token that it has."""
    user = make_user()
    api.sign_in(api.post("/api/login/", {"username": "alice", "password": PASSWORD}).json()["token"])
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert api.get("/api/users/me/").json()["code"] == "invalid_token"
    assert api.post("/api/login/", {"username": "alice", "password": PASSWORD}).json()["code"] == "login_failed"


def test_resending_renews_the_same_code(api: Api, frozen_clock: FrozenClock) -> None:
    """After the cooldown, with the body of the first answer."""
    sign_up = api.ask()
    frozen_clock.move(seconds=61)
    answer = api.post(f"/api/captchas/{sign_up.handle}/resend/")
    assert answer.status_code == 202
    assert (answer.json()["id"], answer.json()["resend_after"]) == (sign_up.handle, 60)
    assert answer.json()["expires_in"] == 600 - 61  # renewed when the mail server has the mail
    assert Delivery.objects.count() == 2


def test_resending_too_early_is_a_429(api: Api, frozen_clock: FrozenClock) -> None:
    """With the seconds to wait, for programs and for people."""
    sign_up = api.ask()
    frozen_clock.move(seconds=18.5)
    answer = api.post(f"/api/captchas/{sign_up.handle}/resend/")
    assert (answer.status_code, answer["Retry-After"]) == (429, "42")
    assert answer.json()["code"] == "resend_wait"
    assert answer.json()["detail"] == "Get a new email in 42 s"


def test_asking_again_is_another_request(api: Api) -> None:
    """A client that lost the response asks again; both codes work."""
    first, second = api.ask(), api.ask()
    assert first.handle != second.handle
    assert api.register(first).status_code == 201


def test_a_registered_address_answers_as_a_new_one(api: Api, frozen_clock: FrozenClock) -> None:
    """In every call, except for the handle; its code is never right, and its tries run out alike."""
    make_user()
    answers = []
    for email in (ALICE, BOB):
        sign_up = api.ask(email)
        answers.append([
            api.get(f"/api/captchas/{sign_up.handle}/"),
            api.post(f"/api/captchas/{sign_up.handle}/resend/"),
            *(api.register(sign_up, captcha=wrong(sign_up), username="carol") for _ in range(6)),
        ])  # fmt: skip
    for alice, bob in zip(*answers, strict=True):
        del alice.headers["X-Request-ID"], bob.headers["X-Request-ID"]
        assert (alice.status_code, alice.json(), alice.headers) == (bob.status_code, bob.json(), bob.headers)
    assert answers[0][-1].json()["code"] == "too_many"


def test_excluded_domains(api: Api, settings) -> None:
    """The site's lists hold here too."""
    settings.SIGNUP_DENIED_DOMAINS = ["example.com"]
    assert codes(api.post("/api/captchas/", {"email": ALICE})) == {"email": ["domain"]}
    settings.SIGNUP_DENIED_DOMAINS, settings.SIGNUP_ALLOWED_DOMAINS = [], ["example.org"]
    assert codes(api.post("/api/captchas/", {"email": ALICE})) == {"email": ["domain"]}


def test_closed_sign_up_is_a_403(api: Api, settings) -> None:
    """With a code of its own; a sign-up that has begun can still finish."""
    sign_up = api.ask()
    settings.SIGNUP_OPEN = False
    answer = api.post("/api/captchas/", {"email": BOB})
    assert (answer.status_code, answer.json()["code"]) == (403, "signup_closed")
    assert answer.json()["title"] == "Sign-up is closed at the moment"
    assert api.register(sign_up).status_code == 201


def test_each_state_of_a_handle_has_its_code(api: Api, frozen_clock: FrozenClock, settings) -> None:
    """Waiting and open: mismatch; used up: too_many, for the right code too; expired; lengthened; link_only."""
    sign_up = api.ask()
    for left in (4, 3, 2, 1, 0):
        answer = api.register(sign_up, captcha=wrong(sign_up))
        assert answer.json()["code"] == "mismatch"
        assert (f"{left} more time" in answer.json()["detail"]) is (left > 0)
    assert api.register(sign_up).json()["code"] == "too_many"
    settings.LIMIT_GUESSES_ADDRESS = [(5, 8)]
    old = make_captcha()
    CaptchaModel.objects.filter(pk=old.pk).update(length=4)
    old.refresh_from_db()
    assert api.register(old).json()["code"] == "lengthened"
    settings.LIMIT_GUESSES_ADDRESS = [(5, None)]
    old.refresh_from_db()
    assert api.register(old).json()["code"] == "link_only"
    frozen_clock.move(seconds=601)
    assert api.register(sign_up).json()["code"] == "expired"


@pytest.mark.parametrize("registered", [False, True])
def test_a_new_code_length_is_told(api: Api, settings, registered: bool) -> None:
    """In the problem and in the state, so that a client can ask for so many digits; alike for a registered address."""
    if registered:
        make_user()
    sign_up = api.ask()
    settings.LIMIT_GUESSES_ADDRESS = [(0, 8)]
    answer = api.register(sign_up, username="carol").json()
    assert (answer["code"], answer["code_length"]) == ("lengthened", 8)
    assert set(answer["errors"]) == {"captcha"}
    assert api.get(f"/api/captchas/{sign_up.handle}/").json()["code_length"] == 8
    sign_up.refresh_from_db()
    again = api.register(sign_up, username="carol")
    assert again.status_code == (400 if registered else 201)
    assert "code_length" not in again.json()


def test_a_code_of_another_address_is_a_mismatch(api: Api) -> None:
    """The handle, the address and the code have to agree."""
    mine, other = api.ask(ALICE), api.ask(BOB)
    assert api.register(mine, email=BOB).json()["code"] == "mismatch"
    if right(mine) != right(other):
        assert api.register(mine, captcha=right(other)).json()["code"] == "mismatch"


@pytest.mark.parametrize("sent", [{}, {"id": ""}])
def test_a_body_without_id_is_told_all_that_it_lacks(api: Api, sent: dict[str, str]) -> None:
    """As one without an email: nothing timed out."""
    answer = api.post("/api/users/", sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation")
    assert codes(answer) == {name: ["required"] for name in ("id", "email", "captcha", "username", "password")}
    assert codes(api.post("/api/users/", {**sent, "email": ALICE, "captcha": "12", "username": "x"})) == {
        "id": ["required"],
        "password": ["required"],
    }


@pytest.mark.parametrize("handle", ["x", "x" * 24, "\x00" * 24, "й" * 24])
def test_a_lost_handle(api: Api, handle: str) -> None:
    """Unknown or forged: start again; in a path it is a 404."""
    answer = api.register(make_captcha(), id=handle)
    assert (answer.status_code, answer.json()["code"]) == (400, "session_lost")
    assert codes(answer) == {"id": ["session_lost"]}
    assert api.get(f"/api/captchas/{handle}/").status_code in (404, 405)


def test_an_unknown_id_in_a_path_is_a_404(api: Api, frozen_clock: FrozenClock) -> None:
    """So is one that is older than a day, or was cut off on its way."""
    sign_up = api.ask()
    frozen_clock.move(days=1)
    for handle in ("x" * 24, "x", "x" * 64, sign_up.handle):
        for answer in (api.get(f"/api/captchas/{handle}/"), api.post(f"/api/captchas/{handle}/resend/")):
            assert (answer.status_code, answer.json()["code"]) == (404, "session_lost")


@pytest.mark.parametrize("registered", [False, True])
def test_the_state_tells_of_a_bounce_and_of_no_complaint(api: Api, registered: bool) -> None:
    """With whose it is; alike for a registered address. A mail that is not sent afterwards has failed, for no clear reason."""
    if registered:
        make_user()
    path = f"/api/captchas/{api.ask().handle}/"
    told = []
    for state, cause, reply in (
        ("bounced", "mailbox", "550 5.1.1"),
        ("bounced", "content", "554 spam"),
        ("complained", "", "abuse"),
        ("expired", "", "suppressed"),
    ):
        Delivery.objects.update(state=state, cause=cause, last_reply=reply)
        answer = api.get(path).json()
        told.append((answer["state"], answer.get("reason")))
    assert told == [("bounced", "mailbox"), ("bounced", "site"), ("sent", None), ("failed", "unclear")]


def test_the_state_of_a_sign_up_goes_on_to_its_end(api: Api) -> None:
    """A waiting client learns that its code was right, and that there is an account, also by another device."""
    make_user("bob", BOB)
    sign_up = api.ask()
    path = f"/api/captchas/{sign_up.handle}/"
    assert api.get(path).json()["state"] == "sent"
    assert api.register(sign_up, username="bob").json()["code"] == "username_taken"
    assert (api.get(path).status_code, api.get(path).json()["state"]) == (200, "proven")
    assert api.register(sign_up).status_code == 201
    assert (api.get(path).status_code, api.get(path).json()["state"]) == (200, "finished")
    again = api.post(f"{path}resend/")
    assert (again.status_code, again.json()["code"]) == (404, "already_redeemed")


def test_a_request_that_its_owner_disowned_is_lost(api: Api) -> None:
    """No account was made of it, so it is not finished."""
    sign_up = api.ask()
    verification.void(handle=sign_up.handle)
    for answer in (api.get(f"/api/captchas/{sign_up.handle}/"), api.post(f"/api/captchas/{sign_up.handle}/resend/")):
        assert (answer.status_code, answer.json()["code"]) == (404, "session_lost")
    assert api.register(sign_up).json()["code"] == "session_lost"


def test_a_client_that_lost_the_answer_is_told_to_sign_in(api: Api) -> None:
    """The same call again has a code of its own, and makes no second account; signing in works."""
    sign_up = api.ask()
    assert api.register(sign_up).status_code == 201
    again = api.register(sign_up)
    assert (again.status_code, again.json()["code"]) == (400, "already_redeemed")
    assert User.objects.count() == 1
    assert api.post("/api/login/", {"username": "alice", "password": PASSWORD}).status_code == 200


def test_the_slower_of_two_calls_gets_already_redeemed(api: Api, monkeypatch) -> None:
    """The proof was spent between the validation of the form and the account."""
    sign_up = api.ask()

    def free(**given: object) -> bool:
        CaptchaModel.objects.update(redeemed_at=clock.now())
        return True

    monkeypatch.setattr("signup.services.is_username_free", free)
    assert api.register(sign_up).json()["code"] == "already_redeemed"


def test_a_call_sent_twice_at_once_is_told_that_it_is_done(api: Api, monkeypatch) -> None:
    """Its own account has the username by then: the error isn't username_taken."""
    sign_up = api.ask()

    def taken(**given: object) -> bool:
        CaptchaModel.objects.update(redeemed_at=clock.now())
        return False

    monkeypatch.setattr("signup.services.is_username_free", taken)
    assert api.register(sign_up).json()["code"] == "already_redeemed"


def test_a_strangers_handle_says_the_same_for_any_code(api: Api) -> None:
    """The code is ignored once the account exists, so a spent one is no oracle."""
    sign_up = api.ask()
    api.register(sign_up)
    answers = [api.register(sign_up, captcha=code).json() for code in (right(sign_up), wrong(sign_up), "x")]
    assert answers[0] == answers[1] == answers[2]


def test_a_proven_request_still_asks_for_its_code(api: Api) -> None:
    """The handle alone is never enough: a stranger who asked for the mail has it too."""
    make_user("bob", BOB)
    sign_up = api.ask()
    assert api.register(sign_up, username="bob").json()["code"] == "username_taken"
    assert codes(api.register(sign_up, captcha="")) == {"captcha": ["required"]}
    assert api.register(sign_up, captcha=wrong(sign_up)).json()["code"] == "mismatch"
    assert api.post(f"/api/captchas/{sign_up.handle}/resend/").json()["code"] == "session_lost"
    assert api.register(sign_up).status_code == 201


def test_codes_are_read_as_people_type_them(api: Api) -> None:
    """Full-width digits and separators are the form's rule, so they hold here."""
    sign_up = api.ask()
    code = right(sign_up)
    typed = f"{code[:2]} {chr(ord(code[2]) + 0xFEE0)}-{code[3]}"
    assert api.register(sign_up, captcha=typed).status_code == 201


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/api/users/me/"),
    ("PATCH", "/api/users/me/"),
    ("DELETE", "/api/users/me/"),
    ("POST", "/api/users/me/password/"),
    ("POST", "/api/logout/"),
])  # fmt: skip
@pytest.mark.parametrize(
    "header", ["", "Token", "Token x", "Token a b", "Bearer " + "0" * 64, "Token \xff\xfe", "Token " + "0" * 64]
)
def test_without_a_good_token_it_is_a_401(api: Api, method: str, path: str, header: str) -> None:
    """Missing, malformed, unknown; with the scheme that is asked for."""
    api.headers |= {"authorization": header} if header else {}
    answer = api.client.generic(method, path, headers=api.headers)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Token")
    assert answer.json()["code"] in ("not_authenticated", "invalid_token")


def test_open_calls_ignore_tokens(api: Api) -> None:
    """An old token in an app's storage keeps nobody from signing in."""
    make_user()
    api.sign_in("0" * 64)
    assert api.post("/api/login/", {"username": "alice", "password": PASSWORD}).status_code == 200
    assert api.post("/api/captchas/", {"email": BOB}).status_code == 202


@pytest.mark.parametrize("error", [OperationalError("gone"), READ_ONLY], ids=["down", "read-only"])
@pytest.mark.parametrize("away", ["signup.services.request_code", "knox.models.AuthToken.objects.filter"])
def test_a_database_that_is_away_is_a_503(api: Api, monkeypatch, away: str, error: Exception) -> None:
    """With Retry-After, in the caller's language; wherever in a call it shows. One that is read-only is away too."""

    def gone(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(away, gone)
    api.headers["accept-language"] = "zh-CN"
    api.sign_in("0" * 64)
    answer = api.post("/api/captchas/", {"email": ALICE}) if "services" in away else api.get("/api/users/me/")
    assert (answer.status_code, answer["Retry-After"], answer["Content-Language"]) == (503, "30", "zh-hans")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "unavailable"
    assert answer.json()["title"] == "服务暂时不可用，请稍后重试"


LIMITS = [
    ("LIMIT_REQUESTS_NETWORK", "/api/captchas/", {"email": ALICE}),
    ("LIMIT_REQUESTS_NETWORK", f"/api/captchas/{'x' * 24}/resend/", None),
    ("LIMIT_REQUESTS_NETWORK", "/api/password-reset/", {"email": ALICE}),
    ("LIMIT_VERIFY_NETWORK", "/api/users/", {"id": "x"}),
    ("LIMIT_LOGIN_NETWORK", "/api/users/me/password/", {"old_password": "wrong", "password": "x"}),
    ("LIMIT_LOGIN_NETWORK", "/api/login/", {"username": "alice", "password": "wrong"}),
    ("LIMIT_LOGIN_PAIR", "/api/login/", {"username": "alice2", "password": "wrong"}),
]


@pytest.mark.parametrize(("limit", "path", "data"), LIMITS)
def test_the_limits_of_the_pages_hold(api: Api, settings, limit: str, path: str, data: dict | None) -> None:
    """429 with the seconds to wait as a whole number; a page's post and a call count together."""
    cache.clear()
    setattr(settings, limit, [(2, 3600)])
    answers = [api.post(path, data) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert re.fullmatch(r"[1-9]\d*", answers[2]["Retry-After"])
    assert answers[2].json()["code"] == "rate_limited"
    assert re.fullmatch(r"Too many requests. Try again in [1-9]\d* minutes?", answers[2].json()["detail"])
    if "REQUESTS" in limit:
        assert Client().post("/signup/", {"email": BOB}).status_code == 429


@pytest.mark.parametrize(("path", "allow"), [
    ("/api/captchas/", "POST"),
    ("/api/users/", "POST"),
    ("/api/login/", "POST"),
    ("/api/logout/", "POST"),
    ("/api/password-reset/", "POST"),
    ("/api/users/me/", "GET, HEAD, PATCH, DELETE"),
    ("/api/users/me/password/", "POST"),
    ("/api/", "GET, HEAD"),
    ("/api/schema/", "GET, HEAD"),
    ("/api/docs/", "GET, HEAD"),
])  # fmt: skip
@pytest.mark.parametrize("signed_in", [True, False])
def test_other_methods_are_a_405_with_allow(api: Api, path: str, allow: str, signed_in: bool) -> None:
    """Also for calls that need a token, with or without one."""
    make_user()
    if signed_in:
        api.sign_in(api.post("/api/login/", {"username": "alice", "password": PASSWORD}).json()["token"])
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        if method not in allow:
            answer = api.client.generic(method, path, headers=api.headers)
            assert (answer.status_code, answer["Allow"]) == (405, allow)
            assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/nowhere/", "/api/captchas", "/api/users/7/", "/api/captchas/%00/", "/api/%00/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths_are_problems_too(api: Api, path: str, method: str) -> None:
    """404 in JSON, whatever the method."""
    answer = api.client.generic(method, path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"
