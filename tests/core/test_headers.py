"""The headers of every response, and error pages."""

import re

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory, override_settings

from core.wsgi import application

PAGES = ["/signup/", "/signup/verify/", "/login/", "/password-reset/", "/nowhere/", "/healthz"]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_kept_by_a_cache(db, client: Client, path: str) -> None:
    """Pages depend on the language and on cookies."""
    assert "no-store" in client.get(path)["Cache-Control"]
    assert "private" in client.get(path)["Cache-Control"]


def test_a_file_for_everybody_that_sets_a_cookie_is_kept_by_no_cache(db, client: Client) -> None:
    """As a session that ended is deleted."""
    assert "public" in client.get("/signup/common-passwords.txt")["Cache-Control"]
    client.cookies["sessionid"] = "junk"
    answer = client.get("/signup/common-passwords.txt")
    assert answer.cookies
    assert answer["Cache-Control"] == "private, no-store, no-transform"


@pytest.mark.parametrize("path", [*PAGES[:5], "/password-reset/x/y/", "/logout/", "/admin/login/", "/admin/"])
def test_no_proxy_may_rewrite_a_page(db, client: Client, path: str) -> None:
    """An address in it above all; the pages that Django itself keeps out of caches are no exception."""
    assert "no-transform" in client.get(path)["Cache-Control"]


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_allows_nothing_inline(db, client: Client, path: str) -> None:
    """No script, style, font or frame but the site's own files."""
    policy = client.get(path)["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "font-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_static_file_has_the_policy_too(db, client: Client) -> None:
    """An SVG is a page where it is opened by itself, and a designer's may hold a script."""
    icon = client.get("/static/doorcode/icon.svg")
    icon.close()
    assert icon["Content-Type"] == "image/svg+xml"
    assert "script-src 'self'" in icon["Content-Security-Policy"]


@pytest.mark.parametrize("path", PAGES[:5])
def test_pages_hold_no_inline_style_or_script(db, client: Client, path: str) -> None:
    """The policy would block them."""
    page = client.get(path).content.decode()
    assert "style=" not in page
    assert "<style" not in page
    assert " onclick" not in page


@pytest.mark.parametrize("path", [*PAGES, "/signup", "/logout/", "/signup/?lang=de"])
def test_framing_and_sniffing_are_off(db, client: Client, path: str) -> None:
    """The classic headers too, also where a middleware responds: probes, redirects, 405."""
    page = client.get(path)
    assert page["X-Frame-Options"] == "DENY"
    assert page["X-Content-Type-Options"] == "nosniff"
    assert page["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(("length", "status"), [("3000000", 413), ("x", 400)])
def test_a_body_over_2_mib_is_not_read(db, client: Client, length: str, status: int) -> None:
    """413, in the visitor's language."""
    page = client.post("/signup/", CONTENT_LENGTH=length, headers={"accept-language": "zh-CN"})
    assert page.status_code == status
    assert '<html lang="zh-hans"' in page.content.decode()


@pytest.mark.parametrize(("size", "charset", "status"), [(70_000, "utf-8", 413), (60_000, "gbk", 415)])
def test_a_body_is_taken_in_before_it_is_refused(db, client: Client, size: int, charset: str, status: int) -> None:
    """Else the end of the connection, with bytes that nobody read, could take the answer with it."""
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    page = client.post("/signup/", b"a" * size, content_type=kind)
    assert page.status_code == status
    assert page.wsgi_request.read() == b""


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Page not found"), ("zh-CN", "页面不存在"), ("zh-HK", "找不到頁面"), ("tlh", "Page not found")],
)
def test_errors_speak_the_visitors_language(client: Client, language: str, text: str) -> None:
    """404, and in English for a language that is not offered."""
    page = client.get("/nowhere/", headers={"accept-language": language})
    assert page.status_code == 404
    assert text in page.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html;x*=unknown''a", "text/plain," * 100])
def test_a_strange_accept_is_no_server_error(accept: str) -> None:
    """Django parses it where a page without `next` changes the language; it counts as not sent."""
    environ = RequestFactory().get("/i18n/setlang/", headers={"accept": accept}).environ
    answers: list[str] = []
    b"".join(application(environ, lambda status, headers, *_: answers.append(status)))
    assert answers == ["302 Found"]


@pytest.mark.parametrize("path", ["/signup/resend/", "/signup/change/", "/logout/"])
def test_a_path_that_takes_forms_alone_shows_a_page(client: Client, path: str) -> None:
    """405 with Allow, and a way on: people open such a path from the address bar, or are sent there by `next`."""
    page = client.get(path, headers={"accept-language": "zh-CN"})
    assert (page.status_code, page["Allow"].partition(",")[0]) == (405, "POST")
    assert (page["Content-Language"], page["Content-Type"]) == ("zh-hans", "text/html; charset=utf-8")
    assert "请求有误" in page.content.decode()
    assert 'href="/"' in page.content.decode()
    assert client.delete(path).content


def test_the_language_can_be_switched_on_the_page_of_a_path_that_takes_forms_alone() -> None:
    """Also where it is the first page that a browser opens: it sets the cookie that its form is checked with."""
    client = Client(enforce_csrf_checks=True)
    page = client.get("/logout/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    answer = client.post("/i18n/setlang/", {"language": "zh-hans", "csrfmiddlewaretoken": token and token[1]})
    assert (answer.status_code, answer.cookies["django_language"].value) == (302, "zh-hans")


def test_a_foreign_post_is_refused() -> None:
    """Without the token the page has expired, in polite words."""
    page = Client(enforce_csrf_checks=True).post("/signup/", {"email": "alice@example.com"})
    assert page.status_code == 403
    assert "This page has expired" in page.content.decode()


def test_an_error_page_for_500_needs_nothing(rf) -> None:
    """It is rendered without user, session or database."""
    from core.views import server_error

    page = server_error(rf.get("/"))
    assert page.status_code == 500
    assert "There&#x27;s a problem with the service" in page.content.decode()


def test_a_foreign_host_is_refused(client: Client) -> None:
    """400, not a page with a stranger's links."""
    assert client.get("/signup/", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(("language", "text"), [("en", "Wait a minute"), ("zh-CN", "请稍等一分钟")])
def test_a_database_that_is_down_is_a_503(monkeypatch, language: str, text: str) -> None:
    """With Retry-After, in the visitor's language."""

    def gone(**kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("signup.views.services.request_code", gone)
    client = Client(raise_request_exception=False)
    page = client.post("/signup/", {"email": "alice@example.com"}, headers={"accept-language": language})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
    assert text in page.content.decode()


@pytest.mark.parametrize(
    ("preferred", "given"),
    [
        ("zh-TW", "zh-hant"),
        ("zh-HK", "zh-hant"),
        ("zh-MO", "zh-hant"),
        ("zh-Hant-HK", "zh-hant"),
        ("zh-CN", "zh-hans"),
        ("zh-SG", "zh-hans"),
        ("zh", "zh-hans"),
        ("zh-MY,en;q=0.5", "zh-hans"),
        ("tlh,zh-TW;q=0.8,en;q=0.5", "zh-hant"),
        ("tlh", "en"),
    ],
)
def test_chinese_readers_get_the_script_they_read(client: Client, settings, preferred: str, given: str) -> None:
    """Traditional in Taiwan, Hong Kong and Macau, Simplified elsewhere."""
    settings.LANGUAGES = [each for each in settings.LANGUAGES if each[0] in ("en", "zh-hans", "zh-hant")]
    page = client.get("/nowhere/", headers={"accept-language": preferred})
    assert f'<html lang="{given}"' in page.content.decode()


def test_the_redirect_to_https_is_kept_by_no_cache() -> None:
    """A browser would keep a loop of it, by a wrong TRUSTED_PROXIES, also after that is mended."""
    with override_settings(SECURE_SSL_REDIRECT=True):
        answer = Client().get("/login/")
    assert answer.status_code == 301
    assert "no-store" in answer["Cache-Control"]
