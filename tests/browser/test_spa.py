"""The example client in Chromium, served from an origin of its own: the API over CORS, as an app uses it."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import PATIENCE, shot
from tests.factories import other_code
from tests.servers import ROOT, MailServer, Redis, System

pytestmark = [pytest.mark.chromium, pytest.mark.redis]

WORDS = {
    "en": ("Email address", "Get a code", "Code", "Continue", "Username", "Password", "Create account"),
    "zh-CN": ("邮箱", "获取验证码", "验证码", "继续", "用户名", "密码", "创建账号"),
}
DIGITS = {"en": "The code must be 4 digits", "zh-CN": "验证码应为 4 位数字"}
SENT = {"en": "We've sent a code to {}", "zh-CN": "验证码已发送至 {}"}
WHO = {"en": "You're signed in as {} ({})", "zh-CN": "已登录：{}（{}）"}
MISMATCH = {"en": "That code does not match this email address", "zh-CN": "验证码和邮箱不匹配"}
COMMON = {"en": "Choose a password that is harder to guess", "zh-CN": "密码太常见，请换一个更难猜的"}


CLIENT = ROOT / "docs" / "examples" / "spa" / "index.html"


class Client(BaseHTTPRequestHandler):
    """The client's file, with the address of its API as who serves it would write it: here the query's."""

    def do_GET(self) -> None:
        [api] = parse_qs(urlsplit(self.path).query).get("written", [""])
        page = CLIENT.read_text().replace('content="http://127.0.0.1:8000/api"', f'content="{api}"').encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the client is served: another port, and so another origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Client) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The API that allows that origin. Its Redis is its own: no other system's worker may take its messages."""
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
        page.set_default_timeout(PATIENCE)
        page.goto(f"{origin}/?written={api or site.url}/api&api=http://127.0.0.1:9/api")  # no link chooses the API
        return page

    yield open_client
    for context in contexts:
        context.close()


def ask(page: Page, language: str, email: str) -> None:
    label, get_code, *_ = WORDS[language]
    field(page, label).fill(email)
    page.get_by_role("button", name=get_code).click()


def field(page: Page, label: str) -> Locator:
    """The field of the step that is shown."""
    return page.locator("form:visible").get_by_label(label, exact=True)


def type_code(page: Page, language: str, code: str) -> None:
    _, _, label, go_on, *_ = WORDS[language]
    field(page, label).fill(code)
    page.get_by_role("button", name=go_on).click()


def register(page: Page, language: str, **fields: str) -> None:
    *_, username, password, create = WORDS[language]
    for name, label in {"username": username, "password": password}.items():
        if name in fields:
            field(page, label).fill(fields[name])
    page.get_by_role("button", name=create).click()


@pytest.mark.parametrize("language", WORDS)
def test_a_person_registers_from_another_origin(open_client: Callable[..., Page], site: System, language: str) -> None:
    """
    Address, code, username and password: errors at their fields in the person's language, a reload between, then the
    account; and out again. A wrong code leads back to the code, and nothing else has to be typed again.
    """
    email, name = f"spa-{language.lower()}@example.com", f"spa{language[:2]}"
    page = open_client(language)
    ask(page, language, email)
    expect(page.get_by_role("status")).to_have_text(SENT[language].format(email), timeout=30_000)
    code = site.mail.code(email)
    page.reload()
    wrong = other_code(code)
    type_code(page, language, code[:3])
    expect(page.locator("#captcha-error")).to_have_text(DIGITS[language])
    type_code(page, language, f"{wrong[:2]} {wrong[2:]}")
    expect(field(page, WORDS[language][4])).to_be_focused()
    register(page, language, username=name, password="password123")
    expect(page.locator("#password-error")).to_have_text(COMMON[language])
    register(page, language, password="correct horse b")
    expect(page.locator("#captcha-error")).to_contain_text(MISMATCH[language])
    expect(field(page, WORDS[language][2])).to_be_focused()
    shot(page, f"{language}-spa-errors")
    type_code(page, language, code)
    register(page, language)
    expect(page.get_by_text(WHO[language].format(name, email))).to_be_visible()
    for each in (*(set(WORDS) - {language}), language):  # the other one, and back
        page.locator("#language").click()
        expect(page.get_by_text(WHO[each].format(name, email))).to_be_visible()
    shot(page, f"{language}-spa-account")
    page.route("**/api/users/me/", lambda route: route.abort(), times=1)
    page.reload()
    expect(page.get_by_role("status")).not_to_be_empty()  # the API is away; the next reload finds the account again
    page.reload()
    expect(page.get_by_text(WHO[language].format(name, email))).to_be_visible()
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
    type_code(page, "en", site.mail.code(email))
    with page.expect_response(lambda answer: "/captchas/" in answer.url and answer.json()["state"] == "finished"):
        register(page, "en", username="spalost", password="correct horse b")
    expect(page.get_by_role("status")).to_have_text("There's a problem with the service. Try again later")
    assert dropped == [201]
    register(page, "en")
    expect(page.get_by_text(WHO["en"].format("spalost", email))).to_be_visible()


