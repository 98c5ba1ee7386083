"""Providers of mailboxes, from data/mail_domains.toml: names, domains, web mail, and likely typos in a domain."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from core import languages

_LONG = 9  # characters; two edits of a domain this long still leave no doubt
_REGION = re.compile(r"(?:com|co)\.[a-z]{2}")  # yahoo.com.np


@dataclass(frozen=True)
class Provider:
    name: str
    domains: Sequence[str]  # to which a likely typo is corrected
    also: Sequence[str] = ()  # its other domains
    url: str = ""  # of its web mail
    names: Mapping[str, str] = field(default_factory=dict)  # in languages that call it otherwise


@cache
def providers() -> list[Provider]:
    """All providers, in the order of the file."""
    text = (Path(__file__).parent / "data" / "mail_domains.toml").read_text(encoding="utf-8")
    return [Provider(**entry) for entry in tomllib.loads(text)["provider"]]


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
    return provider.names.get(languages.active(), provider.name), provider.url


def suggest(address: str) -> str | None:
    """
    Return a canonical `address` with the domain that was probably meant, `qq.com` for `qq.con`; None if its own looks
    right. The page offers the correction, and never makes it itself.
    """
    local, _, domain = address.rpartition("@")
    if domain in by_domain():
        return None
    all_known = [known for each in providers() for known in each.domains]
    # hotmail.net is no typo of hanmail.net: a person who writes the name of a provider means that one.
    of_that_name = [known for known in all_known if _name(known) == _name(domain)]
    meant = [known for known in of_that_name or all_known if _is_likely(domain, known)]
    return f"{local}@{min(meant, key=lambda known: _edits(domain, known))}" if meant else None


def _is_likely(typed: str, meant: str) -> bool:
    """Whether a domain is so near to a known one that it is more likely a typo than a domain of its own."""
    edits = _edits(typed, meant)
    if edits > (2 if len(meant) >= _LONG else 1):
        return False
    typed_name, _, ending = typed.partition(".")
    name = _name(meant)
    if typed_name == name:  # the typo is in the ending, unless that looks like a region's
        return not _REGION.fullmatch(ending)
    if name.isdecimal():
        return True
    if len(name) <= 4:  # only a doubled last letter, as in qqq.com: any other makes a word, as in mi.com
        return typed_name == name + name[-1]
    changed = _edits(typed_name, name)
    # People rarely miss the first letter; and two wrong letters make another word of all but long ones: paper, outdoor.
    return changed == 1 or (len(name) >= 7 and (typed_name[0], typed_name[-1]) == (name[0], name[-1]))


def _name(domain: str) -> str:
    return domain.partition(".")[0]


def _edits(typed: str, meant: str) -> int:
    """Letters added, left out, changed or swapped with their neighbour (optimal string alignment distance)."""
    if abs(len(typed) - len(meant)) > 2:
        return 3
    before, above = [0] * (len(meant) + 1), list(range(len(meant) + 1))
    for row, left in enumerate(typed, 1):
        here = [row]
        for column, right in enumerate(meant, 1):
            cost = min(above[column] + 1, here[-1] + 1, above[column - 1] + (left != right))
            if row > 1 < column and left == meant[column - 2] and typed[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            here.append(cost)
        before, above = above, here
    return above[-1]
