"""People's ways with a page: press twice, go back, open two tabs, paste, wait, lose their way."""

import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import choose, read_code
from tests.factories import other_code

pytestmark = pytest.mark.chromium

OpenPage = Callable[..., Page]


def ask(page: Page, email: str, button: str = "Get a code") -> None:
    page.get_by_role("textbox").fill(email)
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/signup/verify/")


def fill(page: Page, code: str, username: str) -> None:
    page.get_by_label("Code", exact=True).fill(code)  # sends itself
    page.get_by_label("Username", exact=True).fill(username)
    page.get_by_label("Password", exact=True).fill("correct horse b")


def mails_to(page: Page, address: str) -> int:
    return page.request.get("/demo/inbox/").text().count(f"<bdi>{address}</bdi>")


def change_row(data: Path, statement: str, *values: object) -> None:
    """Change the demo's database, as time or a mail server would."""
    with sqlite3.connect(data / "doorcode.sqlite3", timeout=20) as database:
        assert database.execute(statement, values).rowcount


def test_a_double_click_asks_once(open_page: OpenPage) -> None:
    """And the account is made once."""
    page = open_page()
    page.get_by_role("textbox").fill("double@example.com")
    page.get_by_role("button", name="Get a code").dblclick()
    page.wait_for_url("**/signup/verify/")
    fill(page, read_code(page, "double@example.com"), "double")
    page.get_by_role("button", name="Create account").dblclick()
    expect(page.get_by_text("Your account is ready")).to_be_visible()
    assert mails_to(page, "double@example.com") == 1


def test_back_leads_to_forms_that_work(open_page: OpenPage) -> None:
    """From the code to the address, and on with another."""
    page = open_page()
    ask(page, "back@example.com")
    page.go_back()
    ask(page, "forth@example.com")
    expect(page.get_by_text("code to forth@example.com")).to_be_visible()
    fill(page, read_code(page, "forth@example.com"), "forth")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_text("Your account is ready")).to_be_visible()
    page.goto("/signup/")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_two_tabs_finish_each_its_own(open_page: OpenPage) -> None:
    """Each tells of its own mail, and takes its own code."""
    first = open_page()
    ask(first, "tab1@example.com")
    second = first.context.new_page()
    second.goto("/signup/")
    ask(second, "tab2@example.com")
    code = read_code(first, "tab1@example.com")
    expect(first.get_by_text("We've sent a 4-digit code to tab1@example.com")).to_be_visible()
    expect(second.get_by_text("We've sent a 4-digit code to tab2@example.com")).to_be_visible()
    fill(first, code, "tabone")
    first.get_by_role("button", name="Create account").click()
    expect(first.get_by_text("tab1@example.com")).to_be_visible()
    fill(second, read_code(second, "tab2@example.com"), "tabtwo")  # the first has signed in meanwhile
    second.get_by_role("button", name="Create account").click()
    expect(second.get_by_text("tab2@example.com")).to_be_visible()
    expect(second.get_by_role("heading", name="Your account")).to_be_visible()


def test_a_tab_that_is_late_with_its_last_step_is_shown_the_account(open_page: OpenPage) -> None:
    """The sign-up was finished in another tab of the same browser: the form is no older than the page says."""
    late = open_page()
    ask(late, "late@example.com")
    code = read_code(late, "late@example.com")
    fill(late, code, "late")
    first = late.context.new_page()
    first.goto("/signup/verify/")
    for page in (first, late):
        page.get_by_label("Username", exact=True).fill("late")
        page.get_by_label("Password", exact=True).fill("correct horse b")
    for page in (first, late):
        page.get_by_role("button", name="Create account").click()
        expect(page.get_by_role("heading", name="Your account")).to_be_visible()


@pytest.mark.parametrize("dress", [" {0}{1} {2}{3} ", "{0}-{1}-{2}-{3}", "full width"])
def test_a_code_may_be_pasted_in_any_dress(open_page: OpenPage, dress: str) -> None:
    """Nothing cuts or refuses it on the way."""
    name = f"paste{sum(map(ord, dress))}"
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, f"{name}@example.com")
    code = read_code(page, f"{name}@example.com")
    wide = code.translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    page.evaluate("text => navigator.clipboard.writeText(text)", wide if dress == "full width" else dress.format(*code))
    page.get_by_label("Code", exact=True).focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_text(f"{name}@example.com is confirmed")).to_be_visible()
    expect(page.get_by_label("Username", exact=True)).to_be_focused()