def test_asking_again_after_a_lost_answer_sends_no_other_mail(open_client: Callable[..., Page], site: System) -> None:
    """Both calls have the same Idempotency-Key, so the code in the mail fits the request that the page holds."""
    email, page, answers = "spa-twice@example.com", open_client("en"), []

    def drop_first(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        answers.append(answer := route.fetch())
        return route.abort() if len(answers) == 1 else route.fulfill(response=answer)

    page.route("**/api/captchas/", drop_first)
    ask(page, "en", email)
    expect(page.get_by_role("status")).to_have_text("There's a problem with the service. Try again later")
    page.get_by_role("button", name="Get a code").click()
    expect(field(page, "Code")).to_be_focused()
    assert len({answer.json()["id"] for answer in answers}) == 1
    type_code(page, "en", site.mail.code(email))
    register(page, "en", username="spatwice", password="correct horse b")
    expect(page.get_by_text(WHO["en"].format("spatwice", email))).to_be_visible()
    assert len(site.mail.to(email)) == 1


def test_a_longer_code_is_asked_for(open_client: Callable[..., Page], site: System) -> None:
    """With as many digits as the problem says; username and password stay typed."""
    email, page = "spa-longer@example.com", open_client("en")
    ask(page, "en", email)
    message = "For your safety we've sent a longer code"
    errors = {"captcha": [{"code": "lengthened", "message": message}]}
    problem = {"code": "lengthened", "detail": message, "errors": errors, "code_length": 8}

    def lengthened(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        return route.fulfill(status=400, headers={"Access-Control-Allow-Origin": "*"}, json=problem)

    def state(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"code_length": 8})

    page.route("**/api/users/", lengthened)
    type_code(page, "en", site.mail.code(email))
    page.route("**/api/captchas/*/", state)
    register(page, "en", username="spalonger", password="correct horse b")
    expect(page.locator("#captcha-error")).to_have_text(message)
    expect(page.get_by_text("8 digits")).to_be_visible()
    type_code(page, "en", "12345678")
    expect(field(page, "Username")).to_have_value("spalonger")


def test_a_new_code_takes_the_error_of_the_old_one_away(open_client: Callable[..., Page], site: System) -> None:
    """Nobody reads "Get a new code" beside the mail that has it."""
    email, page = "spa-again@example.com", open_client("en")
    ask(page, "en", email)
    wrong = other_code(site.mail.code(email))
    handle = page.evaluate("JSON.parse(sessionStorage.getItem('request')).id")
    guess = {"id": handle, "email": email, "captcha": wrong, "username": "spaagain", "password": "correct horse b"}
    for _ in range(5):
        requests.post(f"{site.url}/api/users/", json=guess, timeout=30)
    type_code(page, "en", wrong)
    register(page, "en", username="spaagain", password="correct horse b")
    expect(page.locator("#captcha-error")).to_have_text("Too many wrong codes. Get a new code")
    again = page.get_by_role("button", name="Get a new email", exact=True)  # no seconds to wait
    again.click(timeout=15_000)
    code = site.mail.code(email, number=2)
    expect(page.locator("#captcha-error")).to_have_count(0)
    type_code(page, "en", code)
    register(page, "en")
    expect(page.get_by_text(WHO["en"].format("spaagain", email))).to_be_visible()


def test_a_sign_up_that_was_finished_elsewhere_leads_to_sign_in(open_client: Callable[..., Page], site: System) -> None:
    """The waiting page learns it by itself."""
    email, page = "spa-elsewhere@example.com", open_client("en")
    ask(page, "en", email)
    code = site.mail.code(email)
    handle = page.evaluate("JSON.parse(sessionStorage.getItem('request')).id")
    account = {"username": "spaelsewhere", "password": "correct horse b"}
    made = requests.post(
        f"{site.url}/api/users/", json={"id": handle, "email": email, "captcha": code, **account}, timeout=30
    )
    assert made.status_code == 201
    expect(page.get_by_role("status")).to_have_text("This sign-up is finished. Sign in", timeout=15_000)
    field(page, "Email address or username").fill(email)
    field(page, "Password").fill("correct horse b")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text(WHO["en"].format("spaelsewhere", email))).to_be_visible()


def test_an_origin_that_is_not_listed_reads_nothing(browser: Browser, origin: str, site: System) -> None:
    """The browser keeps the answer from it."""
    context = browser.new_context(locale="en")
    page = context.new_page()
    page.goto(f"{origin.replace('127.0.0.1', 'localhost')}/?written={site.url}/api")
    ask(page, "en", "spa-foreign@example.com")
    expect(page.get_by_role("status")).to_have_text("There's a problem with the service. Try again later")
    context.close()
    assert site.mail.to("spa-foreign@example.com") == []
