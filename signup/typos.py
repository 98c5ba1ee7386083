"""Typos in the domain of an address: `qq.con` for `qq.com`. The page offers a correction, and never corrects itself."""

import re

from . import mail_providers

_LONG = 9  # characters; two edits of a domain this long still leave no doubt
_REGION = re.compile(r"(?:com|co)\.[a-z]{2}")  # yahoo.com.np


def suggest(address: str) -> str | None:
    """Return a canonical `address` with the domain that was probably meant; None if the domain looks right."""
    local, _, domain = address.rpartition("@")
    if domain in mail_providers.by_domain():
        return None
    meant = [known for each in mail_providers.providers() for known in each.domains if _is_likely(domain, known)]
    return f"{local}@{min(meant, key=lambda known: _edits(domain, known))}" if meant else None


def _is_likely(typed: str, meant: str) -> bool:
    """Whether a domain is so near to a known one that it is more likely a typo than a domain of its own."""
    edits = _edits(typed, meant)
    if edits > (2 if len(meant) >= _LONG else 1):
        return False
    typed_name, _, ending = typed.partition(".")
    name = meant.partition(".")[0]
    if typed_name == name:  # the typo is in the ending, unless that looks like a region's
        return not _REGION.fullmatch(ending)
    if name.isdecimal():
        return True
    if len(name) <= 4:  # one letter more or less makes another word: like.com, mi.com; but nobody doubts qqq.com
        return typed_name == name + name[-1]
    changed = _edits(typed_name, name)
    # People rarely miss the first letter; and two wrong letters make another word of all but long ones: paper, outdoor.
    return changed == 1 or (len(name) >= 7 and (typed_name[0], typed_name[-1]) == (name[0], name[-1]))


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
