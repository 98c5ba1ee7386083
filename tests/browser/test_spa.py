"""The example client in Chromium, served from an origin of its own: the API over CORS, as an app uses it."""

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.servers import ROOT, MailServer, Redis, System

pytestmark = [pytest.mark.chromium, pytest.mark.redis]

Shot = Callable[[Page, str], None]

WORDS = {
    "en": ("Email address", "Get a code", "Code", "Username", "Password", "Create account"),
    "zh-CN": ("邮箱", "获取验证码", "验证码", "用户名", "密码", "创建账号"),
}
SENT = {"en": "We've sent a code to {}", "zh-CN": "验证码已发送至 {}"}
WHO = {"en": "You're signed in as {} ({})", "zh-CN": "已登录：{}（{}）"}
MISMATCH = {"en": "That code does not match this email address", "zh-CN": "验证码和邮箱不匹配"}
COMMON = {"en": "Choose a password that is harder to guess", "zh-CN": "密码太常见，请换一个更难猜的"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the client is served: another port, and so another origin."""
    handler = functools.partial(Quiet, directory=ROOT / "docs" / "examples" / "spa")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The API that allows that origin. Its Redis is its own: no other system's worker may hear its bell."""
    folder = tmp_path_factory.mktemp("spa")
    given = {"database": f"sqlite:///{folder / 'db.sqlite3'}", "logs": folder, "CORS_ALLOWED_ORIGINS": origin}
    with Redis() as redis, MailServer() as mail, System(mail=mail, redis=redis.url, **given).run() as running:
        yield running


@pytest.fixture
def open_client(browser: Browser, origin: str, site: System) -> Iterator[Callable[[str], Page]]:
    contexts = []

    def open_client(language: str, api: str = "") -> Page:
        contexts.append(browser.new_context(locale=language))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.goto(f"{origin}/?api={api or site.url}/api")
        return page

    yield open_client
    for context in contexts:
        context.close()


def ask(page: Page, language: str, email: str) -> None:
    label, get_code, *_ = WORDS[language]
    page.get_by_label(label).fill(email)
    page.get_by_role("button", name=get_code).click()


def fill(page: Page, language: str, **fields: str) -> None:
    _, _, code, username, password, create = WORDS[language]
    for name, label in {"captcha": code, "username": username, "password": password}.items():
        page.get_by_label(label, exact=True).fill(fields[name])
    page.get_by_role("button", name=create).click()


@pytest.mark.parametrize("language", WORDS)
def test_a_person_registers_from_another_origin(
    open_client: Callable[..., Page], site: System, shot: Shot, language: str
) -> None:
    """Errors at their fields in the person's language, a reload between, then the account; and out again."""
    email, name = f"spa-{language.lower()}@example.com", f"spa{language[:2]}"
    page = open_client(language)
    ask(page, language, email)
    expect(page.get_by_role("status")).to_have_text(SENT[language].format(email), timeout=30_000)
    code = site.mail.code(email)
    page.reload()
    wrong = f"{(int(code) + 1) % 10_000:04}"
    fill(page, language, captcha=wrong, username=name, password="password123")
    expect(page.locator("#password-error")).to_have_text(COMMON[language])
    fill(page, language, captcha=wrong, username=name, password="correct horse b")
    expect(page.locator("#captcha-error")).to_contain_text(MISMATCH[language])
    expect(page.get_by_label(WORDS[language][2], exact=True)).to_be_focused()
    shot(page, f"{language}-spa-errors")
    fill(page, language, captcha=code, username=name, password="correct horse b")
    expect(page.get_by_text(WHO[language].format(name, email))).to_be_visible()
    shot(page, f"{language}-spa-account")
    page.locator("#sign-out").click()
    expect(page.get_by_role("button", name=WORDS[language][1])).to_be_visible()


def test_an_answer_that_got_lost_does_no_harm(open_client: Callable[..., Page], site: System) -> None:
    """The account is made, its answer is dropped, the person presses again, and is signed in."""
    email, page, dropped = "spa-lost@example.com", open_client("en"), []
    ask(page, "en", email)

    def drop(route: Route) -> None:
        if route.request.method == "POST" and not dropped:
            dropped.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/api/users/", drop)
    fields = {"captcha": site.mail.code(email), "username": "spalost", "password": "correct horse b"}
    fill(page, "en", **fields)
    expect(page.get_by_role("status")).to_have_text("There's a problem with the service. Try again later")
    assert dropped == [201]
    fill(page, "en", **fields)
    expect(page.get_by_text(WHO["en"].format("spalost", email))).to_be_visible()


def test_an_origin_that_is_not_listed_reads_nothing(browser: Browser, origin: str, site: System) -> None:
    """The browser keeps the answer from it."""
    context = browser.new_context(locale="en")
    page = context.new_page()
    page.goto(f"{origin.replace('127.0.0.1', 'localhost')}/?api={site.url}/api")
    ask(page, "en", "spa-foreign@example.com")
    expect(page.get_by_role("status")).to_have_text("There's a problem with the service. Try again later")
    context.close()
    assert site.mail.to("spa-foreign@example.com") == []
