"""The bounds of headers and fields."""

from io import BytesIO

import pytest
from django.http import QueryDict
from django.test import Client

from core import lengths
from core.middleware import bound_fields
from core.wsgi import bound_headers
from worker.models import Delivery


def test_a_header_that_is_too_long_counts_as_not_sent() -> None:
    """Each by its own limit; what is no header stays."""
    environ = {
        "HTTP_ACCEPT": "a" * 1_001,
        "HTTP_COOKIE": "a" * 8_190,
        "HTTP_X_STRANGE": "a" * 8_191,
        "CONTENT_TYPE": "a" * 256,
        "QUERY_STRING": "a" * 4_095,
        "PATH_INFO": "/" * 9_000,
        "wsgi.errors": object(),
    }
    before = dict(environ)
    bound_headers(environ)
    changed = {name for name, value in environ.items() if value != before[name]}
    assert changed == {"HTTP_ACCEPT", "HTTP_X_STRANGE", "CONTENT_TYPE", "QUERY_STRING"}
    assert {environ[name] for name in changed} == {"", "*/*"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("CONTENT_TYPE", "text/plain; charset*=unknown''%41"),
        ("CONTENT_TYPE", "text/plain; charset*=utf-8''%00"),
        ("HTTP_ACCEPT", "text/html;x*=unknown''a"),
        ("HTTP_ACCEPT", "text/html;x* =a;x*0=b"),
        ("HTTP_ACCEPT", "text/html;x*;x*0=b"),
        ("HTTP_COOKIE", r'sessionid="abcdefgh\000"'),
    ],
)
def test_a_header_that_ends_in_a_server_error_counts_as_not_sent(header: str, value: str) -> None:
    """Django raises before any of our code at a strange encoding, and PostgreSQL at a NUL in a session's key."""
    environ = {header: value}
    bound_headers(environ)
    assert environ == {header: "*/*" if header == "HTTP_ACCEPT" else ""}


def test_what_browsers_send_stays() -> None:
    """*/* is no parameter."""
    environ = {"HTTP_ACCEPT": "text/html,application/xml;q=0.9,image/webp,*/*;q=0.8", "CONTENT_TYPE": "text/plain"}
    before = dict(environ)
    bound_headers(environ)
    assert environ == before


def test_a_field_is_cut_to_what_every_form_still_refuses() -> None:
    """All values of it; shorter ones stay as they are."""
    short = bound_fields(QueryDict(f"a={'x' * 5_000}&a=1&b=2"))
    assert short.getlist("a") == ["x" * lengths.FIELD, "1"]
    assert short["b"] == "2"
    assert max(lengths.ADDRESS, lengths.LOGIN_NAME, lengths.PASSWORD, lengths.USERNAME, lengths.CODE) < lengths.FIELD


def test_half_a_path_leads_nowhere() -> None:
    """A `next` that is too long is left out."""
    assert "next" not in bound_fields(QueryDict(f"next=/{'x' * lengths.NEXT}"))
    assert bound_fields(QueryDict("next=/account/"))["next"] == "/account/"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/signup/", "application/x-www-form-urlencoded"),
        ("/api/captchas/", "application/json"),
        ("/api/users/", "application/json"),
        ("/api/login/", "application/json"),
    ],
)
@pytest.mark.django_db
def test_a_client_that_leaves_in_the_middle_of_a_body_gets_no_server_error(
    client: Client, path: str, kind: str
) -> None:
    """The rest of it never comes."""

    class Broken:
        def read(self, *args: int) -> bytes:
            raise OSError("the client left")

        readline = read

    answer = client.post(path, {}, content_type=kind, **{"wsgi.input": Broken(), "CONTENT_LENGTH": "1000"})
    assert answer.status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/signup/", "application/x-www-form-urlencoded", b"email=ann%40example.co"),
        ("/api/captchas/", "application/json", b'{"email": "ann@example.com"}'),
    ],
)
def test_a_body_that_was_cut_off_is_no_whole_one(client: Client, path: str, kind: str, body: bytes) -> None:
    """gunicorn hands on what came before the client left."""
    cut_off = {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body) + 1)}
    assert client.post(path, {}, content_type=kind, **cut_off).status_code == 400
    assert not Delivery.objects.exists()
