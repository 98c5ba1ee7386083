"""Calls from the pages of other origins."""

import pytest

from tests.factories import ALICE
from tests.signup.api.conftest import Api

APP = "https://app.example.com"


@pytest.fixture
def allowed(settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [APP]


def preflight(api: Api, path: str, origin: str = APP):
    asked = {"HTTP_ORIGIN": origin, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    asked["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = "authorization,content-type,idempotency-key"
    return api.client.options(path, **asked)


def test_no_other_origin_may_call_by_default(api: Api) -> None:
    """Neither a preflight nor a response allows it."""
    assert "Access-Control-Allow-Origin" not in preflight(api, "/api/captchas/")
    assert "Access-Control-Allow-Origin" not in api.get("/api/x/", origin=APP)


def test_an_allowed_origin_may_call_and_read_refusals(api: Api, allowed: None) -> None:
    """Errors of middleware too, Retry-After, and the id that the log has; cookies never go along."""
    answer = preflight(api, "/api/captchas/")
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, APP)
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer["Access-Control-Allow-Methods"].split(", "))
    assert {"authorization", "content-type", "idempotency-key"} <= set(
        answer["Access-Control-Allow-Headers"].split(", ")
    )
    for refused in (
        api.client.post("/api/captchas/", b"", content_type="text/plain", headers={"origin": APP}),
        api.client.post("/api/captchas/", {"email": ALICE * 9_000}, "application/json", headers={"origin": APP}),
    ):
        assert refused["Access-Control-Allow-Origin"] == APP
        assert {"Retry-After", "X-Request-ID"} <= set(refused["Access-Control-Expose-Headers"].split(", "))
        assert "Access-Control-Allow-Credentials" not in refused


@pytest.mark.parametrize(("path", "origin"), [
    ("/api/captchas/", "https://evil.example"),
    ("/api/captchas/", "https://app.example.com.evil.example"),
    ("/api/captchas/", "http://app.example.com"),
    ("/api/captchas/", "null"),
    ("/signup/", APP),
    ("/login/", APP),
])  # fmt: skip
def test_nobody_else_may_call_and_nothing_else_be_called(api: Api, allowed: None, path: str, origin: str) -> None:
    """The list is of whole origins, and pages are not in it."""
    assert "Access-Control-Allow-Origin" not in preflight(api, path, origin)
    assert "Access-Control-Allow-Origin" not in api.get(path, origin=origin)
