"""The cost of a request: attack 52. Processor time is measured through the WSGI application, as a server calls it."""

import json
import logging
import time
import unicodedata
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, NamedTuple

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from core import lengths
from core.ratelimit import RateLimited
from core.wsgi import application
from signup.api import tokens
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, make_user
from tests.steps import ask

pytestmark = pytest.mark.django_db

MOST = 5  # times an ordinary request
SIZE = 65_536  # bytes; what a body may have
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
TOKEN = "a" * 32  # of CSRF: cookie and header agree

MARKS = "a" + "\u0315\u0300" * SIZE  # combining marks in an order that normalization has to change
TEXTS = {
    "marks": MARKS,
    "an address of marks": f"a@{MARKS}",
    "a URL of marks": f"//{MARKS}",
    "letters that decompose": "\u1e9b\u0323" * SIZE,
    "labels": "a@" + "a." * SIZE,
    "digits": "1" * SIZE,
    "separators": "-" * SIZE,
    "blanks": " " * SIZE,
    "markup": "<>\"'" * SIZE,
    "escapes": "%" * SIZE,
}
FORMS = {
    "/signup/": ("email", "next", "once"),
    "/signup/verify/": ("email", "captcha", "username", "password", "new_email"),
    "/signup/resend/": ("email", "username"),
    "/signup/change/": ("new_email", "suggested"),
    "/login/": ("username", "password", "next"),
    "/admin/login/": ("username", "password", "next"),
    "/password-reset/": ("email",),
    "/password-change/": ("old_password", "password"),
    "/account/delete/": ("old_password",),
    "/i18n/setlang/": ("language", "next", "email"),
    "/logout/": ("next",),
}
CALLS = {  # POST unless another method is named
    "/api/captchas/": ("email",),
    "/api/users/": ("id", "email", "captcha", "username", "password"),
    "/api/login/": ("username", "password"),
    "/api/password-reset/": ("email",),
    "/api/users/me/password/": ("old_password", "password"),
    "PATCH /api/users/me/": ("language",),
    "DELETE /api/users/me/": ("password",),
}
HONEST = {"email": BOB, "captcha": "1234", "username": "bob", "password": PASSWORD, "new_email": "carol@example.com"}
HONEST |= {"old_password": "another horse b", "language": "en", "id": "a" * 24}
BODIES = {  # of JSON, whatever the call
    "numbers": b'{"a":[' + b"0," * 32_000 + b"0]}",
    "floats": b'{"a":[' + b"1e5," * 16_000 + b"0]}",
    "objects": b'{"a":[' + b"{}," * 21_000 + b"0]}",
    "lists": b'{"a":[' + b"[]," * 21_000 + b"0]}",
    "keys": b"{" + b",".join(b'"%x":0' % number for number in range(7_000)) + b"}",
    "depth": b'{"a":' * 12_000,
    "a long number": b'{"a":' + b"9" * 60_000 + b"}",
    "escapes": b'{"a":"' + rb"\u0041" * 10_000 + b'"}',
}
PAGES = ("/signup/", "/signup/verify/", "/login/", "/admin/login/", "/password-reset/", "/signup/mute/x/", "/nowhere/")
HEADERS = {
    "CONTENT_TYPE": ['a/b;"' + ";" * SIZE, "a/b;" * (SIZE // 4), "a/b; a*0=" * (SIZE // 9)],
    "HTTP_ACCEPT": ["text/html;q=0.5," * (SIZE // 16), 'text/html;"' + ";" * SIZE],
    "HTTP_ACCEPT_LANGUAGE": ["en;q=0.5," * (SIZE // 9), "en-" + "a" * SIZE],
    "HTTP_X_FORWARDED_FOR": ["1," * (SIZE // 2), "[::1]:" * (SIZE // 6), "1" * SIZE],
    "HTTP_COOKIE": [
        "a=b;" * (SIZE // 4),
        *(f'a="{escape * (lengths.HEADER // len(escape) - 2)}"' for escape in (r"\101", r"\\", r"\"")),
        "doorcode_signup=" + "a:" * (SIZE // 2),
    ],
    "HTTP_HOST": ["a." * (SIZE // 2), "[" * SIZE],
    "HTTP_ORIGIN": ["http://" + "\xa8" * SIZE],
    "HTTP_REFERER": ["http://" + "\xa8" * SIZE],
    "HTTP_AUTHORIZATION": ["Token " + "a" * SIZE, "a " * (SIZE // 2)],
    "HTTP_X_REQUEST_ID": ["a" * SIZE],
    "HTTP_X_CSRFTOKEN": ["a" * SIZE],
    "HTTP_X_DOORCODE_DOCTOR": ["a:" * (SIZE // 2)],
    "HTTP_IDEMPOTENCY_KEY": ["a" * SIZE],
}


class Sent(NamedTuple):
    """A request: its environ without the body, and the body."""

    environ: dict[str, Any]
    body: bytes = b""


def sent(method: str, path: str, body: bytes = b"", kind: str = FORM, cookies: str = "", **extra: str) -> Sent:
    extra = {"HTTP_COOKIE": f"csrftoken={TOKEN}; {cookies}", "HTTP_X_CSRFTOKEN": TOKEN} | extra
    return Sent(RequestFactory().generic(method, path, body, kind).environ | extra, body)


def called(call: str, body: bytes, token: str = "0" * 64) -> Sent:
    """A call of the API, by default with a forged token, which open calls ignore."""
    method, _, path = call.rpartition(" ")
    return sent(method or "POST", path, body, JSON, HTTP_AUTHORIZATION=f"Token {token}")


def answer(request: Sent) -> tuple[int, float]:
    """Return the status, and the seconds of processor time that the application took."""
    environ = {**request.environ, "wsgi.input": BytesIO(request.body)}
    statuses: list[str] = []
    begun = time.process_time()
    response = application(environ, lambda status, headers: statuses.append(status))  # type: ignore[arg-type, return-value]
    b"".join(response)
    return int(statuses[0][:3]), time.process_time() - begun


def judge(worst: dict[str, Sent], **usual: Sent) -> None:
    """
    Compare with the dearest of what is `usual`, by the least of interleaved rounds: the machine's own noise is no cost.
    """
    least = dict.fromkeys((*usual, *worst), 9.0)
    for number in range(12):
        limit = MOST * max(least[name] for name in usual)
        for name, request in (usual | worst).items():
            if number < 2 or name in usual or limit < least[name] < 4 * limit:  # who is near it is looked at again
                status, seconds = answer(request)
                assert status < 500, name
                least[name] = min(least[name], seconds)
    base = max(least[name] for name in usual)
    found = sorted(((least[name] / base, name) for name in worst), reverse=True)
    said = [f"{name}: {ratio:.1f} times" for ratio, name in found]
    print(f"{usual['ordinary'].environ['PATH_INFO']} {base * 1_000:.1f} ms;", "; ".join(said[:3]))
    assert said[: sum(ratio > MOST for ratio, _name in found)] == []


def encoded(fields: dict[str, str]) -> bytes:
    """
    A form as short as it gets: bytes as they are, but for what would end a field. SIZE bytes at most, and no half
    character: Django would read the whole as Latin-1, which has no marks.
    """
    escapes = str.maketrans({"&": "%26", "+": "%2B", "%": "%25", " ": "+"})
    text = "&".join(f"{name}={text.translate(escapes)}" for name, text in fields.items())
    return text.encode()[:SIZE].decode(errors="ignore").encode()


def in_json(fields: dict[str, str], field: str, text: str) -> bytes:
    room = SIZE - len(json.dumps(fields)) - 100
    short = text.encode()[:room].decode(errors="ignore")
    return json.dumps({**fields, field: short}, ensure_ascii=False).encode()[:SIZE]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """pytest keeps what is logged, which would be the largest part of a cheap request."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def unlimited(settings) -> None:
    """A 429 is cheap, and would be the least that a request costs."""
    for name in ("REQUESTS_NETWORK", "VERIFY_NETWORK", "LOGIN_NETWORK", "LOGIN_PAIR", "LOGIN_ACCOUNT"):
        setattr(settings, f"LIMIT_{name}", [])


@pytest.fixture
def cookies(client: Client) -> str:
    """Of a browser that is signed in and holds a sign-up request."""
    make_user()
    ask(client, BOB)
    client.post("/login/", {"username": ALICE, "password": PASSWORD})
    return "; ".join(f"{name}={client.cookies[name].value}" for name in ("doorcode_signup", "sessionid"))


def held(path: str, cookies: str) -> str:
    """The cookies that belong to a page: /signup/ sends who is signed in away, /account/ everybody else."""
    request, _, session = cookies.partition("; ")
    return session if path.startswith(("/password-change", "/account", "/logout")) else request


@pytest.mark.parametrize("path", FORMS)
def test_52_no_form_field_is_expensive(cookies: str, path: str) -> None:
    """
    64 KiB in any field cost at most five times what an ordinary form does: a right one, one with a slip, whose page shows
    the form again, or the page that a redirect leads to.
    """
    names = dict.fromkeys((*FORMS[path], *(("captcha", "username", "password") if "verify" in path else ())))
    honest = {name: HONEST[name] for name in names if name in HONEST}
    mine = held(path, cookies)
    ordinary = sent("POST", path, encoded(honest), cookies=mine)
    slip = sent("POST", path, encoded(dict.fromkeys(FORMS[path], "x")), cookies=mine)
    worst = {
        f"{name} of {kind}": sent("POST", path, encoded({**honest, name: ""} | {name: text}), cookies=mine)
        for name in FORMS[path]
        for kind, text in TEXTS.items()
    }
    judge(worst, ordinary=ordinary, slip=slip, page=sent("GET", "/login/"))


@pytest.fixture
def token() -> str:
    return token_of(make_user())


def token_of(user: User) -> str:
    issued = tokens.issue(user=user)
    assert issued
    return issued.token


@pytest.mark.parametrize("call", CALLS)
def test_52_no_body_of_json_is_expensive(token: str, call: str) -> None:
    """Neither a field nor the shape of the whole."""
    honest = {name: HONEST[name] for name in CALLS[call]}
    if call.startswith("DELETE"):
        honest["password"] = HONEST["old_password"]  # the right one would delete the account
    worst = {
        f"{name} of {kind}": called(call, in_json(honest, name, text), token)
        for name in CALLS[call]
        for kind, text in TEXTS.items()
    }
    worst |= {name: called(call, body, token) for name, body in BODIES.items()}
    judge(worst, ordinary=called(call, json.dumps(honest).encode(), token))


@pytest.mark.parametrize("path", PAGES)
def test_52_no_query_is_expensive(cookies: str, path: str) -> None:
    """Whatever its parameters are called, and as long as it may be."""
    mine = held(path, cookies)
    worst = {
        f"{name} of {kind}": sent(
            "GET", path, cookies=mine, QUERY_STRING=query.encode()[: lengths.QUERY].decode("latin-1")
        )
        for name in ("next", "ref", "q")
        for kind, text in TEXTS.items()
        for query in [f"{name}={text}"]
    }
    worst["many"] = sent("GET", path, cookies=mine, QUERY_STRING="&".join(["a=b"] * (lengths.QUERY // 4)))
    judge(worst, ordinary=sent("GET", path, cookies=mine))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/signup/"), ("POST", "/login/"), ("POST", "/i18n/setlang/"), ("POST", "/api/captchas/")],
)
def test_52_no_header_is_expensive(settings, method: str, path: str) -> None:
    """Those that we read, and those that Django or a library reads, as long as they may be."""
    settings.TRUSTED_PROXIES = 1
    body, kind = (encoded(HONEST), FORM) if method == "POST" else (b"", FORM)
    if path.startswith("/api/"):
        body, kind = json.dumps({"email": BOB}).encode(), JSON
    worst = {
        f"{name} {number}": sent(
            method, path, body, **{"kind": kind, name: value[: lengths.HEADERS.get(name, lengths.HEADER)]}
        )
        for name, values in HEADERS.items()
        for number, value in enumerate(values)
    }
    judge(worst, ordinary=sent(method, path, body, kind), page=sent("GET", "/login/"))


DOORS: dict[str, tuple[str, Callable[[str], tuple[bytes, str]]]] = {
    "/signup/": ("LIMIT_REQUESTS_NETWORK", lambda text: (encoded({"email": text}), FORM)),
    "/signup/resend/": ("LIMIT_REQUESTS_NETWORK", lambda text: (encoded({"email": text}), FORM)),
    "/signup/change/": ("LIMIT_REQUESTS_NETWORK", lambda text: (encoded({"new_email": text}), FORM)),
    "/password-reset/": ("LIMIT_REQUESTS_NETWORK", lambda text: (encoded({"email": text}), FORM)),
    "/api/captchas/": ("LIMIT_REQUESTS_NETWORK", lambda text: (in_json({}, "email", text), JSON)),
    "/signup/verify/": ("LIMIT_VERIFY_NETWORK", lambda text: (encoded({"captcha": text, "username": text}), FORM)),
    "/api/users/": ("LIMIT_VERIFY_NETWORK", lambda text: (in_json({"id": "a" * 24}, "username", text), JSON)),
    "/login/": ("LIMIT_LOGIN_NETWORK", lambda text: (encoded({"username": text}), FORM)),
    "/admin/login/": ("LIMIT_LOGIN_NETWORK", lambda text: (encoded({"username": text}), FORM)),
    "/api/login/": ("LIMIT_LOGIN_NETWORK", lambda text: (in_json({"password": "x"}, "username", text), JSON)),
    "/api/password-reset/": ("LIMIT_REQUESTS_NETWORK", lambda text: (in_json({}, "email", text), JSON)),
    "/api/users/me/password/": ("LIMIT_LOGIN_NETWORK", lambda text: (in_json({}, "old_password", text), JSON)),
    "DELETE /api/users/me/": ("LIMIT_LOGIN_NETWORK", lambda text: (in_json({}, "password", text), JSON)),
    "/password-change/": ("LIMIT_LOGIN_NETWORK", lambda text: (encoded({"old_password": text}), FORM)),
    "/account/delete/": ("LIMIT_LOGIN_NETWORK", lambda text: (encoded({"old_password": text}), FORM)),
}


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that were normalized."""
    found: list[int] = []
    real = unicodedata.normalize
    monkeypatch.setattr("unicodedata.normalize", lambda form, text: found.append(len(text)) or real(form, text))
    return found


@pytest.mark.parametrize("path", DOORS)
def test_52_a_network_over_its_limit_costs_nothing(
    settings, still: None, cookies: str, normalized: list[int], path: str
) -> None:
    """Its 429 comes before anything is normalized or queried, a forged session or token included."""
    setting, write = DOORS[path]
    setattr(settings, setting, [(1, 3_600)])
    body, kind = write(MARKS)
    over = called(path, body) if kind == JSON else sent("POST", path, body, kind, cookies + "x")
    answer(over)
    normalized.clear()
    with CaptureQueriesContext(connection) as queries:
        assert answer(over)[0] == 429
    assert queries.captured_queries == []
    assert normalized == []
    judge({"over the limit": over}, ordinary=sent("GET", "/signup/"))


@pytest.mark.parametrize("path", [*FORMS, *CALLS])
def test_52_nothing_long_is_normalized(cookies: str, normalized: list[int], path: str) -> None:
    """Length is looked at first, in whatever field it comes."""
    token = token_of(User.objects.get(email=ALICE))
    for name in FORMS.get(path) or CALLS[path]:
        for text in (MARKS, f"a@{MARKS}", f"//{MARKS}", f"//{MARKS}"[:2_000]):
            if path in CALLS:
                answer(called(path, in_json(HONEST, name, text), token))
            else:
                answer(sent("POST", path, encoded({**HONEST, name: ""} | {name: text}), cookies=held(path, cookies)))
    assert max(normalized, default=0) <= 512


@pytest.mark.parametrize("name", ["alice", ALICE, "nobody", "nobody@example.com"])
def test_52_a_password_that_is_too_long_looks_nobody_up(settings, still: None, rf: RequestFactory, name: str) -> None:
    """So it costs the same for known and unknown names; and it is counted."""
    make_user()
    settings.LIMIT_LOGIN_NETWORK = [(1, 60)]
    with CaptureQueriesContext(connection) as queries:
        assert authenticate(rf.post("/"), username=name, password="x" * 129) is None
    assert queries.captured_queries == []
    with pytest.raises(RateLimited):
        authenticate(rf.post("/"), username=name, password=PASSWORD)
