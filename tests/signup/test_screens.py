"""Every screen in every language: valid HTML, its own words only, nothing that a page may not hold."""

import re
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import translation
from justhtml import JustHTML

from tests import pseudo
from tests.factories import ALICE, BOB, PASSWORD
from tests.gallery import NAMES, html_of
from tests.tools import wording

pytestmark = pytest.mark.django_db

LANGUAGES = [code for code, _ in settings.LANGUAGES]
LATIN = [code for code in LANGUAGES if wording.letters(translation.to_locale(code)) == wording.LATIN]
PARSED = ("en", "zh-hans", "ar")  # with every check of the HTML, which follows from the templates
SAID = (
    "aria-label",
    "alt",
    "title",
    "placeholder",
    "data-label",
    "data-hide",
    "data-hide-label",
    "data-wait",
    "data-ready",
    "data-seconds",
    "data-minutes",
)
# Not text of this project: addresses, names, typed values, references, times.
DATA = (ALICE, BOB, "alice@qq.com", "alice@qq.con", "example.com", "http://testserver", "Doorcode")
TIME = re.compile(
    r"(Jan|Feb|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec)\.? \d+, \d{4}(, [\d:]+ ?[apm.]*|, noon|, midnight)?|UTC"
)


class Texts(HTMLParser):
    """Collects what a person can read or hear of a page; the names of languages stand in their own."""

    VOID = {"meta", "link", "img", "input", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [text for name, text in attrs if name in SAID and text]
        if tag not in self.VOID and (
            self._silent or tag in ("style", "script") or ("lang" in given and tag not in ("html", "table"))
        ):
            self._silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.found.append(data.strip())


def texts_of(html: str) -> list[str]:
    texts = Texts()
    texts.feed(html)
    assert len(texts.found) > 2
    return texts.found


def unmarked(text: str) -> str:
    """The rest of a text without marked parts (one may be inside another) and without data."""
    for data in DATA:
        text = text.replace(data, "")
    text = TIME.sub("", text)
    while (inner := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
        text = inner
    return text


@pytest.mark.parametrize("name", NAMES)
def test_no_text_escapes_translation(name: str) -> None:
    """In the pseudo-language every word is marked, also in Django's own messages and in texts for scripts."""
    with pseudo.spoken():
        html = html_of(name, pseudo.CODE)
    assert f'lang="{pseudo.CODE}"' in html
    assert [text for text in texts_of(html) if re.search(r"[^\W\d_]{2,}", unmarked(text)) and text != "alice"] == []


@pytest.mark.parametrize(
    "html", ["<!doctype html><p><div></p>", "<!doctype html><p></div>", "<p>", "<!doctype html></b>"]
)
def test_the_validator_finds_what_it_should(html: str) -> None:
    """Else a clean page would mean nothing."""
    assert JustHTML(html, collect_errors=True).errors


@pytest.mark.parametrize("text", ["Sign in", "⟦Sign in⟧ now", "⟦Sign⟧ in"])
def test_an_unmarked_word_is_found(text: str) -> None:
    """The same for the pseudo-language."""
    assert re.search(r"[^\W\d_]{2,}", unmarked(text))


def assert_valid(html: str, *, is_page: bool) -> None:
    """
    No parse error of the standard, no id twice, no reference to nothing; no style or script in a page. A form says where
    it goes: else a fragment in the address bar goes along, and browsers then put no focus on the errors. A drawing has
    its size without the style sheet too. One element asks for the focus at most: the summary of the errors, or a field.
    No field is required but by ARIA: Firefox tells screen readers that an empty one is invalid before anything is typed.
    """
    assert JustHTML(html, collect_errors=True).errors == []
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    pointed = re.findall(r'\s(?:for|form)="([^"]+)"|href="#([^"]+)"', html)
    described = [one for each in re.findall(r'aria-describedby="([^"]+)"', html) for one in each.split()]
    assert {one for pair in pointed for one in pair if one} | set(described) <= set(ids)
    assert all(' action="' in form for form in re.findall(r"<form[^>]*>", html))
    assert all(' width="' in drawing for drawing in re.findall(r"<svg[^>]*>", html))
    assert html.count(" autofocus") <= 1
    assert not re.search(r"<input[^>]* required", html)
    assert html.count(' aria-required="true"') >= html.count('type="password"')
    if is_page:
        assert not re.search(r'\sstyle="|<style|\son\w+="|<script(?! src="/static/)', html)


@pytest.mark.filterwarnings("ignore:savepoint")  # Django 6.1 has another name for it
@pytest.mark.parametrize("name", NAMES)
def test_the_html_is_valid_and_says_nothing_in_another_language(name: str) -> None:
    """No English sentence in a Chinese page or in a German one, no Chinese in either; and no password in any."""
    for language in LANGUAGES:
        before = transaction.savepoint()
        html = html_of(name, language)
        transaction.savepoint_rollback(before)
        if language in PARSED:
            assert_valid(html, is_page=not name.startswith("mail_"))
        assert PASSWORD not in html
        for text in texts_of(html):
            assert_in_language(text, language)


def assert_in_language(text: str, language: str) -> None:
    plain = text
    for data in (*DATA, "name@example.com"):
        plain = plain.replace(data, "")
    if language in LATIN:
        assert not re.search(r"[\u0400-\uffdc]", re.sub(r"[\u2000-\u206f]", "", plain)), text
    else:
        assert not re.search(r"[A-Za-z]+ [A-Za-z]+", plain), text
    with translation.override(language):
        assert translation.gettext(text) == text  # else it is an English text that has a translation


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["signup", "account_welcome"])
def test_a_language_is_offered_by_its_own_name(name: str, language: str) -> None:
    """In the menu and in the account's field: whoever reads none of the page finds their own."""
    offered = re.findall(r'value="[\w-]+" lang="([\w-]+)"[^>]*>([^<]+)<', html_of(name, language))
    assert dict(offered) == dict(settings.LANGUAGES)


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_every_language_has_every_header(direction: str) -> None:
    """The page says its language and direction; so does a mail, also within a web mail, which drops its html and body."""
    with pseudo.spoken(right_to_left=direction == "rtl"):
        page, mail = html_of("signup", pseudo.CODE), html_of("mail_code", pseudo.CODE)
    for each in (page, mail):
        assert ('<html lang="xx" dir="rtl">' in each) is (direction == "rtl")
    assert re.search(f'<body[^>]*>.*?<table[^>]* lang="xx" dir="{direction}"', mail, re.DOTALL)
