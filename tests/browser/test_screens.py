"""
Every screen in Chromium, in each language and theme: accessible, and as wide as its window. With SHOTS in the
environment (`make screenshots`) each is written to build/screenshots for people to look at.
"""

import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import override_settings
from django.urls import reverse
from django.utils.text import capfirst
from playwright.sync_api import Browser, Page

from core import brand
from tests import pseudo
from tests.browser.conftest import SHOTS, violations
from tests.gallery import NAMES, html_of

pytestmark = [pytest.mark.chromium, pytest.mark.django_db]

EXAMINED = ("en", "zh-hans")  # by axe-core: what it finds follows from the templates, not from the words
WHOLE = (*EXAMINED, "zh-hant")  # the languages whose every screen is laid out at every width
OTHERS = [code for code, _ in settings.LANGUAGES if code not in WHOLE]
FULLEST = (  # the screens with the most words, of each kind
    "signup",
    "verify_sent",
    "verify_failed",
    "verify_held_by_a_limit",
    "verify_link_only",
    "register_shapes",
    "login_error",
    "account_welcome",
    "account_delete_error",
    "password_change_error",
    "reset_confirm_error",
    "mute",
    "mute_undo_confirm",
    "error_403",
    *(name for name in NAMES if name.startswith("mail_")),
)
THEMES = ("light", "dark")
WIDTHS = (1280, 390, 320)  # pixels
TEXT, ENLARGED = 16, 32  # pixels: a browser's default size of text, and 200 % of it (WCAG 1.4.4)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RULES = [*WCAG, "best-practice"]
RULES_OF_MAILS = WCAG  # a mail is a part of its reader's page: no landmark, no heading of its own
BY_COLOUR = ["color-contrast", "link-in-text-block"]  # the rules whose finding may differ in the dark
SHIFT = """() => new Promise(done => { let sum = 0;
    new PerformanceObserver(list => { for (const each of list.getEntries()) sum += each.value; })
        .observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 150); })"""

# Lines that no typesetter would leave: a last line of one character, a line that begins with a closing mark, with a small
# kana or ー, or with the unit of the number before, half of a word (but for addresses, and scripts that set no spaces
# between words), half of a clause in a Chinese heading.
BAD_LINES = """() => {
    const bad = [], blocks = "main :is(h1, h2, p, li, label, summary, button, dt, dd, td, .main), .bar :is(.brand, summary), .card p";
    for (const block of document.querySelectorAll(blocks)) {
        if (block.querySelector("h1, h2, p, li, label, td") || block.closest(".unseen") || !block.checkVisibility()) continue;
        const lines = [], texts = document.createTreeWalker(block, NodeFilter.SHOW_TEXT), range = document.createRange();
        let whole = "", ends = new Set();
        for (let node; (node = texts.nextNode()); whole += " ")
            for (let at = 0; at < node.length; at++) {
                range.setStart(node, at), range.setEnd(node, at + 1);
                const box = range.getClientRects()[0];
                if (!box?.width) { whole += " "; continue; }
                if (!lines.length || box.top > lines.at(-1).bottom - 2)
                    ends.add(whole.length), lines.push({ bottom: box.bottom, text: "" });
                lines.at(-1).text += node.data[at], whole += node.data[at];
            }
        const read = lines.map(line => line.text.trim()), shown = read.join(" / ");
        const last = (read.at(-1) ?? "").replace(/[\\p{P}\\s]/gu, "");
        if (read.length > 1 && [...last].length < 2) bad.push(`one character: ${shown}`);
        for (const [number, text] of read.slice(1).entries()) {
            if (/^[\\p{Pe}\\p{Pf}，。、；：？！]/u.test(text)) bad.push(`a mark begins: ${shown}`);
            if (/^[ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮー]/u.test(text)) bad.push(`a small kana begins: ${shown}`);
            if (/\\d$/.test(read[number]) && /^(\\p{Script=Han}|s\\b|min\\b)/u.test(text)) bad.push(`a unit begins: ${shown}`);
            if (block.matches("h1:lang(zh), h2:lang(zh)") && /\\p{Script=Han}$/u.test(read[number]) && /^\\p{Script=Han}/u.test(text))
                bad.push(`a clause in two: ${shown}`);
        }
        for (const word of whole.matchAll(/[\\p{L}\\p{N}@._'’]+/gu))
            if (!/@|[\\p{Script=Han}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}]/u.test(word[0]))
                for (let at = 1; at < word[0].length; at++)
                    if (ends.has(word.index + at)) bad.push(`a word in two: ${shown}`);
    }
    return bad;
}"""

