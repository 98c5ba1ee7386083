"""The journey in Chromium: what a person sees and does."""

from collections.abc import Callable

import pytest
from django.utils import translation
from playwright.sync_api import Page, expect

from tests.browser.conftest import choose, read_code, shot

pytestmark = pytest.mark.chromium

OpenPage = Callable[..., Page]

LANGUAGES = {"en": "en", "zh-CN": "zh-hans", "zh-TW": "zh-hant", "ar": "ar", "ja": "ja", "de-DE": "de"}
WORDS = (
    "Get a code",
    "Code",
    "Username",
    "Password",
    "Continue",
    "Create account",
    "Your account is ready. You're signed in",
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_person_registers(open_page: OpenPage, language: str, script: bool) -> None:
    """From the first page to the account, in each language, with JavaScript and without."""
    with translation.override(LANGUAGES[language]):
        get_code, code, username, password, go_on, create, welcome = map(translation.gettext, WORDS)
    email, name = f"{language}-{script}@example.com".lower(), f"p{language[-2:]}{script:d}".lower()
    page = open_page(language, java_script_enabled=script)
    assert page.locator("html").get_attribute("lang") == LANGUAGES[language]
    shot(page, f"{language}-1-signup")
    page.get_by_role("textbox").fill(email)
    page.get_by_role("button", name=get_code).click()
    shot(page, f"{language}-2-verify")
    page.get_by_label(code, exact=True).fill(read_code(page, email))
    if not script:
        page.get_by_role("button", name=go_on).click()
    shot(page, f"{language}-3-register")
    page.get_by_label(username, exact=True).fill(name)
    page.get_by_label(password, exact=True).fill("correct horse b")
    page.get_by_role("button", name=create).click()
    expect(page.get_by_text(welcome)).to_be_visible()
    expect(page.get_by_text(email)).to_be_visible()
    shot(page, f"{language}-4-account")


def test_errors_stand_at_their_fields_all_at_once(open_page: OpenPage) -> None:
    """An empty form names every field, the summary takes the focus, and its entries lead to the fields."""
    page = open_page("zh-CN")
    page.get_by_role("button", name="获取验证码").click()
    expect(page.get_by_role("alert")).to_contain_text("请输入邮箱")
    page.get_by_role("textbox").fill("errors@example.com")
    page.get_by_role("button", name="获取验证码").click()
    page.get_by_role("button", name="继续").click()
    expect(page).to_have_title("错误：输入验证码 – Doorcode")
    expect(page.get_by_role("alert")).to_contain_text("请输入 4 位验证码")
    page.get_by_label("验证码", exact=True).fill(read_code(page, "errors@example.com"))
    page.get_by_role("button", name="创建账号").click()
    expect(page).to_have_title("错误：设置用户名和密码 – Doorcode")
    for text in ("请输入用户名", "请输入密码"):
        expect(page.get_by_role("alert")).to_contain_text(text)
    expect(page.locator(".summary")).to_be_focused()
    shot(page, "zh-CN-errors")
    page.get_by_role("link", name="请输入用户名").click()
    expect(page.get_by_label("用户名", exact=True)).to_be_focused()


def test_the_language_switches_and_the_mail_follows(open_page: OpenPage) -> None:
    """A visitor with an English browser chooses Chinese; the mail is Chinese too."""
    page = open_page("en")
    choose(page, "简体中文")
    expect(page.get_by_role("heading", name="注册")).to_be_visible()
    page.get_by_role("textbox").fill("switch@example.com")
    page.get_by_role("button", name="获取验证码").click()
    code = read_code(page, "switch@example.com")
    page.goto("/demo/inbox/")
    page.get_by_role("link", name=f"{code} 是你的 Doorcode 验证码").first.click()
    expect(page.frame_locator("iframe").get_by_text(code, exact=True)).to_be_visible()
    shot(page, "zh-CN-mail")


def test_the_page_tells_that_the_mail_has_left(open_page: OpenPage) -> None:
    """By itself, without a reload, in the visitor's language; what is being typed stays."""
    page = open_page("zh-CN")
    page.get_by_role("textbox").fill("live@example.com")
    page.get_by_role("button", name="获取验证码").click()
    page.get_by_label("验证码", exact=True).fill("12")
    expect(page.get_by_text("验证码已发送至 live@example.com，10 分钟内有效")).to_be_visible()
    expect(page.get_by_label("验证码", exact=True)).to_have_value("12")


def test_the_mails_link_proves_without_a_code(open_page: OpenPage) -> None:
    """The mail's button, in another browser: it leaves the address bar at once and asks for name and password alone."""
    page = open_page("en")
    page.get_by_role("textbox").fill("link@example.com")
    page.get_by_role("button", name="Get a code").click()
    code = read_code(page, "link@example.com")
    phone = open_page("en", "/demo/inbox/", viewport={"width": 360, "height": 740})
    gap = "each => each.nextElementSibling.getBoundingClientRect().top - each.getBoundingClientRect().bottom"
    assert phone.locator(".inbox").evaluate(gap) > 12
    phone.get_by_role("link", name=f"{code} is your").first.click()
    assert phone.locator("iframe").evaluate(gap) > 12
    phone.frame_locator("iframe").get_by_role("link", name="Continue sign-up").click()
    expect(phone).to_have_url(page.url)
    expect(phone.get_by_text("link@example.com is confirmed")).to_be_visible()
    shot(phone, "en-link-phone")
    phone.get_by_label("Username", exact=True).fill("linkperson")
    phone.get_by_label("Password", exact=True).fill("correct horse b")
    phone.get_by_role("button", name="Create account").click()
    expect(phone.get_by_text("Your account is ready")).to_be_visible()


def test_a_password_can_be_shown(open_page: OpenPage) -> None:
    """The button turns dots into letters and back; no keyboard changes them, no spelling checker reads them."""
    page = open_page("en", "/login/")
    password = page.get_by_label("Password", exact=True)
    password.fill("correct horse b")
    expect(page.get_by_role("button", name="Show password")).to_have_accessible_description("Password")
    page.get_by_role("button", name="Show password").click()
    expect(password).to_have_attribute("type", "text")
    expect(password).to_have_js_property("autocapitalize", "none")
    expect(password).to_have_js_property("spellcheck", False)
    page.get_by_role("button", name="Hide password").click()
    expect(password).to_have_attribute("type", "password")
