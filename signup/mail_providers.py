"""Providers of mailboxes, from data/mail_domains.toml: their names, domains and web mail."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.utils.translation import get_language


@dataclass(frozen=True)
class Provider:
    name: str
    domains: tuple[str, ...] = ()  # to which a likely typo is corrected
    also: tuple[str, ...] = ()  # its other domains
    url: str = ""  # of its web mail
    name_zh_hans: str = ""
    name_zh_hant: str = ""


@cache
def providers() -> tuple[Provider, ...]:
    """All providers, in the order of the file."""
    text = (Path(__file__).parent / "data" / "mail_domains.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["provider"]
    return tuple(
        Provider(**{**entry, "domains": tuple(entry["domains"]), "also": tuple(entry.get("also", ()))})
        for entry in entries
    )


@cache
def by_domain() -> dict[str, Provider]:
    """The provider of each domain."""
    return {domain: each for each in providers() for domain in (*each.domains, *each.also)}


def webmail(address: str) -> tuple[str, str] | None:
    """
    Return the name of the provider of a canonical `address`, in the active language, and the address of its web mail;
    None for any other address.
    """
    provider = by_domain().get(address.rpartition("@")[2])
    if provider is None or not provider.url:
        return None
    translated = {"zh-hans": provider.name_zh_hans, "zh-hant": provider.name_zh_hant}
    return translated.get(get_language() or "") or provider.name, provider.url