def test_a_slow_mail_is_told_and_then_a_refused_one(open_page: OpenPage, demo_data: Path) -> None:
    """By itself: late, refused, with the field for another address open; and sent at last, with that for the code."""
    page = open_page()
    ask(page, "slow@example.com")
    expect(page.get_by_text("Sent", exact=False).first).to_be_visible()
    row = "UPDATE worker_delivery SET state = ?, attempts = 2 WHERE recipient = 'slow@example.com'"
    change_row(demo_data, row.replace("attempts = 2", "attempts = 2, next_attempt_at = '2999-01-01'"), "pending")
    expect(page.get_by_text("Email is slow right now")).to_be_visible()
    expect(page.get_by_text("Delayed")).to_be_visible()
    never = "UPDATE verification_captchamodel SET first_accepted_at = NULL, mailed_at = NULL WHERE address = 'slow@example.com'"
    change_row(demo_data, never)
    change_row(demo_data, row, "failed")
    expect(page.get_by_role("heading", name="Email not delivered")).to_be_visible()
    expect(page.get_by_text("We couldn't email slow@example.com")).to_be_visible()
    expect(page.get_by_label("New email address")).to_be_visible()
    change_row(demo_data, never.replace("mailed_at = NULL", "mailed_at = datetime('now')"))
    change_row(demo_data, row, "sent")
    expect(page.get_by_label("Code", exact=True)).to_be_visible(timeout=20_000)
    expect(page.get_by_role("heading", name="Enter the code")).to_be_visible()
    page.get_by_text("Change email address").click()
    page.get_by_label("New email address").fill("quick@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_text("code to quick@example.com")).to_be_visible()


def test_news_do_not_call_off_what_was_pressed(open_page: OpenPage, demo_data: Path) -> None:
    """A corrected address is on its way over a slow network as the mail to the wrong one fails."""
    page = open_page()
    ask(page, "mistyped@example.com")
    read_code(page, "mistyped@example.com")
    page.route("**/signup/change/", lambda route: (page.wait_for_timeout(3_500), route.continue_()))
    change_row(
        demo_data,
        "UPDATE verification_captchamodel SET first_accepted_at = NULL, mailed_at = NULL WHERE address = 'mistyped@example.com'",
    )
    page.get_by_text("Change email address").click()
    page.get_by_label("New email address").fill("corrected@example.com")
    page.get_by_role("button", name="Send a code to this address").click(no_wait_after=True)
    change_row(demo_data, "UPDATE worker_delivery SET state = ? WHERE recipient = 'mistyped@example.com'", "failed")
    expect(page.get_by_text("code to corrected@example.com")).to_be_visible(timeout=20_000)


def test_a_reload_does_not_send_a_wrong_code_again(open_page: OpenPage) -> None:
    """Nor does coming back to its page show an error of the browser."""
    page = open_page()
    ask(page, "reloads@example.com")
    code = read_code(page, "reloads@example.com")
    page.get_by_label("Code", exact=True).fill(other_code(code))
    expect(page.get_by_text("You can try 4 more times").first).to_be_visible()
    expect(page.get_by_label("Code", exact=True)).to_have_value("")
    page.reload()
    expect(page.get_by_text("You can try 4 more times").first).to_be_visible()
    page.get_by_label("Code", exact=True).fill(code)
    expect(page.get_by_label("Username", exact=True)).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Username", exact=True)).to_be_visible()


@pytest.mark.parametrize("path", ["/signup/verify/", "/signup/resend/", "/signup/change/"])
def test_coming_back_to_the_answer_of_a_lost_sign_up_shows_it(open_page: OpenPage, path: str) -> None:
    """And no error of the browser, which would have the form sent again."""
    page = open_page()
    ask(page, "lost@example.com")
    page.context.clear_cookies(name="doorcode_signup")
    page.evaluate("path => document.querySelector(`form[action='${path}']`).submit()", path)
    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_label("Email address")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Your sign-up timed out")).to_be_visible()


def test_a_state_that_could_not_be_shown_is_shown_later(open_page: OpenPage, demo_data: Path) -> None:
    """The site refused the page at first."""
    page = open_page()
    ask(page, "again@example.com")
    expect(page.get_by_text("Sent", exact=False).first).to_be_visible()
    page.get_by_label("Code", exact=True).fill("1")  # so that the page asks for its state alone, and is not loaded anew
    page.route("**/signup/verify/**", lambda route: route.fulfill(status=429), times=1)
    row = "UPDATE worker_delivery SET state = 'pending', attempts = 2, next_attempt_at = '2999-01-01' WHERE recipient = 'again@example.com'"
    change_row(demo_data, row)
    expect(page.get_by_text("Email is slow right now")).to_be_visible(timeout=40_000)


def test_an_answer_that_never_comes_stops_no_page(open_page: OpenPage) -> None:
    """The page gives it up, after 20 s (here a twentieth), and asks again."""
    page = open_page()
    page.context.add_init_script("const real = AbortSignal.timeout; AbortSignal.timeout = (ms) => real(ms / 20)")
    page.context.route("**/signup/status/**", lambda route: None, times=1)
    with page.expect_request("**/signup/status/**"):
        ask(page, "frozen@example.com")
    with page.expect_response("**/signup/status/**", timeout=20_000):
        pass


def test_a_mail_that_bounces_later_is_told(open_page: OpenPage, demo_data: Path) -> None:
    """By itself, on the page that said that it was sent: this one asks on, every 15 s at the latest."""
    page = open_page()
    ask(page, "gone@example.com")
    expect(page.get_by_text("We've sent a 4-digit code to gone@example.com")).to_be_visible()
    row = "UPDATE worker_delivery SET state = 'bounced', cause = 'mailbox' WHERE recipient = 'gone@example.com'"
    change_row(demo_data, row)
    expect(page.get_by_role("heading", name="Email not delivered")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("status").get_by_text("Our email to gone@example.com came back")).to_be_visible()
    expect(page.get_by_label("New email address")).to_be_visible()


def test_a_code_that_expires_while_its_page_waits_is_told(open_page: OpenPage, demo_data: Path) -> None:
    """The mail has no news then."""
    page = open_page()
    ask(page, "expiring@example.com")
    read_code(page, "expiring@example.com")
    soon = "UPDATE verification_captchamodel SET expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '+2 seconds') "
    change_row(demo_data, soon + "WHERE address = ?", "expiring@example.com")
    page.reload()
    expect(page.get_by_text("That code has expired. Get a new code")).to_be_visible(timeout=20_000)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("worker_delivery SET state = 'pending', attempts = 0, next_attempt_at = {} WHERE recipient = ?", "leaves in"),
        ("verification_captchamodel SET expires_at = {} WHERE address = ?", "It expires in"),
    ],
    ids=["of a mail that waits", "of a code"],
)
def test_the_minutes_on_a_waiting_page_go_on(open_page: OpenPage, demo_data: Path, row: str, words: str) -> None:
    """In silence: a screen reader would repeat the whole sentence each minute."""
    page, address = open_page(), f"{words.split()[1]}@example.com"
    ask(page, address)
    read_code(page, address)
    change = f"UPDATE {row}".format("strftime('%Y-%m-%d %H:%M:%f', 'now', ?)")
    change_row(demo_data, change, "+170 seconds", address)
    page.clock.install()
    page.reload()
    expect(page.get_by_text(f"{words} 3 minutes")).to_be_visible()
    change_row(demo_data, change, "+110 seconds", address)
    page.clock.fast_forward(60_000)
    later = page.get_by_text(f"{words} 2 minutes")
    expect(later).to_be_visible()
    assert later.evaluate("each => each.closest('[role=status]').ariaLive") == "off"


