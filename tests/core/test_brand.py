"""A site's own look."""

import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.contrib.staticfiles import finders
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import translation

from core import brand as brand_colors
from core.languages import read
from signup import views
from tests.core.test_settings import GOOD, load
from tests.servers import ENVIRONMENT, ROOT
from worker import messages

SHOW = "from django.conf import settings as s; print(*s.TEMPLATES[0]['DIRS'], *s.STATICFILES_DIRS, sep=chr(10))"


@pytest.fixture
def brand(tmp_path: Path) -> Path:
    """The folder that docs/how-to/brand.md describes."""
    for name, text in {
        "static/doorcode/icon.svg": "<svg/>",
        "static/brand/brand.css": ":root { --brand: #0b7a55; }",
        "templates/brand/head.html": '{% load static %}<link rel="stylesheet" href="{% static \'brand/brand.css\' %}">',
        "templates/brand/foot.html": '<a href="/terms/">Terms</a>',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def folders(**environment: str) -> list[str]:
    """The folders in the settings, as another process reads them from the environment."""
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD, **environment}
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, env=env, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_the_environment_puts_the_brand_first(brand: Path) -> None:
    """Its templates before ours, its static files where it has any."""
    ours = str(ROOT / "templates")
    assert folders() == [ours]
    assert folders(BRAND_DIR=str(brand)) == [f"{brand}/templates", ours, f"{brand}/static"]
    (brand / "static").rename(brand / "elsewhere")
    assert folders(BRAND_DIR=str(brand)) == [f"{brand}/templates", ours]


def test_a_page_wears_the_brand(db, client: Client, settings, brand: Path) -> None:
    """Style sheet, footer and logo; the rest stays ours."""
    templates = deepcopy(settings.TEMPLATES)
    templates[0]["DIRS"].insert(0, brand / "templates")
    settings.TEMPLATES, settings.STATICFILES_DIRS = templates, [brand / "static"]
    page = client.get("/signup/").content.decode()
    assert page.index("doorcode/site.css") < page.index("brand/brand.css")
    assert '<a href="/terms/">Terms</a>' in page
    assert finders.find("doorcode/icon.svg") == str(brand / "static/doorcode/icon.svg")
    assert finders.find("doorcode/site.css").startswith(str(ROOT))


def test_the_docs_show_terms_that_are_kept_in_each_language(settings, tmp_path: Path) -> None:
    """Of the example in brand.md the words stay, with the version that they name."""
    [example] = re.findall(r"## Terms.*?```html\n(.*?)```", (ROOT / "docs/how-to/brand.md").read_text(), re.DOTALL)
    (tmp_path / "brand").mkdir()
    (tmp_path / "brand/terms.html").write_text(example)
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]
    for language, kept in {
        "en": "By creating an account you accept the terms of November 2026",
        "zh-hans": "点击“创建账号”，即表示你同意《服务条款》（2026 年 11 月版）",
    }.items():
        with translation.override(language):
            assert views._terms(HttpRequest()) == kept


def test_the_docs_name_the_variables_of_the_style_sheet() -> None:
    """brand.md lists all of them, and no others."""
    css = (ROOT / "signup/static/doorcode/site.css").read_text()
    page = (ROOT / "docs/how-to/brand.md").read_text()
    defined = {
        line.split(":")[0] for line in css.replace(";", "\n").replace("{", "\n").split() if line.startswith("--")
    }
    listed = {
        word
        for row in page.splitlines()
        if row.startswith("| `--")
        for word in row.split("|")[1].replace("`", "").replace(",", "").split()
    }
    assert defined == listed


def test_no_language_sets_a_variable_with_more_weight_than_a_site_does() -> None:
    """A site's own `:root { --font: … }` counts in each."""
    sheet = (ROOT / "signup" / "static" / "doorcode" / "site.css").read_text()
    selectors = re.findall(r"^ *((?::root|\[lang\])[^{]*?) \{", sheet, re.MULTILINE)
    assert len(selectors) > 5
    assert {each for each in selectors if not re.fullmatch(r"(:root|\[lang\])(:where\(.*\))?", each)} == set()


