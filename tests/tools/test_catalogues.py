"""`make messages`, `make language`, and the check of the catalogues."""

from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from tests.tools import catalogues

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


def test_what_is_complete_passes() -> None:
    """No text without its translation, nothing stale, all compiled, as it is committed."""
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
    assert catalogues.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert f"zh_Hans: {problem}" in said
    assert "not complete" in said


def test_a_new_language_begins_with_every_text(folder: Path, capsys) -> None:
    """Right-to-left or not; the check fails until it is translated."""
    assert catalogues.main(["--add", "ar"]) == 0
    assert "ar: not translated: 'Sign in'" in capsys.readouterr().err
    assert (folder / "ar" / "LC_MESSAGES" / "django.mo").exists()
    with pytest.raises(SystemExit):
        catalogues.main(["--add", "klingon"])


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("That code does not match this email address", "验证码和邮箱不匹配"),
        ("This email address is already registered", "邮箱已经被注册"),
        ("Username must be between 2 and 20 characters", "用户名的长度在 2-20 之间"),
    ],
)
def test_given_words_stay_to_the_letter(source: str, given: str) -> None:
    """Whoever asked for Doorcode chose these three; no edit of the catalogue may improve them."""
    with translation.override("zh-hans"):
        assert gettext(source) == given