def test_a_bounce_takes_no_address_away_that_is_being_typed(open_page: OpenPage, demo_data: Path) -> None:
    """The page says it, no longer that the mail was sent, and stays."""
    page = open_page()
    ask(page, "typing@example.com")
    expect(page.get_by_text("From", exact=False).first).to_be_visible()
    page.get_by_text("Change email address").click()
    field = page.get_by_label("New email address")
    field.fill("accepted@exam")
    row = "UPDATE worker_delivery SET state = 'bounced', cause = 'mailbox' WHERE recipient = 'typing@example.com'"
    change_row(demo_data, row)
    expect(page.get_by_text("Our email to typing@example.com came back")).to_be_visible(timeout=20_000)
    expect(page.locator(".dot")).to_have_count(0)
    expect(field).to_have_value("accepted@exam")


def test_a_page_that_nobody_sees_asks_nothing(open_page: OpenPage) -> None:
    """And asks at once when it is seen again."""
    page = open_page()
    ask(page, "hidden@example.com")
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    page.wait_for_timeout(500)  # an answer that is on its way
    questions: list[str] = []
    page.on("request", lambda request: questions.append(request.url))
    page.wait_for_timeout(4_000)
    assert questions == []
    with page.expect_request("**/signup/status/**"):
        page.evaluate(hide, False)


