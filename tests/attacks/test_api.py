"""Attacks on the API, by their numbers in the catalogue. Those that race or hurt a database run against the real ones."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from signup.api import tokens
from signup.models import User
from tests.attacks.conftest import at_once
from tests.factories import ALICE, BOB, PASSWORD, make_captcha, make_pending, make_user, right, wrong
from tests.servers import MailServer, Postgres, Redis, System
from verification.models import CaptchaModel
from worker.models import Delivery

# --- The attacker's tools ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """gunicorn and a worker on PostgreSQL, and a Redis of their own: no other worker may be notified."""
    folder, database = tmp_path_factory.mktemp("attacked"), postgres.migrated_database()
    with Redis() as redis, MailServer() as mail:
        system = System(database=database, redis=redis.url, mail=mail, logs=folder, WEB_CONCURRENCY="2")
        with system.run():
            yield system
            assert "Traceback" not in system.log("web")


def call(site: System, path: str, body: Any, **headers: str) -> requests.Response:
    """Post to the site: an object as JSON, bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | headers
    return requests.post(site.url + path, data=data, headers=sent, timeout=60)


def asked(site: System, email: str) -> dict[str, str]:
    """A request for an address, and the code in its mail."""
    answer = call(site, "/api/captchas/", {"email": email})
    return {"id": answer.json()["id"], "email": email, "captcha": site.mail.code(email)}


def post(path: str, body: Any, client: Client | None = None, **extra: Any) -> Any:
    """Post JSON to the code in this process."""
    client = client or Client(raise_request_exception=False)
    return client.post(path, body, content_type="application/json", **extra)


def try_code(sign_up: CaptchaModel, code: Any, **fields: Any) -> Any:
    given = {"id": sign_up.handle, "email": sign_up.address, "captcha": code, "username": "alice", "password": PASSWORD}
    return post("/api/users/", given | fields)


def attempts(sign_up: CaptchaModel) -> int:
    sign_up.refresh_from_db()
    return sign_up.attempts


# --- Races ------------------------------------------------------------------------------------------------------------


@pytest.mark.redis
@pytest.mark.postgres
def test_07_of_200_parallel_wrong_codes_at_most_five_are_compared(site: System) -> None:
    """All others are told that no try is left, and so is the right code afterwards."""
    given = asked(site, "race-wrong@example.com") | {"username": "racewrong", "password": PASSWORD}
    wrong_codes = [f"{number:04}" for number in range(300) if f"{number:04}" != given["captcha"]][:200]
    answers = at_once(200, lambda n: call(site, "/api/users/", given | {"captcha": wrong_codes[n]}))
    assert Counter(answer.json()["code"] for answer in answers) == {"mismatch": 5, "too_many": 195}
    assert call(site, "/api/users/", given).json()["code"] == "too_many"
    assert site.rows("SELECT attempts FROM verification_captchamodel WHERE address = 'race-wrong@example.com'") == [
        (5,)
    ]


@pytest.mark.redis
@pytest.mark.postgres
def test_08_of_50_parallel_right_codes_one_makes_an_account(site: System) -> None:
    """One 201 with one token. The others hold all tries meanwhile, or come late; none gets anything."""
    given = asked(site, "race-right@example.com") | {"password": PASSWORD}
    answers = at_once(50, lambda n: call(site, "/api/users/", given | {"username": f"racer{n % 5}"}))
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert len(made) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code != 201} <= {
        "already_redeemed",
        "too_many",
    }
    assert call(site, "/api/users/", given | {"username": "racer9"}).json()["code"] == "already_redeemed"
    people = "SELECT count(*) FROM signup_user WHERE email = 'race-right@example.com' AND is_active"
    tokens = "SELECT count(*) FROM knox_authtoken JOIN signup_user u ON u.id = user_id"
    tokens += f" WHERE public_id = '{made[0]['id']}'"
    assert (site.rows(people), site.rows(tokens)) == ([(1,)], [(1,)])


