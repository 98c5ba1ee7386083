"""`manage.py catalogues`."""

from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

SOURCE = Path(settings.LOCALE_PATHS[0])


@pytest.fixture
def folder(tmp_path: Path, settings) -> Path:
    """A copy of the catalogues, to be spoilt."""
    for code in ("en", "zh_Hans", "zh_Hant"):
        (tmp_path / code / "LC_MESSAGES").mkdir(parents=True)
        for part in ("django.po", "django.mo"):
            (tmp_path / code / "LC_MESSAGES" / part).write_bytes((SOURCE / code / "LC_MESSAGES" / part).read_bytes())
    settings.LOCALE_PATHS = [tmp_path]
    return tmp_path


def check() -> str:
    said = StringIO()
    with pytest.raises(CommandError, match="not complete"):
        call_command("catalogues", "--check", stderr=said)
    return said.getvalue()


def test_what_is_complete_passes(folder: Path) -> None:
    """As it is committed."""
    call_command("catalogues", "--check")


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
def test_a_defect_fails_the_check(folder: Path, old: str, new: str, problem: str) -> None:
    """By its language and its text."""
    path = folder / "zh_Hans" / "LC_MESSAGES" / "django.po"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert f"zh_Hans: {problem}" in check()


def test_a_new_language_begins_with_every_text(folder: Path) -> None:
    """Right-to-left or not; the check fails until it is translated."""
    said = StringIO()
    call_command("catalogues", "--add", "ar", stderr=said)
    assert "ar: not translated: 'Sign in'" in said.getvalue()
    assert (folder / "ar" / "LC_MESSAGES" / "django.mo").exists()
    with pytest.raises(CommandError):
        call_command("catalogues", "--add", "klingon", stderr=said)