def test_a_refused_mail_takes_no_address_away_that_is_being_typed(open_page: OpenPage, demo_data: Path) -> None:
    """The page says that the mail was refused, and stays."""
    page = open_page()
    ask(page, "refused@example.com")
    expect(page.get_by_text("Sent", exact=False).first).to_be_visible()
    page.get_by_text("Change email address").click()
    field = page.get_by_label("New email address")
    field.fill("accepted@exam")
    change_row(demo_data, "UPDATE worker_delivery SET state = 'failed' WHERE recipient = 'refused@example.com'")
    expect(page.get_by_text("We couldn't email refused@example.com")).to_be_visible()
    expect(field).to_have_value("accepted@exam")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_typo_is_put_right_with_one_click(open_page: OpenPage, script: bool) -> None:
    """Offered, not forced. A screen reader, which passes over the question to the field below, reads it there."""
    page = open_page("zh-CN", java_script_enabled=script)
    ask(page, f"typo{script:d}@qq.con", "获取验证码")
    offered = re.compile(f"typo{script:d}@qq.com")
    expect(page.locator("[aria-live=polite]").get_by_text(offered)).to_be_visible()
    expect(page.get_by_role("button", name="发送到此邮箱")).to_have_accessible_description(offered)
    if script:
        expect(page.get_by_label("验证码", exact=True)).to_have_accessible_description(offered)
    page.get_by_role("button", name="发送到此邮箱").click()
    expect(page.get_by_text(f"typo{script:d}@qq.com", exact=False).first).to_be_visible()
    expect(page.get_by_text("qq.con")).to_have_count(0)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_the_language_switches_mid_way(open_page: OpenPage, script: bool) -> None:
    """The draft of each step stays, the password does not, and Enter still goes on."""
    page = open_page("en", java_script_enabled=script)
    email = f"midway{script:d}@example.com"
    ask(page, email)
    code = read_code(page, email)
    page.get_by_label("Code", exact=True).fill(code[:3])
    choose(page, "繁體中文")
    expect(page.get_by_role("heading", name="輸入驗證碼")).to_be_visible()
    expect(page.get_by_label("驗證碼", exact=True)).to_have_value(code[:3])
    page.get_by_label("驗證碼", exact=True).fill(code)
    if not script:
        page.keyboard.press("Enter")
    page.get_by_label("使用者名稱", exact=True).fill(f"midway{script:d}")
    page.get_by_label("密碼", exact=True).fill("correct horse b")
    choose(page, "简体中文")
    expect(page.get_by_label("用户名", exact=True)).to_have_value(f"midway{script:d}")
    expect(page.get_by_label("密码", exact=True)).to_have_value("")
    page.get_by_label("密码", exact=True).fill("correct horse b")
    page.keyboard.press("Enter")
    expect(page.get_by_text("注册成功，已自动登录")).to_be_visible()


def test_the_menu_of_languages_is_for_the_keyboard_too(open_page: OpenPage) -> None:
    """It opens by Enter, closes by Escape with the focus where it was, and when something else gets the focus."""
    page = open_page("en", "/login/", viewport={"width": 320, "height": 568})
    page.get_by_label("Email address or username").fill("keyboard@example.com")
    summary, chinese = page.locator(".languages summary"), page.get_by_role("button", name="简体中文")
    summary.focus()
    page.keyboard.press("Enter")
    expect(chinese).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(chinese).to_be_hidden()
    expect(summary).to_be_focused()
    summary.click()
    page.get_by_role("heading", name="Sign in").click(position={"x": 5, "y": 5})
    expect(chinese).to_be_hidden()
    summary.click()
    page.get_by_label("Password", exact=True).focus()
    expect(chinese).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    while not chinese.evaluate("button => button === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="登录")).to_be_visible()
    expect(page.get_by_label("邮箱或用户名")).to_have_value("keyboard@example.com")


@pytest.mark.parametrize("old", [False, True])
def test_a_password_travels_nowhere_but_where_it_is_for(open_page: OpenPage, old: bool) -> None:
    """
    With script it is not even sent with a change of language, nor with a username that is checked. A password manager
    may have taken the field's `autocomplete` away, as KeePassXC does where it shows a list of its own.
    """
    page = open_page("en")
    if old:  # before Chromium 81
        page.context.add_init_script("delete SubmitEvent.prototype.submitter")
    address = f"travel{int(old)}@example.com"
    ask(page, address)
    page.get_by_label("Code", exact=True).fill(read_code(page, address))
    page.get_by_label("Password", exact=True).fill("correct horse b")
    page.evaluate("document.querySelectorAll('input').forEach(input => input.setAttribute('autocomplete', 'off'))")
    with page.expect_request("**/signup/verify/username/") as request:
        page.get_by_label("Username", exact=True).fill("traveller")
    assert "traveller" in request.value.post_data
    assert "horse" not in request.value.post_data
    with page.expect_request("**/i18n/setlang/**") as request:
        choose(page, "简体中文")
    assert "language=zh-hans" in request.value.post_data
    assert "horse" not in request.value.post_data


@pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES])
def test_the_button_that_shows_a_password_covers_none_of_it(open_page: OpenPage, language: str) -> None:
    """Its word is twice as wide in one language as in another."""
    page = open_page(language, "/login/", viewport={"width": 320, "height": 568})
    for _ in ("show", "hide"):
        room, width = page.locator(".secret").evaluate(
            "part => [parseFloat(getComputedStyle(part.querySelector('input')).paddingInlineEnd),"
            " part.querySelector('.show').offsetWidth + 4]"
        )
        assert room >= width
        page.locator(".show").click()


