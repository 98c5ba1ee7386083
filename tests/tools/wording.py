"""Checks of a text that need no reader: placeholders, punctuation, terms, the two Chinese scripts."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import regex
from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.messages.catalog import Message
from opencc import OpenCC

_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
# Of a source, and what may stand for it; "" where a language needs no sign.
_CLOSINGS = {".": ".。।۔։።។။", "?": "?？؟", "!": "!！", ":": ":：", "…": "…"}
_OWN_CLOSINGS: dict[tuple[str, str], str] = {("el", "?"): ";\u037e", ("th", "."): "", ("lo", "."): ""}
_CJK = r"[\u3400-\u9fff]"
_HALF_WIDTH = re.compile(rf"[()]|{_CJK}[,.;:!?]|[,;:!?]\s?{_CJK}")
_NO_SPACE = re.compile(rf"{_CJK}[A-Za-z0-9]|[A-Za-z0-9]{_CJK}")
LATIN = r"\p{Script=Latn}"
# The letters of a script (ISO 15924) that Unicode counts under other names.
_SCRIPTS = {
    "Hans": r"\p{Han}",
    "Hant": r"\p{Han}",
    "Jpan": r"\p{Han}\p{Hiragana}\p{Katakana}ー",
    "Kore": r"\p{Hangul}",
}
# Of each script: the conversion into it, which must change nothing, and the "you" that the other says.
_CHINESE = {"zh_Hans": ("t2s", "您"), "zh_Hant": ("s2t", "你")}
_converter = cache(OpenCC)  # reading its tables takes long
_ARTICLE = re.compile(r"(Change|Create|Reset|Show|Hide|Continue) the \w+( \w+)?$")


def problems(message: Message, locale: str) -> Iterator[str]:
    """Yield what is wrong with a message's translation into `locale`, each with the text it is about."""
    ids, texts = both(message.id), both(message.string)
    if message.fuzzy:
        yield f"fuzzy: {ids[0]!r}"
    if not all(texts):
        yield f"not translated: {ids[0]!r}"
        return
    on_page = any(path.startswith("templates/") for path, _line in message.locations)
    if locale == "en" and on_page and _ARTICLE.match(ids[0]):
        yield f'a title or button has no "the": {ids[0]!r}'
    for text in texts:
        yield from (f"{problem}: {text!r}" for problem in (*_shape(ids, text, locale), *_terms(text, locale)))
        if text != ids[0]:  # a name, such as Redis
            yield from (f"{problem}: {text!r}" for problem in _script(text, locale))
        if locale in _CHINESE:
            yield from (f"{problem}: {text!r}" for problem in _chinese(text, locale))


def _shape(ids: tuple[str, ...], text: str, locale: str) -> Iterator[str]:
    wanted, found = (set(_PLACEHOLDER.findall(source)) for source in ("".join(ids), text))
    if found - wanted:
        yield f"unknown placeholders {sorted(found - wanted)}"
    if wanted - found and len(ids) == 1:  # a plural may say a number in words
        yield f"lost placeholders {sorted(wanted - found)}"
    closing = ids[-1].rstrip()[-1:]
    if closing in _CLOSINGS:
        ends = _OWN_CLOSINGS.get((locale, closing), _CLOSINGS[closing])
        if ends and text.rstrip()[-1] not in ends:
            yield f"does not end as its source does, with {closing}"
    elif "。" in text[:-1]:
        if text[-1] != "。":
            yield "no full stop after the last of two sentences"
    elif text.rstrip()[-1] in "".join(_CLOSINGS.values()):
        yield "ends with a sign that its source has not"


def _terms(text: str, locale: str) -> Iterator[str]:
    for other, term in _terms_of(locale).items():
        if found := re.search(other, text):
            yield f"{found[0]}, where the term is: {term}"


def _script(text: str, locale: str) -> Iterator[str]:
    """A text has letters of its language's script, and no others but Latin ones."""
    own = letters(locale)
    plain = _PLACEHOLDER.sub("", text)
    if strange := regex.findall(rf"(?![{LATIN}{own}])\p{{L}}", plain):
        yield f"letters of another script, {''.join(strange)}"
    if regex.search(r"\p{L} \p{L}", plain) and not regex.search(f"[{own}]", plain):
        yield "no letter of the language's script"


def _chinese(text: str, locale: str) -> Iterator[str]:
    conversion, other = _CHINESE[locale]
    plain = _PLACEHOLDER.sub("", text)
    if _HALF_WIDTH.search(plain):
        yield "half-width punctuation"
    if _NO_SPACE.search(plain):
        yield "no space between Chinese and Latin"
    if other in text:
        yield f"{other} is not said here"
    strange = "".join(new for old, new in zip(text, _converter(conversion).convert(text), strict=False) if old != new)
    if strange:
        yield f"characters of the other script, for {strange}"


@cache
def letters(locale: str) -> str:
    """The letters of a language, by CLDR; Latin ones where it does not know."""
    try:
        script = Locale.parse(locale).script
    except UnknownLocaleError:
        script = None
    likely = get_global("likely_subtags").get(locale.partition("_")[0], "")  # th: th_Thai_TH
    script = script or (likely.split("_")[1] if likely else "Latn")
    return _SCRIPTS.get(script, rf"\p{{Script={script}}}")


@cache
def _terms_of(locale: str) -> dict[str, str]:
    """By pattern what is said instead: of the language, and of all that are written from right to left."""
    try:
        is_rtl = Locale.parse(locale).text_direction == "rtl"
    except UnknownLocaleError:
        is_rtl = False
    paths = [Path(__file__).parent / "terms" / f"{name}.toml" for name in (locale, *(["rtl"] if is_rtl else []))]
    return {other: term for path in paths if path.exists() for other, term in tomllib.loads(path.read_text()).items()}


def both(texts: object) -> tuple[str, ...]:
    """The forms of a message: one, or one for each plural."""
    return tuple(texts) if isinstance(texts, (tuple, list)) else (str(texts),)
