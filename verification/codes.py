"""Codes and links, derived from keys and never stored. Everything here is pure."""

import base64
import hmac
import itertools
import re
import unicodedata
from functools import lru_cache
from hashlib import sha256

from core import lengths

_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u2212.·]+")
_DIGITS = re.compile(r"[0-9]+")
_LETTERS = "BCDFGHJKMNPQRSTVWXYZ"  # no vowel, so no word; nothing that could be taken for a digit


def derive(*, key: str, nonce: str, address: str, generation: int, length: int) -> str:
    """
    Return the code: `length` decimal digits, uniform over all of them, leading zeros kept.

    A 256-bit hash is reduced modulo 10^length; the few values at the top that would favour small codes are drawn
    again. The length is hashed too, so a longer code of the same request says nothing of a shorter one.
    """
    values = 10**length
    unbiased = 2**256 - 2**256 % values
    for draw in itertools.count():
        number = int.from_bytes(_mac(key, "code", f"{nonce}|{generation}|{length}|{draw}|{address}"))
        if number < unbiased:
            return str(number % values).zfill(length)
    raise AssertionError("unreachable")


def link_proof(*, key: str, handle: str, nonce: str, generation: int) -> str:
    """Return what the mail's link carries beside the handle: 192 bits, URL-safe, 32 characters."""
    return base64.urlsafe_b64encode(_mac(key, "link", f"{handle}|{nonce}|{generation}")[:24]).decode()


def handle(*, key: str, seed: str) -> str:
    """Return the handle that belongs to a seed: 144 bits, URL-safe, 24 characters."""
    return base64.urlsafe_b64encode(_mac(key, "handle", seed)[:18]).decode()


def reference(*, key: str, handle: str, generation: int) -> str:
    """Return four letters that a mail and its page show both. They open nothing, and say nothing of code or link."""
    number = int.from_bytes(_mac(key, "reference", f"{handle}|{generation}"))
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(4))


@lru_cache(maxsize=16)
def key_id(key: str) -> str:
    """Return the name under which a row remembers its key: 64 bits that reveal nothing of it."""
    return _mac(key, "key", "").hex()[:16]


def same(left: str, right: str) -> bool:
    """Whether two codes or link proofs are equal, in constant time."""
    return hmac.compare_digest(left.encode(errors="replace"), right.encode(errors="replace"))


def normalize(typed: str) -> str | None:
    """
    Return the ASCII digits that a person meant: full-width digits folded, spaces, dashes and dots off.

    None for anything else: other scripts' digits, signs and underscores (which Python's int() would take), and what is
    too long for a code.
    """
    if len(typed) > lengths.CODE:
        return None
    digits = _SEPARATORS.sub("", unicodedata.normalize("NFKC", typed))
    return digits if _DIGITS.fullmatch(digits) else None


def _mac(key: str, purpose: str, message: str) -> bytes:
    return hmac.digest(_own_key(key, purpose), message.encode(), sha256)


@lru_cache(maxsize=64)
def _own_key(key: str, purpose: str) -> bytes:
    return hmac.digest(b"doorcode.verification." + purpose.encode(), key.encode(), sha256)