def test_a_lost_session_begins_again(open_page: OpenPage) -> None:
    """The cookie is gone; the page says so, and leads on."""
    page = open_page()
    ask(page, "lost@example.com")
    page.context.clear_cookies(name="doorcode_signup")
    page.get_by_label("Code", exact=True).fill("1234")
    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_role("heading", name="Sign up")).to_be_visible()


def test_the_next_mail_is_counted_down(open_page: OpenPage, demo_data: Path) -> None:
    """
    From the server's figure; the button waits, says why, and is ready without a reload. What describes it stands still
    while it has the focus: screen readers read each change aloud.
    """
    page = open_page()
    ask(page, "count@example.com")
    row = "UPDATE verification_captchamodel SET requested_at = datetime('now', ?) WHERE address = 'count@example.com'"
    change_row(demo_data, row, "-20 seconds")
    page.clock.install()
    page.reload()
    button, status = page.get_by_role("button", name="Send it again"), page.locator("[data-ready]")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"Get a new email in (3\d|40) s"))
    button.click(force=True)
    assert page.url.endswith("/signup/verify/")
    button.focus()
    said = page.locator("#wait").text_content() or ""
    expect(button).to_have_accessible_description(said)
    page.clock.fast_forward(5_000)
    expect(page.get_by_role("timer")).not_to_have_text(said)
    expect(button).to_have_accessible_description(said)
    change_row(demo_data, row, "-61 seconds")
    page.clock.fast_forward(40_000)
    expect(status).to_have_text("You can get a new email now")
    expect(button).to_have_accessible_description("")
    expect(button).not_to_have_attribute("aria-disabled", "true")
    button.click()
    expect(page.get_by_text("We've sent the email again. The code is the same")).to_be_visible()


def test_a_translated_page_stays_as_it_is_until_there_are_other_words(open_page: OpenPage, demo_data: Path) -> None:
    """A browser that translates puts its words in place of ours, and would have to do it again each time."""
    page = open_page()
    ask(page, "translated@example.com")
    read_code(page, "translated@example.com")
    minutes_ago = "UPDATE worker_delivery SET sent_at = strftime('%Y-%m-%d %H:%M:%f', sent_at, '-2 minutes') "
    change_row(demo_data, minutes_ago + "WHERE recipient = ?", "translated@example.com")
    page.clock.install()
    page.reload()
    page.clock.run_for(1000)  # until each has been written
    page.evaluate(
        """() => {
            window.again = [];
            for (const node of document.querySelectorAll("[data-ago], [data-wait]")) {
                let said;
                const translate = () => {
                    if (node.querySelector("font")) return;
                    if (said === node.textContent) again.push(said);
                    said = node.textContent;
                    node.innerHTML = "<font>in other words</font>";
                };
                translate();
                new MutationObserver(translate).observe(node, { childList: true });
            }
        }"""
    )
    page.clock.run_for(3000)
    assert page.evaluate("again") == []
    expect(page.get_by_text("in other words")).to_have_count(2)


def test_without_script_the_button_is_there_and_the_answer_polite(open_page: OpenPage) -> None:
    """The server says how long to wait. No code sends itself, and none says so."""
    page = open_page(java_script_enabled=False)
    ask(page, "polite@example.com")
    expect(page.get_by_label("Code", exact=True)).not_to_have_accessible_description(re.compile("last digit sends"))
    assert "last digit sends" not in str(page.locator("main").text_content())  # what a text browser shows
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_text(re.compile(r"^Get a new email in \d+ s$"))).to_be_visible()


def test_whoever_did_not_ask_can_say_so(open_page: OpenPage) -> None:
    """From the mail, and in its language; no more arrives; the same link undoes it."""
    page = open_page()
    ask(page, "victim@example.com")
    read_code(page, "victim@example.com")
    victim = open_page("zh-CN", "/demo/inbox/")
    victim.locator("tr", has_text="victim@example.com").get_by_role("link").click()
    victim.locator("pre a", has_text="/signup/mute/").click()
    link = victim.url
    victim.get_by_role("button", name="This wasn't me").click()
    victim.get_by_role("button", name="Yes, stop it").click()
    expect(victim.get_by_role("heading", name="Sign-up email is stopped")).to_be_visible()
    expect(victim).to_have_title("Sign-up email is stopped – Doorcode")
    victim.go_back()  # to the page of the first press, which would be pressed again
    expect(victim.get_by_role("heading", name="Sign-up email is stopped")).to_be_visible()
    again = open_page()
    ask(again, "victim@example.com")
    expect(again.get_by_text("We've sent a 4-digit code to victim@example.com")).to_be_visible()
    assert mails_to(victim, "victim@example.com") == 1
    victim.goto(link)
    victim.get_by_role("button", name="Undo").click()
    victim.get_by_role("button", name="Yes, send it again").click()
    expect(victim.get_by_text("Undone. Sign-up email is sent to this address again")).to_be_visible()