@pytest.mark.django_db(transaction=True)
def test_09_a_try_is_counted_though_the_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rollback of the request takes the count back."""
    sign_up = make_captcha()
    monkeypatch.setattr("verification.codes.same", lambda *given: 1 / 0)
    assert try_code(sign_up, wrong(sign_up)).status_code == 500
    assert attempts(sign_up) == 1


# --- Keys and shapes --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_18_the_api_and_the_forms_share_one_limit(settings: Any) -> None:
    """Wrong codes of an address, mails asked for and passwords tried count together, however they are sent."""
    cache.clear()
    settings.LIMIT_GUESSES_ADDRESS, settings.LIMIT_REQUESTS_NETWORK = [(4, 8)], [(3, 3600)]
    settings.LIMIT_LOGIN_PAIR = [(3, 3600)]
    page = Client()
    page.post("/signup/", {"email": ALICE})
    typed, called, third = CaptchaModel.objects.get(), make_captcha(), make_captcha()
    CaptchaModel.objects.filter(pk=typed.pk).update(expires_at=third.expires_at, first_accepted_at=third.created_at)
    fields = {"email": ALICE, "username": "alice", "password": PASSWORD}
    for _ in range(2):
        page.post("/signup/verify/", fields | {"captcha": wrong(typed)})
        assert try_code(called, wrong(called), email=" ALICE@Example.com ").json()["code"] == "mismatch"
    assert try_code(third, right(third)).json()["code"] == "lengthened"
    assert post("/api/captchas/", {"email": BOB}).status_code == 202
    assert page.post("/signup/", {"email": BOB}).status_code == 303
    assert post("/api/captchas/", {"email": BOB}).status_code == 429
    make_user("bob", BOB)
    for send in (page.post, post, page.post):
        assert (
            send("/login/" if send == page.post else "/api/login/", {"username": "bob", "password": "x"}).status_code
            != 429
        )
    assert post("/api/login/", {"username": "BOB", "password": PASSWORD}).status_code == 429


@pytest.mark.django_db
@pytest.mark.parametrize("by", ["change", "deletion"])
def test_18_a_stolen_token_guesses_no_password(settings: Any, by: str) -> None:
    """Passwords tried in a call with a token count as those of sign-ins, for the account and in all."""
    cache.clear()
    settings.LIMIT_LOGIN_ACCOUNT = [(4, 3600)]
    issued = tokens.issue(user=make_user())
    assert issued

    def guess(password: str) -> int:
        client, headers = Client(raise_request_exception=False), {"authorization": f"Token {issued.token}"}
        method, path = ("POST", "/api/users/me/password/") if by == "change" else ("DELETE", "/api/users/me/")
        fields = {"old_password": password, "password": "another horse b"} if by == "change" else {"password": password}
        body = json.dumps(fields)
        status: int = client.generic(method, path, body, content_type="application/json", headers=headers).status_code
        return status

    for _ in range(2):
        assert guess("wrong") == 400
        assert post("/api/login/", {"username": ALICE, "password": "wrong"}).status_code == 401
    assert guess("wrong") == guess(PASSWORD) == 429
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.django_db
@pytest.mark.parametrize("write", [
    lambda code: "".join(chr(ord(digit) + 0xFEE0) for digit in code),
    lambda code: f"{code[:2]} {code[2:]}",
    lambda code: f"{code[:2]}-{code[2:]}",
    lambda code: "".join(chr(ord(digit) - ord("0") + 0x0660) for digit in code),
    lambda code: f"\u202d{code}\u202c",
    lambda code: f"验证码：{code}。",
], ids=["full-width", "space", "dash", "arabic", "invisible", "words"])  # fmt: skip
def test_19_codes_as_people_write_them_are_right(write: Callable[[str], str]) -> None:
    """NFKC; separators, invisible characters and the words around taken off."""
    sign_up = make_captcha()
    assert try_code(sign_up, write(right(sign_up))).status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize("write", [
    lambda code: code[:-1] + chr(ord(code[-1]) - ord("0") + 0x0660),
    lambda code: f"{code} or 1234",
    lambda code: f"+{code[1:]}",
    lambda code: f"{code[0]}_{code[2:]}",
    lambda code: f"{code}.0",
    lambda code: f"0x{code[2:]}",
    int,
    float,
    lambda code: [code],
    list,
    lambda code: {"code": code},
    lambda code: True,
    lambda code: None,
], ids=["scripts", "two", "plus", "underscore", "decimal", "hex", "int", "float", "list", "digits", "object", "true", "null"])  # fmt: skip
def test_19_what_only_resembles_a_code_is_refused_uncounted(write: Callable[[str], Any]) -> None:
    """Digits of two scripts, two numbers, what int() would take, and values that are no strings."""
    sign_up = next(each for each in iter(make_captcha, None) if right(each)[0] != "0")  # so that int loses no digit
    answer = try_code(sign_up, write(right(sign_up)))
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"captcha"})
    assert attempts(sign_up) == 0


FIELDS = {"id": "x" * 24, "email": "nul@example.com", "captcha": "1234", "username": "nul", "password": PASSWORD}


@pytest.mark.redis
@pytest.mark.postgres
@pytest.mark.parametrize(("path", "fields"), [
    ("/api/captchas/", ["email"]),
    ("/api/users/", list(FIELDS)),
    ("/api/login/", ["username", "password"]),
    ("/api/password-reset/", ["email"]),
])  # fmt: skip
def test_25_nul_is_refused_before_the_database(site: System, path: str, fields: list[str]) -> None:
    """PostgreSQL raises at it; every field answers 400, alone, at either end, and as a key."""
    if path == "/api/users/":
        FIELDS["id"] = call(site, "/api/captchas/", {"email": "nul@example.com"}).json()["id"]
    for field in fields:
        for value in ("\x00", f"{FIELDS[field]}\x00", f"\x00{FIELDS[field]}"):
            answer = call(site, path, FIELDS | {field: value})
            assert answer.status_code == 400, (field, value, answer.text)
            assert answer.json()["code"] in ("validation", "session_lost", "username_taken")
    assert call(site, "/api/captchas/", {"\x00": 1}).status_code == 400
    for named in ("/api/captchas/%00/", "/api/captchas/" + "x" * 23 + "%00/", "/api/%00/"):
        assert requests.get(site.url + named, timeout=30).status_code == 404


@pytest.mark.redis
@pytest.mark.postgres
@pytest.mark.parametrize("field", list(FIELDS))
def test_26_half_surrogates_are_refused(site: System, field: str) -> None:
    """They can be escaped in JSON, and encoded nowhere."""
    body = json.dumps(FIELDS).replace(json.dumps(FIELDS[field]), '"ab\\ud800cdefgh"').encode()
    for path in ("/api/captchas/", "/api/users/", "/api/login/", "/api/password-reset/"):
        answer = call(site, path, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


BOMBS = {
    "lists": b"[" * 65_000,
    "objects": b'{"email":' * 7_000,
    "closed lists": b'{"email": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "digits": b'{"email": ' + b"9" * 60_000 + b"}",
    "an exponent": b'{"email": "carol@example.com", "x": 1e999999999}',
    "NaN": b'{"email": "carol@example.com", "x": NaN}',
    "Infinity": b'{"email": "carol@example.com", "x": Infinity}',
    "twins": b'{"email": "carol@example.com", "email": "dave@example.com"}',
}


@pytest.mark.redis
@pytest.mark.postgres
@pytest.mark.parametrize("bomb", BOMBS)
def test_27_json_bombs_are_refused_at_once(site: System, bomb: str) -> None:
    """Deep, huge, not a number, or with a key twice."""
    for path in ("/api/captchas/", "/api/users/", "/api/login/", "/api/password-reset/"):
        begun = time.monotonic()
        answer = call(site, path, BOMBS[bomb])
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
        assert time.monotonic() - begun < 5
    assert site.rows("SELECT count(*) FROM signup_user WHERE email LIKE 'carol@%' OR email LIKE 'dave@%'") == [(0,)]


@pytest.mark.redis
@pytest.mark.postgres
def test_28_large_bodies_and_files_are_refused(site: System) -> None:
    """Over 64 KiB is a 413 without being read; a file is no JSON."""
    for size in (65_537, 1_000_000):
        answer = call(site, "/api/users/", b" " * size)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert call(site, "/api/captchas/", b'{"email": "a@example.com"' + b" " * 65_510 + b"}").status_code == 202
    small = requests.post(f"{site.url}/api/captchas/", files={"email": b"x"}, timeout=30)
    assert (small.status_code, small.json()["code"]) == (415, "unsupported_media_type")
    large = requests.post(f"{site.url}/api/captchas/", files={"email": b"x" * 100_000}, timeout=30)
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


@pytest.mark.redis
@pytest.mark.postgres
def test_29_endless_passwords_are_not_hashed(site: System) -> None:
    """10 MB is a 413, 60 KB too long for an account; neither takes a hash's time or more."""
    for path in ("/api/users/", "/api/login/"):
        begun = time.monotonic()
        assert call(site, path, FIELDS | {"password": "x" * 10_000_000}).status_code == 413
        assert time.monotonic() - begun < 5
    mine = asked(site, "longpass@example.com")
    answer = call(site, "/api/users/", mine | {"username": "longpass", "password": "x" * 60_000})
    assert answer.json()["errors"]["password"][0]["code"] == "password_too_long"
    assert "xxx" not in answer.text


