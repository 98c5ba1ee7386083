"""`make messages`, `make language`, and the check of the catalogues."""

import re
import shutil
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.utils import translation
from django.utils.translation import gettext

from core import languages
from tests.tools import catalogues


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the catalogues, to be spoilt."""
    return Path(shutil.copytree(catalogues.ROOT, tmp_path / "locale"))


def compiled(folder: Path, locale: str) -> GNUTranslations:
    with (folder / locale / "LC_MESSAGES" / "django.mo").open("rb") as file:
        return GNUTranslations(file)


def test_what_is_complete_passes() -> None:
    """No text without its translation, nothing stale, all compiled, as it is committed; in every language."""
    assert catalogues.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('msgid "Sign in"\n', 'msgid "Sign inn"\n', "not in the catalogue: 'Sign in'"),
        ('msgid "Sign in"\n', 'msgid "Sign inn"\n', "no longer in the sources: 'Sign inn'"),
        ('msgstr "登录"', 'msgstr "登錄"', "characters of the other script"),
        ('msgstr "登录"', 'msgstr "登陆"', "django.mo is not compiled"),
        ('msgid "Sign in"\n', '#, fuzzy\nmsgid "Sign in"\n', "fuzzy: 'Sign in'"),
    ],
)
def test_a_defect_fails_the_check(folder: Path, capsys, old: str, new: str, problem: str) -> None:
    """By its language and its text."""
    path = folder / "zh_Hans" / "LC_MESSAGES" / "django.po"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert catalogues.main(["--check"], folder) == 1
    said = capsys.readouterr().err
    assert f"zh_Hans: {problem}" in said
    assert "not complete" in said


@pytest.mark.parametrize(
    ("code", "name", "right_to_left"),
    [
        ("eo", "Esperanto", False),
        ("he", "עברית", True),
        ("zh-hk", "中文 (繁體字, 中國香港特別行政區)", False),
        ("yue", "粵語", False),
        ("fil", "Filipino", False),
    ],
)
def test_a_language_that_django_or_cldr_knows_can_begin(
    folder: Path, capsys, code: str, name: str, right_to_left: bool
) -> None:
    """As a draft, under its own name, with the visitors' texts alone; only what it lacks is printed, and no other's."""
    locale = translation.to_locale(code)
    shutil.rmtree(folder / locale, ignore_errors=True)  # a site that has it already runs these tests too
    known = folder / "languages.toml"
    known.write_text(re.sub(rf"\n\[{code}\]\n(.+\n)+", "", known.read_text()))
    assert catalogues.main(["--add", code], folder) == 0
    printed = capsys.readouterr().err.splitlines()
    assert f"{locale}: not translated: 'Sign in'" in printed
    assert {line.partition(":")[0] for line in printed} == {locale}
    assert not (folder / "operators" / locale).exists()
    begun = languages.read(folder / "languages.toml")[code]
    assert (begun["name_local"], begun["bidi"], begun["draft"]) == (name, right_to_left, True)
    assert catalogues.main(["--check"], folder) == 0  # a draft holds up nobody
    assert catalogues.main(["--check", "--only", code], folder) == 1


def test_an_unknown_language_is_refused(folder: Path) -> None:
    """Before anything is written."""
    with pytest.raises(SystemExit):
        catalogues.main(["--add", "klingon"], folder)


@pytest.mark.parametrize(
    ("code", "text"), [("zh-hk", "登入"), ("zh-sg", "登录"), ("de-at", "Anmelden"), ("eo", "Sign in")]
)
def test_a_gap_is_filled_by_the_base_language_then_by_english(folder: Path, code: str, text: str) -> None:
    """Never by that of the site."""
    catalogues.main(["--add", code], folder)
    assert compiled(folder, translation.to_locale(code)).gettext("Sign in") == text


def test_a_language_that_changes_is_compiled_into_those_that_it_stands_in_for(folder: Path) -> None:
    """Also where it is updated alone."""
    catalogues.main(["--add", "de-at"], folder)
    path = folder / "de" / "LC_MESSAGES" / "django.po"
    path.write_text(path.read_text().replace('msgstr "Anmelden"', 'msgstr "Einloggen"'))
    catalogues.main(["--update", "--only", "de"], folder)
    assert {compiled(folder, locale).gettext("Sign in") for locale in ("de", "de_AT")} == {"Einloggen"}


@pytest.mark.parametrize(
    ("code", "number", "text"),
    [
        ("eo", 1, "It expires in 1 minute."),
        ("eo", 10, "It expires in 10 minutes."),
        ("uk", 21, "It expires in 21 minutes."),
        ("he", 2, "It expires in 2 minutes."),
        ("de-ch", 10, "Er ist 10 Minuten gültig."),
    ],
)
def test_an_empty_plural_is_filled_in_the_right_number(folder: Path, code: str, number: int, text: str) -> None:
    """Whatever forms the language has."""
    catalogues.main(["--add", code], folder)
    sources = ("It expires in %(m)s minute.", "It expires in %(m)s minutes.")
    assert compiled(folder, translation.to_locale(code)).ngettext(*sources, number) % {"m": number} == text


@pytest.mark.parametrize(
    ("path", "is_operators"),
    [("worker/models.py", True), ("templates/admin/dashboard.html", True), ("signup/forms.py", False)],
)
def test_operators_texts_are_told_by_their_source(path: str, is_operators: bool) -> None:
    """A text that also stands where visitors read is theirs."""
    message = catalogues.Message("Sign in", locations=[(path, 0)])
    assert catalogues.is_for_operators(message) is is_operators
    message.locations.append(("templates/base.html", 0))
    assert not catalogues.is_for_operators(message)


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("That code does not match this email address", "验证码和邮箱不匹配"),
        ("This email address is already registered", "邮箱已经被注册"),
        ("Username must be between 2 and 20 characters", "用户名的长度在 2-20 之间"),
    ],
)
def test_given_words_stay_to_the_letter(source: str, given: str) -> None:
    """These three are fixed; no edit of the catalogue may change them."""
    with translation.override("zh-hans"):
        assert gettext(source) == given