def test_the_keyboard_is_enough(open_page: OpenPage) -> None:
    """
    From the address to the account: one types at once on each page, and the code sends itself, as its field says. What
    a page tells above the field that it opens at belongs to the field, or a screen reader would pass over it.
    """
    page = open_page()
    expect(page.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("keyboard@example.com")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/signup/verify/"))
    code = read_code(page, "keyboard@example.com")
    expect(page.get_by_label("Code", exact=True)).to_be_focused()
    expect(page.get_by_label("Code", exact=True)).to_have_accessible_description(re.compile("last digit sends"))
    page.keyboard.type(code)
    expect(page.get_by_label("Username", exact=True)).to_be_focused()
    expect(page.get_by_label("Username", exact=True)).to_have_accessible_description(
        re.compile("^keyboard.* is confirmed")
    )
    page.keyboard.type("keys")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse b")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Show password")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Create account")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your account is ready")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the main content")).to_be_focused()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_an_error_has_the_focus_wherever_the_reader_had_jumped(open_page: OpenPage, script: bool) -> None:
    """By the link of an error, or past the menu: a fragment in the address bar would keep the focus away."""
    page = open_page("en", "/login/", java_script_enabled=script)
    for jump in (page.get_by_role("link", name="Skip to the main content"), page.locator(".summary a").first):
        jump.press("Enter")
        assert "#" in page.url
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator(".summary")).to_be_focused()


def test_a_script_of_the_site_may_have_any_names(open_page: OpenPage) -> None:
    """Ours keeps its names to itself."""
    page = open_page()
    page.context.add_init_script("const token = 0; var all = []; function say() {}")
    page.goto("/login/")
    expect(page.get_by_role("button", name="Show password")).to_be_visible()


def test_a_waiting_page_learns_that_another_browser_finished(open_page: OpenPage) -> None:
    """
    By itself: first that the address is confirmed, then that the sign-up is finished, and where to sign in. A wrong code
    that the page shows again, and what a password manager fills in unseen, is not being typed.
    """
    page, phone = open_page(), open_page("en", "/demo/inbox/")
    ask(page, "waits@example.com")
    code = read_code(page, "waits@example.com")
    page.get_by_label("Code", exact=True).fill(other_code(code))
    expect(page.get_by_role("alert")).to_be_visible()
    page.evaluate("document.querySelector('#id_new_email').value = 'waits@example.com'")
    phone.reload()
    phone.locator("tr", has_text="waits@example.com").get_by_role("link").click()
    phone.locator("pre a", has_text="/signup/link/").click()
    phone.get_by_label("Username", exact=True).fill("waits")
    phone.get_by_label("Password", exact=True).fill("correct horse b")
    phone.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="This sign-up is finished. Sign in")).to_be_visible(timeout=20_000)
    page.locator("main").get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_code_that_was_begun_keeps_no_page_waiting(open_page: OpenPage, demo_data: Path) -> None:
    """Another browser finished meanwhile: the page goes on as soon as what was typed is gone."""
    page = open_page()
    ask(page, "begun@example.com")
    code = page.get_by_label("Code", exact=True)
    code.fill(read_code(page, "begun@example.com")[:2])
    expect(page.locator("#delivery[data-state=sent]")).to_be_attached()
    row = "UPDATE verification_captchamodel SET proven_at = created_at, redeemed_at = created_at WHERE address = ?"
    with page.expect_response("**/signup/verify/?ref=*"):
        change_row(demo_data, row, "begun@example.com")
    code.fill("")
    expect(page.get_by_role("heading", name="This sign-up is finished. Sign in")).to_be_visible(timeout=30_000)