Show = Callable[[str], Page]


class Site(BaseHTTPRequestHandler):
    """
    A site of one page, `html`, and of the static files and axe-core, which a browser may keep: parsed once, they cost
    half.
    """

    html = ""
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet

    def do_GET(self) -> None:
        if self.path.startswith("/static/"):
            name = self.path.removeprefix("/static/")
            self.answer(Path(finders.find(name)).read_bytes(), guess_type(name)[0], "max-age=3600")
        elif self.path.startswith(reverse("brand_css")):
            self.answer(brand.style_sheet(brand.color()).encode(), "text/css")
        elif self.path == "/axe.js":
            self.answer(Axe().axe_script.encode(), "text/javascript", "max-age=3600")
        elif self.path == "/screen/":
            self.answer(Site.html.encode(), "text/html; charset=utf-8")
        else:
            self.answer(b"{}", "application/json")

    def answer(self, body: bytes, content_type: str, cache: str = "no-store") -> None:
        self.send_response(200)
        for name, value in (("Content-Type", content_type), ("Content-Length", len(body)), ("Cache-Control", cache)):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def canvas(browser: Browser) -> Iterator[Page]:
    """One page for all screens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context(base_url=f"http://127.0.0.1:{server.server_port}", device_scale_factor=1)
        yield context.new_page()
        context.close()
        server.shutdown()


@pytest.fixture
def show(canvas: Page) -> Show:
    """Show HTML as if the site had answered with it, its style sheet and script included."""

    def show(html: str) -> Page:
        Site.html = html
        canvas.goto("/screen/")
        return canvas

    return show


def look_at(page: Page, name: str, language: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for theme in THEMES if os.environ.get("SHOTS") else ():
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{name}.{language}.{theme}.{width}.png", full_page=True)


def overflow_enlarged(page: Page) -> int:
    """How many pixels a small phone has to scroll sideways when the browser's text size is set to 200 %."""
    page.set_viewport_size({"width": min(WIDTHS), "height": 800})
    browser = page.context.new_cdp_session(page)
    browser.send("Page.setFontSizes", {"fontSizes": {"standard": ENLARGED}})
    try:
        return int(page.evaluate("document.documentElement.scrollWidth")) - min(WIDTHS)
    finally:
        browser.send("Page.setFontSizes", {"fontSizes": {"standard": TEXT}})
        browser.detach()


def examine(page: Page, rules: list[str]) -> None:
    """WCAG 2.2 AA by axe-core on a small phone, light and dark; nothing moves while it loads."""
    # On a busy machine the parser may pause inside the header, whose menu then grows by its icon: 0.002 at the most.
    assert page.evaluate(SHIFT) < 0.005
    page.set_viewport_size({"width": min(WIDTHS), "height": 800})
    page.add_script_tag(url="/axe.js")
    for theme, examined in zip(THEMES, (rules, BY_COLOUR), strict=True):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert violations(page, examined) == []


def bad_lines(page: Page, name: str) -> list[str]:
    """All of a page; of a mail, whose reader's program breaks the lines, those that our style sheet can mend."""
    mended = ("one", "a small kana")
    return [each for each in page.evaluate(BAD_LINES) if each.startswith(mended) or not name.startswith("mail_")]


