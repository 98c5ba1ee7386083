"""The languages of a site: their names and fallbacks, and what the site is called in each."""

import tomllib
from collections.abc import Collection, Container, Iterator, Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.utils import translation

MAX_LENGTH = 16  # characters of a language's code
BASE = "en"  # the language of the sources, shown where a translation is missing
# What readers of a language without a catalogue get instead, the nearest first: Cantonese and Swiss German are hardly
# written. Under each name that browsers and phones have for it, as Django looks up a whole name.
STAND_INS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("yue", "yue-hk", "yue-hant", "yue-hant-hk"), ("zh-hant", "zh-hans")),
    **dict.fromkeys(("yue-cn", "yue-hans", "yue-hans-cn"), ("zh-hans", "zh-hant")),
    **dict.fromkeys(("gsw", "gsw-ch"), ("de",)),
}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the languages in locale/languages.toml by their code, in the form of Django's LANG_INFO."""
    entries = tomllib.loads(path.read_text("utf-8"))
    return {code: {"code": code, "bidi": False, "draft": False, **entry} for code, entry in entries.items()}


def register(path: Path) -> dict[str, dict[str, Any]]:
    """Add the languages in locale/languages.toml, and those of STAND_INS, to Django's; return those of the file."""
    for code, others in STAND_INS.items():
        LANG_INFO.setdefault(code, {"fallback": others})
    known = read(path)
    LANG_INFO.update({code: LANG_INFO.get(code, {}) | info for code, info in known.items()})
    return known


def with_catalogues(*folders: Path) -> list[str]:
    """Return the languages that have a name, and catalogues in folders such as those of LOCALE_PATHS."""
    found = (code_of(path.parent.name) for folder in folders for path in folder.glob("*/LC_MESSAGES"))
    return [code for code in found if "name_local" in LANG_INFO.get(code, {})]


def in_order(codes: Collection[str]) -> list[tuple[str, str]]:
    """
    Return languages with their own names, as LANGUAGES has them: sorted by these, and a variant behind the language
    that stands in for it. Django gives a visitor who prefers `zh-my`, which no site offers, the first Chinese of the
    list: that must not be a variant for one region, such as Hong Kong.
    """
    names = {code: LANG_INFO[code]["name_local"] for code in codes}

    def order(item: tuple[str, str]) -> list[str]:
        return [names[code].casefold() for code in [*fallbacks(item[0])][::-1] if code in names]

    return sorted(names.items(), key=order)


def code_of(name: str) -> str:
    """Return the code of a language by its name in a browser, phone or shell: zh-hant-tw for zh_Hant_TW."""
    return name.replace("_", "-").lower()  # Django's `to_language` leaves the second underscore


def fallbacks(code: str) -> Iterator[str]:
    """Yield a language and its fallbacks, the nearest first: zh-hk, zh-hant, zh."""
    yield code
    yield from LANG_INFO.get(code, {}).get("fallback", ())
    while "-" in code:
        code = code.rpartition("-")[0]
        yield code


def nearest(name: str, among: Container[str]) -> str | None:
    """Return the first of a language and its fallbacks that is in `among`, as zh-hans for zh-CN; None if none is."""
    return next((code for code in fallbacks(code_of(name)) if code in among), None)


def known(name: str) -> str:
    """Return the code of the nearest language that has a name here; else that of `name`."""
    return nearest(name, [code for code, info in LANG_INFO.items() if "name_local" in info]) or code_of(name)


def for_operators(code: str) -> str:
    """Return the language of the admin, commands and API documentation for a person whose language is `code`."""
    return nearest(code, settings.OPERATOR_LANGUAGES) or BASE


def active() -> str:
    """Return the active language, or LANGUAGE_CODE while there is none."""
    return translation.get_language() or str(settings.LANGUAGE_CODE)


def supported(code: str) -> str | None:
    """Return the language that the site offers for `code`, as zh-hans for zh-CN; None if it offers none."""
    try:
        return translation.get_supported_language_variant(code_of(code))
    except LookupError:
        return None


def offered(code: str) -> str:
    """Return the language that the site offers for `code`, or LANGUAGE_CODE."""
    return supported(code) or str(settings.LANGUAGE_CODE)


def site_name() -> str:
    """Return what the site is called in the active language."""
    return _in_language(settings.SITE_NAMES, active()) or settings.SITE_NAME


def sender(code: str) -> str:
    """Return the sender of mails in a language, as DEFAULT_FROM_EMAIL."""
    return _in_language(settings.FROM_EMAILS, code) or settings.DEFAULT_FROM_EMAIL


def sender_address(code: str) -> str:
    """Return the address of `sender`, without its name."""
    return parseaddr(sender(code))[1]


def reply_to(code: str) -> str:
    """Return where answers to mails in a language go, as EMAIL_REPLY_TO; "" if they go to the sender."""
    return _in_language(settings.REPLY_TO_EMAILS, code) or settings.EMAIL_REPLY_TO


def _in_language(texts: Mapping[str, str], code: str) -> str:
    return texts.get(nearest(code, texts) or code, "")