# --- Who sends, and how -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_37_a_page_elsewhere_can_post_nothing(content_type: str) -> None:
    """A request that a browser sends across origins without a preflight is a 415, and a session opens nothing here."""
    victim = Client(raise_request_exception=False)
    victim.force_login(make_user())
    foreign = {"origin": "https://evil.example"}
    body = json.dumps({"email": BOB}).encode()
    sign_up = make_captcha()
    for path in ("/api/captchas/", f"/api/captchas/{sign_up.handle}/resend/", "/api/password-reset/"):
        sent = victim.post(path, body, content_type=content_type, headers=foreign)
        assert (sent.status_code, sent.json()["code"]) == (415, "unsupported_media_type")
        assert "Access-Control-Allow-Origin" not in sent
    assert CaptchaModel.objects.count() == 1
    assert victim.get("/api/users/me/", headers=foreign).status_code == 401
    assert victim.post("/api/logout/", headers=foreign).status_code == 401
    given = json.dumps({"old_password": PASSWORD, "password": PASSWORD, "language": "zh-hans"})
    for method, path in (
        ("POST", "/api/users/me/password/"),
        ("PATCH", "/api/users/me/"),
        ("DELETE", "/api/users/me/"),
    ):
        for kind in (content_type, "application/json"):
            assert victim.generic(method, path, given, content_type=kind, headers=foreign).status_code == 401
    assert User.objects.get(email=ALICE).language == ""
    assert not Delivery.objects.exists()