@pytest.mark.parametrize("language", WHOLE)
@pytest.mark.parametrize("name", NAMES)
def test_a_screen_is_accessible_and_fits(show: Show, name: str, language: str) -> None:
    """Wide and narrow, and with text twice as large: nothing is wider than the window, no line is broken badly."""
    page = show(html_of(name, language))
    if language in EXAMINED:
        examine(page, RULES_OF_MAILS if name.startswith("mail_") else RULES)
    for width in WIDTHS:
        look_at(page, name, language, width)
        assert bad_lines(page, name) == []
    assert overflow_enlarged(page) == 0


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", NAMES if os.environ.get("SHOTS") else FULLEST)
def test_a_screen_fits_in_each_language(show: Show, name: str, language: str) -> None:
    """No word is too long for a small phone, be its text twice as large; no line is broken badly."""
    page = show(html_of(name, language))
    for width in (1280, 320) if os.environ.get("SHOTS") else (320,):
        look_at(page, name, language, width)
        assert bad_lines(page, name) == []
    assert overflow_enlarged(page) == 0


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mail_")])
def test_a_long_address_in_a_mail_fits_where_overflow_wrap_is_unknown(
    show: Show, settings, name: str, language: str
) -> None:
    """As in Gmail, Outlook.com and Yahoo, which know its old name alone; and in a quoted mail, without our style sheet."""
    settings.SITE_URL = f"https://{'accounts' * 6}.example.com"
    settings.SITE_NAME = "Donaudampfschifffahrtsgesellschaft" * 2
    html = html_of(name, language)
    page = show(html.partition("<style>")[0] + html.partition("</style>")[2].replace("overflow-wrap:", "unknown:"))
    page.set_viewport_size({"width": min(WIDTHS), "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == min(WIDTHS)


@pytest.mark.parametrize("name", NAMES)
def test_a_screen_fits_right_to_left(show: Show, name: str) -> None:
    """In the pseudo-language, from the right; its texts are long ones."""
    with pseudo.spoken(right_to_left=True):
        page = show(html_of(name, pseudo.CODE))
    for width in WIDTHS:
        look_at(page, name, "rtl", width)


@pytest.mark.parametrize("language", ["pt-br", "ar"])
def test_a_long_name_and_a_long_sender_fit_a_small_phone(show: Show, language: str) -> None:
    """A site has its own name and its own address in From, neither of which has to have a place to break."""
    with override_settings(
        SITE_NAME="Registrierungsportalverwaltung",
        DEFAULT_FROM_EMAIL="Doorcode <no-reply@registration.municipality.example>",
    ):
        page = show(html_of("verify_sent", language))
    look_at(page, "long_names", language, 320)


def test_the_colour_of_a_site_is_drawn(show: Show) -> None:
    """By which `make screenshots` and axe-core judge it."""
    with override_settings(BRAND_COLOR="#0b7a55"):
        page = show(html_of("login", "en"))
        page.emulate_media(color_scheme="light")
        assert (
            page.locator("main button.main").evaluate("each => getComputedStyle(each).backgroundColor")
            == "rgb(11, 122, 85)"
        )


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_large_logo_fits_a_small_phone(show: Show, settings, tmp_path: Path, language: str) -> None:
    """In pages and mails, at any size of its file: as an image has no other by default."""
    (tmp_path / "brand").mkdir()
    for name in ("logo", "mail_logo"):
        picture = "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='180'/>"
        (tmp_path / f"brand/{name}.html").write_text(f'<img src="data:image/svg+xml,{quote(picture)}" alt="School">')
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    page = show(html_of("login", language))
    look_at(page, "large_logo", language, 320)
    box = page.locator(".brand img").bounding_box()
    assert box["width"] == pytest.approx(box["height"] * 5)
    look_at(show(html_of("mail_code", language)), "mail_large_logo", language, 320)


def test_the_longest_code_fits_a_small_phone(show: Show) -> None:
    """In its mail, in one piece."""
    with override_settings(CAPTCHA_LENGTH=10):
        page = show(html_of("mail_code", "en"))
    look_at(page, "mail_long_code", "en", 320)
    assert page.locator(".code").bounding_box()["height"] < 72


def test_the_menu_of_languages_fits_a_small_phone(show: Show) -> None:
    """One row beside the name at 320 pixels; open, it moves nothing and can be read to its end."""
    page = show(html_of("login", "pt-br"))
    page.set_viewport_size({"width": 320, "height": 568})
    brand, menu, button = page.locator(".brand"), page.locator(".languages summary"), page.locator(".languages button")
    header = page.locator(".bar").bounding_box()
    assert header["height"] < 72
    assert brand.bounding_box()["x"] + brand.bounding_box()["width"] < menu.bounding_box()["x"]
    menu.click()
    assert page.locator(".bar").bounding_box() == header
    assert button.all_inner_texts() == [capfirst(name) for _, name in settings.LANGUAGES]
    assert page.locator(".languages [aria-current=true]").get_attribute("lang") == "pt-br"
    button.last.scroll_into_view_if_needed()
    box = button.last.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320
    assert box["y"] + box["height"] <= 568
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert violations(page, RULES) == []
    look_at(page, "menu", "pt-br", 320)


@pytest.mark.parametrize("language", ["ko", "zh-hant"])
def test_each_language_in_the_menu_has_a_font_of_its_own(show: Show, language: str) -> None:
    """A font of another one draws its name in the other way, or lacks half of it."""
    page = show(html_of("login", language))
    page.locator(".languages summary").click()
    browser = page.context.new_cdp_session(page)
    browser.send("DOM.enable"), browser.send("CSS.enable")
    root = browser.send("DOM.getDocument")["root"]["nodeId"]
    used = {}
    for code in ("ja", "ko", "zh-hans", "zh-hant"):
        button = {"nodeId": root, "selector": f".languages [lang={code}]"}
        fonts = browser.send("CSS.getPlatformFontsForNode", browser.send("DOM.querySelector", button))["fonts"]
        used[code] = max(fonts, key=lambda font: font["glyphCount"])["familyName"][-2:]
    browser.detach()
    assert used == {"ja": "JP", "ko": "KR", "zh-hans": "SC", "zh-hant": "TC"}


def test_the_button_in_a_password_that_the_browser_filled_in_is_read_on_its_colour(show: Show) -> None:
    """In the dark Firefox makes the field olive and its text white: on that the colour of links has a contrast of 2.6."""
    page = show(html_of("login", "en"))
    browser = page.context.new_cdp_session(page)
    browser.send("DOM.enable"), browser.send("CSS.enable")
    root = browser.send("DOM.getDocument")["root"]["nodeId"]
    field = browser.send("DOM.querySelector", {"nodeId": root, "selector": "#id_password"})
    browser.send("CSS.forcePseudoState", {**field, "forcedPseudoClasses": ["autofill"]})
    colours = "['.show', 'main'].map(each => getComputedStyle(document.querySelector(each)).color)"
    shown, text = page.evaluate(colours)
    browser.detach()
    assert shown == text


def test_the_dot_of_what_is_over_is_grey_and_still(show: Show) -> None:
    """Only what goes on has the colour of the brand and pulses."""
    page = show(html_of("verify_sent", "en"))
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    look = "(dot, state) => { dot.className = `dot ${state}`; const style = getComputedStyle(dot); return [style.backgroundColor, style.animationName]; }"
    shown = {state: page.locator(".dot").evaluate(look, state) for state in ("queued", "sent", "failed", "expired")}
    assert shown["expired"] == ["rgb(125, 135, 152)", "none"]
    assert shown["queued"] == ["rgb(29, 95, 209)", "pulse"]
    assert len({colour for colour, _ in shown.values()}) == 4


def test_the_rules_find_what_they_should(show: Show) -> None:
    """Else a clean report would mean nothing."""
    page = show('<!doctype html><html lang="en"><title>x</title><main><h1>x</h1><input><img src="/x.png">')
    assert {"label", "image-alt"} <= {each["id"] for each in violations(page, RULES)}
    page = show("<!doctype html><main style='width: 4em; font: 16px monospace; overflow-wrap: anywhere'>"
                "<p>exaggerated<p>一二三四五<p>一二 4 天内<p>你好。<p>กรุณาตรวจสอบอีเมล</main>")  # fmt: skip
    assert [text.partition(":")[0] for text in page.evaluate(BAD_LINES)] == [
        "a word in two",
        "one character",
        "a unit begins",
    ]
    page = show("<!doctype html><p id=a>text<script>setTimeout(() => a.before(document.createElement('h1')), 50)</script>"
                "<style>h1{height:300px}</style>")  # fmt: skip
    assert page.evaluate(SHIFT) > 0.05