def test_a_waiting_page_follows_the_link_that_was_opened_beside_it(open_page: OpenPage, demo_data: Path) -> None:
    """It goes on to the next step, where it would say for ever how the mail was when the link was opened."""
    page = open_page()
    ask(page, "beside@example.com")
    read_code(page, "beside@example.com")
    beside = page.context.new_page()
    beside.goto("/demo/inbox/")
    beside.locator("tr", has_text="beside@example.com").get_by_role("link").click()
    beside.locator("pre a", has_text="/signup/link/").click()
    expect(beside.get_by_text("beside@example.com is confirmed")).to_be_visible()
    row = (
        "UPDATE worker_delivery SET state = 'pending', attempts = 2, next_attempt_at = '2999-01-01' WHERE recipient = ?"
    )
    change_row(demo_data, row, "beside@example.com")
    expect(page.get_by_label("Username", exact=True)).to_be_focused(timeout=20_000)


def test_what_is_typed_is_checked_on_the_way(open_page: OpenPage) -> None:
    """
    A username that is taken or malformed, a password that is common; the words are the server's. They take the place
    of those about what was sent before, which stay while nothing is typed.
    """
    page = open_page()
    ask(page, "checks@example.com")
    page.get_by_label("Code", exact=True).fill(read_code(page, "checks@example.com"))
    username, password = page.get_by_label("Username", exact=True), page.get_by_label("Password", exact=True)
    page.get_by_role("button", name="Create account").click()
    expect(page.locator(".field.wrong")).to_have_count(2)
    password.focus()
    password.press("Tab")
    username.press_sequentially("a b")
    expect(page.get_by_text("in the username")).to_be_visible()
    expect(username).not_to_have_accessible_description(re.compile("Enter a username"))
    expect(password).to_have_accessible_description(re.compile("Enter a password"))
    expect(password).to_have_attribute("aria-invalid", "true")
    username.fill("checks")
    expect(page.get_by_text("in the username")).to_have_count(0)
    expect(page.locator(".field.wrong")).to_have_count(1)
    password.press_sequentially("password1")
    expect(page.get_by_text("Choose a password that is harder to guess")).to_be_visible()
    password.fill("short")
    password.blur()
    expect(page.get_by_text("Password must be at least 8 characters")).to_be_visible()
    expect(password).to_have_accessible_description(re.compile("Password must be at least 8 characters"))
    expect(password).to_have_attribute("aria-invalid", "true")
    password.fill("correct horse b")
    expect(page.get_by_text("Password must be")).to_have_count(0)
    expect(password).not_to_have_attribute("aria-invalid", "true")
    expect(password).not_to_have_accessible_description(re.compile("Password must be"))


def test_what_is_wrong_with_a_username_is_read_aloud_once(open_page: OpenPage) -> None:
    """By its status, while it is typed; it describes the field from when that is left, for whoever comes back."""
    page = open_page()
    ask(page, "once@example.com")
    page.get_by_label("Code", exact=True).fill(read_code(page, "once@example.com"))
    username = page.get_by_label("Username", exact=True)
    username.press_sequentially("a b")
    expect(page.locator("[aria-live=polite]").filter(has_text="in the username")).to_be_visible()
    expect(username).to_have_accessible_description("once@example.com is confirmed 2–20 letters, digits, - or _")
    username.blur()
    expect(username).to_have_accessible_description(re.compile("in the username"))
    describe = "each => each.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).role)"
    assert "status" not in username.evaluate(describe)  # Firefox would leave it out


def test_a_form_can_be_sent_again_after_a_request_that_led_nowhere(open_page: OpenPage) -> None:
    """
    The connection fails, the page stays: a little later its button works. Not before an answer would be there where each
    way takes a second: a second press throws it away, and with the answer to the last step the session. Meanwhile it
    looks pressed, also where there is no pointer.
    """
    page = open_page()
    page.clock.install()
    page.reload()
    page.get_by_role("textbox").fill("nowhere@example.com")
    page.route("**/signup/", lambda route: route.fulfill(status=204))
    with page.expect_response("**/signup/"):
        page.get_by_role("textbox").press("Enter")
    page.unroute("**/signup/")
    page.clock.fast_forward(11_000)  # milliseconds
    expect(page.get_by_role("button", name="Get a code")).not_to_have_css("opacity", "1")
    page.get_by_role("button", name="Get a code").click(force=True)
    assert page.url.endswith("/signup/")
    page.clock.fast_forward(5_000)
    expect(page.get_by_role("button", name="Get a code")).to_have_css("opacity", "1")
    expect(page.get_by_role("button", name="Get a code")).not_to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Get a code").click()
    expect(page.get_by_text("code to nowhere@example.com")).to_be_visible()


def test_enter_that_ends_a_composition_sends_nothing(open_page: OpenPage) -> None:
    """Safari says by the key code 229 that the key was for the input method."""
    page = open_page()
    pressed = """code => !document.querySelector("input[type=email]").dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", keyCode: code, bubbles: true, cancelable: true }))"""
    assert page.evaluate(pressed, 229)
    assert not page.evaluate(pressed, 13)