@pytest.mark.parametrize(
    ("locale", "font"), [("zh-Hans", "SC"), ("zh-SG", "SC"), ("zh-Hant", "TC"), ("zh-HK", "TC"), ("yue", "TC")]
)
def test_chinese_has_the_font_of_its_script(locale: str, font: str) -> None:
    """In pages and mails: one of the other script draws many characters in the other way."""
    mail = render_to_string("mail/base.html", {"language": locale})
    assert re.findall(r"Noto Sans CJK (\w+)", mail) == [font]
    sheet = (ROOT / "signup" / "static" / "doorcode" / "site.css").read_text()
    fonts = re.findall(r"^\[lang\]:where\((.*)\) \{.*CJK (\w+)", sheet, re.MULTILINE)
    [*_others, last] = [
        name
        for which, name in fonts
        if f":lang({locale})" in which or (locale.startswith("zh") and which == ":lang(zh)")
    ]
    assert last == font


def test_no_text_has_the_font_of_its_readers_system() -> None:
    """That of a Chinese desktop has the characters of Japanese, Korean and the other Chinese, and comes before their own."""
    paths = ("signup/static/doorcode/site.css", "signup/static/doorcode/api.css", "templates/mail/base.html")
    named = [each for path in paths for each in re.findall(r"[:,] ?(system-ui|ui-\w+)", (ROOT / path).read_text())]
    assert set(named) <= {"ui-monospace"}  # of code, which is ASCII


def test_every_variable_that_a_style_sheet_uses_exists() -> None:
    """A browser ignores a misspelt one: the colour or line is missing."""
    files = (ROOT / "signup" / "static" / "doorcode").glob("*.css")
    sheets = [each.read_text() for each in files if each.name != "admin.css"]  # which has Django's variables
    assert len(sheets) == 2
    used, defined = (set(re.findall(each, "".join(sheets))) for each in (r"var\((--[\w-]+)", r"(--[\w-]+):"))
    assert used <= defined


COLORS = ["#1d5fd1", "#ffff00", "#ffffff", "#000000", "#ff0000", "#0b7a55", "#808080", "#767676"]


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("ground", [brand_colors.LIGHT, brand_colors.DARK])
def test_any_colour_can_be_read(color: str, ground: str) -> None:
    """On the card, and the text on the button; a colour that can be read already stays as it is."""
    palette = brand_colors.palette(color, ground)
    assert contrast(palette.color, ground) >= brand_colors.CONTRAST[ground]
    assert contrast(palette.ink, palette.color) >= 4.5
    if contrast(color, ground) >= brand_colors.CONTRAST[ground]:
        assert palette.color == color


@pytest.mark.parametrize("color", COLORS)
def test_a_link_can_be_read_wherever_it_stands(color: str) -> None:
    """A site's links to its terms are on the page, not on the card; others are in notes."""
    sheet = (ROOT / "signup" / "static" / "doorcode" / "site.css").read_text()
    for ground, theme in zip(
        (brand_colors.LIGHT, brand_colors.DARK), sheet.split("prefers-color-scheme: dark"), strict=True
    ):
        link = brand_colors.palette(color, ground).color
        found = dict(re.findall(r"--(page|card|soft): (#\w+)", theme))
        assert set(found) == {"page", "card", "soft"}
        for each in found.values():
            assert contrast(link, "#ffffff" if each == "#fff" else each) >= 4.5


def contrast(one: str, two: str) -> float:
    """By the formula of WCAG 2.2, written out a second time."""

    def luminance(color: str) -> float:
        red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_one_colour_is_that_of_pages_and_mails(client: Client, settings, db) -> None:
    """A style sheet after ours, and in the mail; a site without one loads nothing more."""
    assert "brand.css" not in client.get("/login/").content.decode()
    settings.BRAND_COLOR = "#0b7a55"
    page = client.get("/login/").content.decode()
    assert page.index("doorcode/site.css") < page.index('href="/brand.css?0b7a55"')
    sheet = client.get("/brand.css?0b7a55")
    assert (sheet.headers["Content-Type"], sheet.headers["Cache-Control"]) == ("text/css", "public, max-age=3600")
    assert "--brand: #0b7a55;" in sheet.content.decode()
    html, _type = messages.build(messages.sample(kind="code", language="en")).alternatives[0]
    assert "background:#0b7a55" in html
    assert "#1d5fd1" not in html


