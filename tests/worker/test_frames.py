"""Words rendered once for many."""

from pathlib import Path

import pytest

from worker import frames

CODE = {
    "code": "0042",
    "link": "https://doorcode.test/signup/link/x.y/",
    "mute_url": "https://doorcode.test/signup/mute/z/",
    "reference": "K7M2Q",
    "email": "o'neil@example.com",
    "site_name": "Doorcode & <Sons>",
    "site_url": "https://doorcode.test",
    "language": "en",
    "rtl": False,
    "minutes": 10,
}


@pytest.fixture(autouse=True)
def forget() -> None:
    frames._frame.cache_clear()


@pytest.fixture
def rendered(monkeypatch) -> list[str]:
    """The languages in which templates were rendered."""
    languages: list[str] = []
    real = frames._rendered
    monkeypatch.setattr(
        frames, "_rendered", lambda kind, language, context: languages.append(language) or real(kind, language, context)
    )
    return languages


@pytest.mark.parametrize("language", ["en", "zh-hans", "zh-hant"])
@pytest.mark.parametrize("kind", ["code", "registered"])
def test_a_frame_gives_what_rendering_gives(kind: str, language: str) -> None:
    """To the letter, escaped where it must be."""
    context = CODE | {"login_url": "https://doorcode.test/login/", "reset_url": "https://doorcode.test/reset/"}
    assert frames.render(kind, language, context) == frames._rendered(kind, language, context)


def test_templates_are_rendered_once_for_the_same_words(rendered: list[str]) -> None:
    """Another person is the same words; another life of the code or length of it is not."""
    for code in ("0042", "1234", "9999"):
        assert code in frames.render("code", "en", CODE | {"code": code})[1]
    once = len(rendered)
    assert once == 2  # with holes, and as a trial
    frames.render("code", "en", CODE | {"minutes": 1})
    frames.render("code", "en", CODE | {"code": "123456"})
    frames.render("code", "zh-hans", CODE)
    assert len(rendered) == 4 * once


def test_no_mail_has_what_is_anothers() -> None:
    """Not after many, of different people."""
    for number in range(50):
        mine = {name: f"{name}{number:04}" for name in frames.HOLES} | {"code": f"{number:04}"}
        together = "".join(frames.render("code", "en", CODE | mine))
        others = [f"{name}{other:04}" for name in ("link", "mute_url") for other in range(50) if other != number]
        assert not [each for each in others if each in together]
        assert mine["link"] in together


@pytest.mark.parametrize("line", ["{{ code|slice:':2' }}", "{{ reference|lower }}", "{{ link|length }}"])
def test_a_template_that_calculates_is_rendered_for_each(
    tmp_path: Path, settings, rendered: list[str], line: str
) -> None:
    """A site's own."""
    (tmp_path / "mail/code").mkdir(parents=True)
    for part in frames.PARTS:
        (tmp_path / "mail/code" / part).write_text(f"{{% autoescape off %}}{{{{ code }}}} {line}{{% endautoescape %}}")
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    assert (
        frames.render("code", "en", CODE) == frames.render("code", "en", CODE) == frames._rendered("code", "en", CODE)
    )
    assert len(rendered) == 5  # two for the frame that is none


def test_a_mail_with_a_name_in_it_is_rendered_once(rendered: list[str]) -> None:
    """It has no twin."""
    frames.render("password_reset", "en", CODE | {"username": "alice"})
    assert len(rendered) == 1


def test_while_templates_are_edited_each_is_rendered(settings, rendered: list[str]) -> None:
    """DEBUG."""
    settings.DEBUG = True
    frames.render("code", "en", CODE)
    frames.render("code", "en", CODE)
    assert len(rendered) == 2