def compose(page: Page, *parts: str) -> None:
    """Type with an input method, with a pause after each part; the last one is what it becomes."""
    session = page.context.new_cdp_session(page)
    for part in parts:
        session.send("Input.imeSetComposition", {"text": part, "selectionStart": len(part), "selectionEnd": len(part)})
        page.wait_for_timeout(700)  # longer than the script waits for more
    session.send("Input.insertText", {"text": parts[-1]})


def test_what_is_being_composed_is_not_typed_before_it_is_chosen(open_page: OpenPage) -> None:
    """A code in full-width digits is sent at the end, and not before; a syllable on the way is no short username."""
    page = open_page()
    ask(page, "compose@example.com")
    code = "".join(chr(ord("０") + int(digit)) for digit in read_code(page, "compose@example.com"))
    page.get_by_label("Code", exact=True).focus()
    compose(page, code[:2], code)
    username = page.get_by_label("Username", exact=True)
    expect(username).to_be_focused()
    said = "() => document.getElementById('id_username_check')?.textContent ?? ''"
    page.evaluate(f"window.heard = []; setInterval(() => heard.push(({said})()), 50)")
    compose(page, "ㅎ", "하", "한글")
    page.wait_for_timeout(700)
    assert set(page.evaluate("heard")) == {""}
    username.fill("")
    compose(page, "한")
    expect(page.get_by_text("Username must be between 2 and 20 characters")).to_be_visible()


def test_what_describes_the_code_is_read_aloud_in_words(open_page: OpenPage) -> None:
    """A space parts the reference from the words that the style sheet adds: a screen reader would read one word."""
    page = open_page()
    ask(page, "aloud@example.com")
    expect(page.get_by_label("Code", exact=True)).to_be_visible()
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    told = [
        node["description"]["value"] for node in tree if node["role"]["value"] == "textbox" and "description" in node
    ]
    assert re.search(r"reference \w{4} The last digit sends the form$", told[0])


def test_the_page_of_the_api_is_whole_on_paper(open_page: OpenPage) -> None:
    """A long line of an example goes on in the next one, as paper does not scroll."""
    page = open_page(path="/api/docs/", viewport={"width": 640, "height": 900})  # A4 within its margins, or narrower
    page.emulate_media(media="print")
    wider = "() => [...document.querySelectorAll('pre')].filter(each => each.scrollWidth > each.clientWidth).length"
    assert page.evaluate(wider) == 0


def test_a_press_that_leaves_a_short_password_is_not_lost(open_page: OpenPage) -> None:
    """What is said about the password then moves the button away only after the press."""
    page = open_page()
    ask(page, "press@example.com")
    fill(page, read_code(page, "press@example.com"), "pressed")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Create account").click(delay=100)  # milliseconds, as a finger takes
    expect(page.get_by_role("alert")).to_contain_text("Password must be at least 8 characters")


def test_an_account_is_deleted_behind_its_password(open_page: OpenPage) -> None:
    """And its name is free again."""
    page = open_page()
    ask(page, "leaves@example.com")
    fill(page, read_code(page, "leaves@example.com"), "leaves")
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("link", name="Delete my account").click()
    page.get_by_label("Current password", exact=True).fill("correct horse b")
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_text("Your account is deleted")).to_be_visible()
    page.goto("/signup/")
    ask(page, "returns@example.com")
    fill(page, read_code(page, "returns@example.com"), "leaves")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_text("Your account is ready")).to_be_visible()


@pytest.mark.parametrize("path", ["/signup/", "/signup/verify/", "/login/", "/password-reset/"])
def test_a_page_is_light_and_stands_still(open_page: OpenPage, path: str) -> None:
    """At most 40 KB and 6 requests, to this site alone, uncompressed as it is; nothing shifts, the live state included."""
    page = open_page(viewport={"width": 390, "height": 844})
    if path == "/signup/verify/":
        ask(page, f"light{time.monotonic_ns()}@example.com")
    seen: list[Request] = []
    page.on("requestfinished", lambda request: seen.append(request))  # noqa: PLW0108 (Playwright takes no builtin)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert 3 <= len(seen) <= 6
    sizes = [request.sizes() for request in seen]
    assert sum(size["responseHeadersSize"] + size["responseBodySize"] for size in sizes) <= 40_960
    origin = page.evaluate("location.origin")
    assert all(request.url.startswith(origin) for request in seen)
    page.wait_for_timeout(1_500)
    shift = """() => new Promise(done => { let sum = 0;
        new PerformanceObserver(list => { for (const each of list.getEntries()) sum += each.value; })
            .observe({ type: "layout-shift", buffered: true });
        setTimeout(() => done(sum), 100); })"""
    assert page.evaluate(shift) < 0.02