def test_mails_have_the_sites_logo_and_last_lines(settings, brand: Path) -> None:
    """In both parts, translated by the site's own catalogue."""
    mail = brand / "templates" / "brand"
    (mail / "mail_logo.html").write_text('<img src="https://example.com/logo.png" alt="School">')
    for name in ("mail_foot.html", "mail_foot.txt"):
        (mail / name).write_text("{% load i18n %}{% translate 'Create account' %} 1 Example Street")
    templates = deepcopy(settings.TEMPLATES)
    templates[0]["DIRS"].insert(0, brand / "templates")
    settings.TEMPLATES = templates
    message = messages.build(messages.sample(kind="code", language="zh-hans"))
    html, _type = message.alternatives[0]
    assert '<img src="https://example.com/logo.png" alt="School">' in html
    assert "创建账号 1 Example Street" in html
    assert message.body.rstrip().endswith("创建账号 1 Example Street")


def test_a_sites_own_words_win(tmp_path: Path) -> None:
    """From BRAND_DIR/locale, text by text; all others are ours."""
    own = Catalog(locale="zh_Hans")
    own.add("Create account", "立即加入")
    path = tmp_path / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, own)
    show = (
        "import django; django.setup(); from django.utils.translation import gettext, override\n"
        "with override('zh-hans'): print(gettext('Create account'), gettext('Sign in'))"
    )
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD, "BRAND_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", show], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["立即加入", "登录"], done.stderr


@pytest.mark.parametrize(
    ("environment", "offered", "default"),
    [
        ({}, len([each for each in read(ROOT / "locale" / "languages.toml").values() if not each["draft"]]), "en"),
        ({"LANGUAGES": "zh-Hans, en"}, 2, "en"),
        ({"LANGUAGES": "zh_Hant"}, 1, "zh-hant"),
        ({"LANGUAGES": "de,ja", "LANGUAGE_CODE": "ja"}, 2, "ja"),
    ],
)
def test_languages_are_those_that_the_site_offers(environment: dict[str, str], offered: int, default: str) -> None:
    """All that are complete by default; LANGUAGE_CODE is one of them."""
    languages, code = load("LANGUAGES", "LANGUAGE_CODE", **GOOD, **environment)
    assert (len(languages), code) == (offered, default)


def test_a_variant_stands_behind_the_language_that_stands_in_for_it(tmp_path: Path) -> None:
    """Also where its name comes first: Django takes the first variant for a visitor who prefers another one."""
    (tmp_path / "locale" / "en_GB" / "LC_MESSAGES").mkdir(parents=True)
    [offered] = load("LANGUAGES", **GOOD, BRAND_DIR=str(tmp_path), LANGUAGES="en-gb,de,en")
    assert offered == [("de", "Deutsch"), ("en", "English"), ("en-gb", "British English")]


def test_name_and_sender_are_read_by_language() -> None:
    """A JSON object, or a text for all; the first is also for the others. The sender has the name, unless it is given."""
    names = '{"en": "School, Ltd", "zh_Hans": "学校"}'
    shown = ("SITE_NAME", "SITE_NAMES", "FROM_EMAILS", "DEFAULT_FROM_EMAIL")
    assert load(*shown, **GOOD, SITE_NAME=names) == [
        "School, Ltd",
        {"en": "School, Ltd", "zh-hans": "学校"},
        {"en": '"School, Ltd" <noreply@accounts.example.com>', "zh-hans": "学校 <noreply@accounts.example.com>"},
        '"School, Ltd" <noreply@accounts.example.com>',
    ]
    given = load("FROM_EMAILS", **GOOD, SITE_NAME=names, DEFAULT_FROM_EMAIL="a@example.com")
    assert given == [{"": "a@example.com"}]


def test_where_answers_go_is_read_by_language() -> None:
    """As the sender is; there is none by default."""
    shown = ("EMAIL_REPLY_TO", "REPLY_TO_EMAILS")
    assert load(*shown, **GOOD) == ["", {}]
    given = {"en": "Help <help@example.com>", "zh-hans": "帮助 <bangzhu@example.cn>"}
    assert load(*shown, **GOOD, EMAIL_REPLY_TO=json.dumps(given)) == [given["en"], given]
