"""
The admin in Chromium, under the site's own policy: no page complains, the dashboard is accessible in light and dark.
With SHOTS in the environment screenshots are written to build/screenshots.
"""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from core import clock
from signup.admin import base
from signup.admin.logs import DeliveryAdmin
from signup.models import User
from tests.browser.conftest import PATIENCE, SHOTS, violations
from tests.browser.test_screens import RULES_OF_MAILS, THEMES
from tests.factories import make_captcha, make_delivery, make_muted, make_user
from verification.models import CaptchaModel, SiteGuesses
from worker.models import Delivery, Suppression

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

MAILS, SIGNUPS, ACCOUNTS = "/admin/worker/delivery/", "/admin/verification/captchamodel/", "/admin/signup/user/"
DOMAINS = ("example.com", "qq.com", "163.com", "gmail.com", "outlook.com", "corp.example")
Open = Callable[..., Page]


def a_busy_day() -> None:
    """Requests and mails of the last day, of all kinds and in all states."""
    now = clock.now()
    for number in range(240):
        begun = now - timedelta(minutes=number * 5.5)
        wait = timedelta(seconds=0.4 + number % 7 * (40 if 60 < number < 90 else 1))
        sent, proven = number % 12 > 0, number % 12 > 2
        sign_up = CaptchaModel.objects.create(
            handle=f"handle{number}", address=f"person{number}@{DOMAINS[number * number % 6]}", nonce="n", key_id="k",
            length=4 if number % 30 else 8, attempts=number % 6, created_at=begun, requested_at=begun,
            first_accepted_at=begun + wait if sent else None, expires_at=begun + timedelta(minutes=10) if sent else None,
            proven_at=begun + timedelta(minutes=1) if proven else None, proven_by="code" if proven else "",
            redeemed_at=begun + timedelta(minutes=2) if number % 12 > 3 else None,
        )  # fmt: skip
        state = "sent" if sent else ("pending", "failed", "expired", "failed")[number // 12 % 4]
        if sent and number % 20 == 7:
            state = "complained" if number == 127 else "bounced"
        replies = {
            "sent": "250 2.0.0 OK queued",
            "bounced": "550 5.1.1 no such user here",
            "complained": "abuse",
            "failed": "550 5.1.1 no such user here",
            "expired": "superseded",
        }
        Delivery.objects.create(
            kind="code", recipient=sign_up.address, language=("en", "zh-hans", "zh-hans", "zh-hant")[number % 4],
            sign_up=sign_up, generation=1, state=state, attempts=1 + number % 2, created_at=begun, next_attempt_at=begun,
            mailbox=sign_up.address, admitted_at=begun + timedelta(minutes=number % 9 // 8),
            sent_at=begun + wait if sent else None, last_reply=replies.get(state, "451 4.7.1 greylisted, try later"),
        )  # fmt: skip
    SiteGuesses.objects.create(hour=now.replace(minute=0, second=0, microsecond=0), guesses=37)
    make_user(), make_muted("muted@example.com")
    Suppression.objects.create(address="bounced@example.com", reason="bounced", times=2, until=now + timedelta(days=7))


@pytest.fixture
def open_admin(browser: Browser, live_server) -> Iterator[Open]:
    """Open a page as a superuser; its console must stay silent."""
    client = Client()
    client.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_admin(path: str, language: str = "en", width: int = 1280, **options: object) -> Page:
        contexts.append(browser.new_context(locale=language, base_url=live_server.url, **options))
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        contexts[-1].add_cookies([cookie])
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.set_viewport_size({"width": width, "height": 800})
        page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        assert page.goto(path).ok
        return page

    yield open_admin
    for context in contexts:
        context.close()
    assert [each for each in complaints if "Autofocus processing was blocked" not in each] == []  # who is first, wins


def look(page: Page, name: str) -> None:
    if os.environ.get("SHOTS"):
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"admin_{name}.png", full_page=True)


PATHS = {
    "index": "/admin/", "mails": MAILS, "signups": SIGNUPS, "accounts": ACCOUNTS, "new_account": f"{ACCOUNTS}add/",
    "suppressions": "/admin/worker/suppression/", "guesses": "/admin/verification/addressguesses/",
    "group": "/admin/auth/group/add/",
}  # fmt: skip


def all_paths() -> dict[str, str]:
    """The lists and forms, and the page of the newest row of each."""
    newest = {"mail": (MAILS, Delivery), "signup": (SIGNUPS, CaptchaModel), "account": (ACCOUNTS, User)}
    return PATHS | {name: f"{of}{model.objects.latest('pk').pk}/change/" for name, (of, model) in newest.items()}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_no_page_of_the_admin_complains(open_admin: Open, language: str) -> None:
    """Lists, forms, a confirmation and the dashboard, wide and narrow: nothing that the policy forbids."""
    a_busy_day()
    page = open_admin("/admin/dashboard/?span=7d", language)
    for name, path in all_paths().items():
        assert page.goto(path).ok
        for width in (1280, 800):
            page.set_viewport_size({"width": width, "height": 800})
            look(page, f"{name}.{language}.{width}")
    page.goto(f"{MAILS}?state__exact=failed")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("send_again")
    page.locator(".actions button").click()
    page.wait_for_selector("[name=confirmed]", state="attached")
    look(page, f"confirmation.{language}")
    page.locator(".submit-row [type=submit]").click()
    page.wait_for_selector(".messagelist")
    look(page, f"message.{language}")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_dashboard_is_accessible_and_fits(open_admin: Open, language: str) -> None:
    """WCAG 2.2 AA by axe-core, light and dark, wide and narrow."""
    a_busy_day()
    page = open_admin("/admin/dashboard/", language)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.reload()  # the admin's colours change slowly
        for width in (1280, 800, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert min(page.locator(".bar").evaluate_all("all => all.map(each => each.offsetWidth)")) > 64
            look(page, f"dashboard.{language}.{theme}.{width}")
        assert violations(page, RULES_OF_MAILS, context="#content") == []
    page.emulate_media(forced_colors="active")  # the chart's own colours stay, and so do those of its legend
    expect(page.locator(".key").first).not_to_have_css("background-color", "rgb(0, 0, 0)")
    expect(page.locator(".key").first).not_to_have_css("background-color", "rgb(255, 255, 255)")
    page.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    assert page.locator("details table").first.locator("tbody tr").count() == 24


@pytest.mark.parametrize("theme", THEMES)
def test_the_pages_of_the_admin_are_accessible(open_admin: Open, theme: str) -> None:
    """Lists with their states and filters, forms, a confirmation, the menu of languages; WCAG 2.2 AA by axe-core."""
    a_busy_day()
    page = open_admin("/admin/", bypass_csp=True)  # axe-core tries inline styles on some pages
    page.emulate_media(color_scheme=theme)  # before the pages that are checked, as the admin's colours change slowly
    theirs = {"exclude": [[".help-tooltip"]]}  # the icons of Django's own selector, which have a forbidden aria-label
    for path in all_paths().values():
        page.goto(path)
        page.locator(".languages summary").click()
        assert violations(page, RULES_OF_MAILS, context=theirs) == []
    page.goto(f"{MAILS}?state__exact=failed")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("send_again")
    page.locator(".actions button").click()
    page.wait_for_selector("[name=confirmed]", state="attached")
    assert violations(page, RULES_OF_MAILS) == []


@pytest.mark.parametrize("path", [MAILS, SIGNUPS])
@pytest.mark.parametrize("language", ["en", "zh-CN", "zh-TW"])
def test_the_time_of_a_row_is_seen_without_scrolling(open_admin: Open, language: str, path: str) -> None:
    """On a window of 1280 pixels with menu and filters, also beside a long address."""
    a_busy_day()
    CaptchaModel.objects.update(address=f"{'long.name' * 7}@{'mail.' * 8}example.com")
    Delivery.objects.update(recipient=f"{'long.name' * 7}@{'mail.' * 8}example.com")
    page = open_admin(path, language)
    table, time = page.locator("#changelist-form .results"), page.locator("#result_list td.field-created").first
    look(page, f"time{path.replace('/', '_')}.{language}")
    right = [each.bounding_box()["x"] + each.bounding_box()["width"] for each in (table, time)]
    assert right[1] <= right[0]


def test_no_page_of_the_admin_is_wider_than_its_window(open_admin: Open) -> None:
    """From 400 % zoom on a desktop (WCAG 1.4.10) over phones and tablets to a whole window; a wide list has a scroll bar of its own."""
    a_busy_day()
    page = open_admin("/admin/dashboard/")
    wide = []
    for path in ("/admin/dashboard/", *all_paths().values()):
        page.goto(path)
        for width in (320, 390, 768, 1024, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            shown = page.evaluate("document.documentElement.scrollWidth")
            wide += [f"{path}: {shown} of {width}"] if shown > width else []
    assert wide == []


def test_each_page_of_a_long_list_is_in_reach_on_a_phone(open_admin: Open, monkeypatch) -> None:
    """And what is said beside the pages is not one word wide."""
    a_busy_day()
    monkeypatch.setattr(base, "MAX_ROWS", 200)
    monkeypatch.setattr(DeliveryAdmin, "list_per_page", 5)
    pages = open_admin(f"{MAILS}?p=20", width=390).locator(".paginator")
    expect(pages).to_contain_text("The first 200")
    expect(pages.get_by_role("link", name="40")).to_be_in_viewport()
    assert pages.evaluate("each => each.scrollWidth <= each.clientWidth && each.clientHeight < 150")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_address_is_read_to_its_end(open_admin: Open, width: int) -> None:
    """In headings, fields, lists, charts and confirmations: it makes no page wider, and nothing cuts it off."""
    address = f"{'long.name' * 7}@{'mailboxes' * 6}.{'companies' * 6}.example.com"
    sign_up = make_captcha(address)
    mail = make_delivery(sign_up, recipient=address)
    Delivery.objects.update(state="failed"), make_user("long", address)
    page = open_admin("/admin/dashboard/", width=width)

    def fits(*, within: str = "html") -> bool:
        assert address.partition("@")[2] in page.locator("#content").inner_text()
        return all(page.locator(within).evaluate_all("all => all.map(each => each.scrollWidth <= each.clientWidth)"))

    assert fits(within="#domains + .scroll tbody th")
    assert page.locator("#domains + .scroll tbody th").bounding_box()["width"] < 200
    for path in (f"{SIGNUPS}{sign_up.pk}/change/", f"{MAILS}{mail.pk}/change/"):
        page.goto(path)
        assert fits(within="html, .form-row")
    for path, action in ((MAILS, "send_again"), (ACCOUNTS, "disable")):
        page.goto(path)
        assert page.locator(f"#result_list [class^=field-]:has-text('{address}')").bounding_box()["width"] < width
        page.locator("#action-toggle").check()
        page.locator("select[name=action]").select_option(action)
        page.locator(".actions button").click()
        page.wait_for_selector("[name=confirmed]", state="attached")
        assert fits()


OVERLAP = """tools => {
    const words = document.createRange();
    words.selectNodeContents(document.querySelector("#content > h2"));
    const box = tools.getBoundingClientRect();
    return [...words.getClientRects()].some(({left, right, top, bottom}) =>
        left < box.right && right > box.left && top < box.bottom && bottom > box.top);
}"""


def test_no_button_lies_over_a_long_heading(open_admin: Open) -> None:
    """That of the history, beside an address of any length."""
    page, overlaps = open_admin(SIGNUPS), []
    for length in range(20, 255, 39):
        sign_up = make_captcha(f"{'x' * (length - 12)}@example.com")
        page.goto(f"{SIGNUPS}{sign_up.pk}/change/")
        for width in (390, 800, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            overlaps += [(length, width)] if page.locator(".object-tools").evaluate(OVERLAP) else []
    assert overlaps == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_chart_begins_at_the_latest_hour(open_admin: Open, width: int) -> None:
    """Where it is wider than its window; the earlier hours are a scroll away."""
    a_busy_day()
    page = open_admin("/admin/dashboard/", width=width)
    plots = page.locator(".latest").all()
    assert len(plots) == 2
    for plot in plots:
        edges = "box => [box.getBoundingClientRect(), box.firstElementChild.getBoundingClientRect()].map(rect => rect.right)"
        box, drawing = plot.evaluate(edges)
        assert drawing <= box + 1
        plot.evaluate("box => box.scrollBy(-9999, 0)")
        lefts = edges.replace("right", "left")
        box, drawing = plot.evaluate(lefts)
        assert drawing >= box - 1