@pytest.mark.django_db
def test_01_a_reset_by_json_tells_nothing() -> None:
    """New, waiting, registered and disabled addresses, all of one length: the same answer by the same statements."""
    make_pending("anne@example.com")
    make_user("anni", "anni@example.com")
    make_user("anno", "anno@example.com", is_active=False)
    answers = []
    for email in ("anna@example.com", "anne@example.com", "anni@example.com", "anno@example.com"):
        with CaptureQueriesContext(connection) as queries:
            answer = post("/api/password-reset/", {"email": email})
        del answer.headers["X-Request-ID"]
        statements = [query["sql"].split()[0] for query in queries.captured_queries]
        answers.append((answer.status_code, answer.headers, answer.json()["detail"].replace(email, "…"), statements))
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert answers[0][0] == 202


@pytest.mark.django_db
def test_40_extra_fields_are_ignored() -> None:
    """Nobody makes themself staff, another's id, or active without a proof."""
    staff = make_user("root", "root@example.com", is_staff=True)
    extra = {"is_staff": True, "is_superuser": True, "is_active": True, "activated_at": "2020-01-01", "pk": staff.pk}
    extra["public_id"] = str(staff.public_id)
    assert post("/api/captchas/", {"email": ALICE, "id": "x" * 24, "decoy": False} | extra).status_code == 202
    pending = User.objects.get(email=ALICE)
    assert (pending.is_active, pending.is_staff, pending.is_superuser) == (False, False, False)
    assert not CaptchaModel.objects.filter(handle="x" * 24).exists()
    sign_up = make_captcha()
    made = try_code(sign_up, right(sign_up), user_id=staff.pk, proven_at="2020-01-01", proof="x" * 32, **extra)
    assert made.status_code == 201
    assert made.json()["id"] == str(pending.public_id)
    alice = User.objects.get(email=ALICE)
    assert (alice.is_staff, alice.is_superuser) == (False, False)
    locked = make_captcha(BOB)
    assert try_code(locked, "", username="bob", proven=True, proven_at="2020-01-01").status_code == 400


OVERRIDES = [
    {"HTTP_X_HTTP_METHOD_OVERRIDE": "POST"},
    {"HTTP_X_HTTP_METHOD": "POST"},
    {"HTTP_X_METHOD_OVERRIDE": "POST"},
    {"QUERY_STRING": "_method=POST"},
]


@pytest.mark.django_db
@pytest.mark.parametrize("override", OVERRIDES, ids=lambda override: next(iter(override)))
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_41_no_method_stands_for_another(method: str, override: dict[str, str]) -> None:
    """A GET with a header that says POST is a GET; none of them changes anything."""
    sign_up, client = make_captcha(), Client(raise_request_exception=False)
    given = {"id": sign_up.handle, "email": ALICE, "captcha": right(sign_up), "username": "alice", "password": PASSWORD}
    paths = {"/api/captchas/": {"email": BOB}, "/api/users/": given, f"/api/captchas/{sign_up.handle}/resend/": {}}
    for path, body in paths.items():
        sent = client.generic(method, path, json.dumps(body), content_type="application/json", **override)
        assert sent.status_code == 405
        assert sent["Allow"] == "POST"
    sign_up.refresh_from_db()
    assert (sign_up.proven_at, sign_up.attempts) == (None, 0)
    assert not User.objects.exists()


@pytest.mark.django_db
def test_41_reading_changes_nothing() -> None:
    """GET and HEAD of the delivery state, as often as one likes."""
    sign_up, client = make_captcha(), Client()
    before = CaptchaModel.objects.values().get()
    for method in (client.get, client.head):
        assert method(f"/api/captchas/{sign_up.handle}/").status_code == 200
    assert CaptchaModel.objects.values().get() == before
