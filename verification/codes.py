"""
Codes, links and references: keyed hashes of a row, never stored.

The functions `derive_…` are pure. The functions `…_of` take a row, and use the key that the row names: SECRET_KEY or
one of SECRET_KEY_FALLBACKS.
"""

import base64
import hmac
import itertools
import re
import unicodedata
from functools import cache
from hashlib import sha256

import regex
from django.conf import settings

from core import invisible, lengths

from .models import CaptchaModel

# One run of digits, in which spaces, dashes and dots may stand, and words around it, as in "验证码：1234。".
# With a Latin letter next to it, it is part of something else: a name, a number in base 16.
_SEPARATORS = r"[\s\-\u2010-\u2015\u2212.·]*"
# Any punctuation but that of lists, paths and numbers: a mail may be quoted as „1234“, «1234» or ؛1234.
_WORDS = r"[\p{L}\p{M}\p{P}\s\u2212`--\p{Pc}\[\]{}/\\%&@]*"
# What gateways put before the subject of a mail, which people may paste: [EXTERNAL], {Spam?}.
_TAGS = r"(?:\s*[\[{]\p{L}[\p{L}\p{M}\p{P}\s--\[\]{}]*[\]}]:?)*+"
_CODE = regex.compile(
    rf"{_TAGS}{_WORDS}(?<![A-Za-z])(\p{{Nd}}(?:{_SEPARATORS}\p{{Nd}})*)(?![A-Za-z]){_WORDS}", regex.V1
)
_LETTERS = "BCDFGHJKMNPQRSTVWXYZ"  # no vowel, so no word; nothing that could be taken for a digit


def derive_code(*, key: str, nonce: str, address: str, generation: int, length: int) -> str:
    """
    Return the code: `length` decimal digits, uniform over all of them, leading zeros kept.

    A 256-bit hash is reduced modulo 10^length; the few values at the top that would favour small codes are drawn
    again. The length is hashed too, so a longer code of the same request says nothing of a shorter one.
    """
    values = 10**length
    unbiased = 2**256 - 2**256 % values
    hashes = (_mac(key, "code", f"{nonce}|{generation}|{length}|{draw}|{address}") for draw in itertools.count())
    number = next(number for number in map(int.from_bytes, hashes) if number < unbiased)
    return str(number % values).zfill(length)


def derive_proof(*, key: str, handle: str, nonce: str, generation: int) -> str:
    """Return the proof that the mail's link carries beside the handle: 192 bits, URL-safe, 32 characters."""
    return base64.urlsafe_b64encode(_mac(key, "link", f"{handle}|{nonce}|{generation}")[:24]).decode()


@cache
def key_id(key: str) -> str:
    """Return the name under which a row remembers its key: 64 bits that reveal nothing of it."""
    return _mac(key, "key", "").hex()[:16]


def current_key_id() -> str:
    return key_id(settings.SECRET_KEY)


def key_of(sign_up: CaptchaModel) -> str | None:
    """The key that made the code of a row; None once it has left the settings."""
    return next((key for key in _keys() if key_id(key) == sign_up.key_id), None)


def handle_for(*seeds: str) -> str:
    """Return the handle of a request that must not be made twice: the same for the same seeds, else unguessable."""
    return base64.urlsafe_b64encode(_mac(settings.SECRET_KEY, "handle", "|".join(seeds))[:18]).decode()


def code_of(sign_up: CaptchaModel) -> str | None:
    """Return the code of a row; None once its key has left the settings."""
    key = key_of(sign_up)
    return key and derive_code(
        key=key,
        nonce=sign_up.nonce,
        address=sign_up.address,
        generation=sign_up.generation,
        length=sign_up.length,
    )


def proof_of(sign_up: CaptchaModel) -> str | None:
    """Return the proof of a row's current generation; None once its key has left."""
    key = key_of(sign_up)
    return key and derive_proof(key=key, handle=sign_up.handle, nonce=sign_up.nonce, generation=sign_up.generation)


def reference_of(sign_up: CaptchaModel, *, generation: int | None = None) -> str:
    """
    Return four letters that a mail and its page both show, so that a visitor knows which mail belongs to the page.

    Of a generation, by default the row's current one. They reveal nothing of code or link. Empty once the key has left.
    """
    key = key_of(sign_up)
    if key is None:
        return ""
    number = int.from_bytes(_mac(key, "reference", f"{sign_up.handle}|{generation or sign_up.generation}"))
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(4))


def link_token(sign_up: CaptchaModel) -> str | None:
    """Return the token of the mail's link: the handle and its proof."""
    proof = proof_of(sign_up)
    return proof and f"{sign_up.handle}.{proof}"


def is_proof(sign_up: CaptchaModel, proof: str) -> bool:
    """
    Whether a mail of this request, of the current generation or an earlier one, had a link with this proof. An earlier
    one may be from before a rotation of the key.
    """
    generations = range(1, sign_up.generation + 1)
    return any(
        same(derive_proof(key=key, handle=sign_up.handle, nonce=sign_up.nonce, generation=each), proof)
        for key, each in itertools.product(_keys(), generations)
    )


def same(right: str | None, typed: str) -> bool:
    """Whether a typed code or a proof is the right one, compared in constant time; nothing equals None."""
    return right is not None and hmac.compare_digest(right.encode(errors="replace"), typed.encode(errors="replace"))


def normalize(typed: str) -> str | None:
    """
    Return the ASCII digits that a person meant: digits of any one script, without the invisible characters, spaces,
    dashes and dots in them, and without the words around them that were copied from the mail too.

    None for anything else: two numbers, digits of two scripts, other signs, underscores (which Python's int() would
    take), and what is too long for a code.
    """
    if len(typed) > lengths.CODE:
        return None
    found = _CODE.fullmatch(unicodedata.normalize("NFKC", invisible.without(typed)))
    digits = re.sub(_SEPARATORS, "", found[1]) if found else ""
    # A digit of another script has its zero at another place.
    if not digits.isdecimal() or len({ord(digit) - unicodedata.decimal(digit) for digit in digits}) > 1:
        return None
    return "".join(str(unicodedata.decimal(digit)) for digit in digits)


def _keys() -> list[str]:
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _mac(key: str, purpose: str, message: str) -> bytes:
    own_key = hmac.digest(b"doorcode.verification." + purpose.encode(), key.encode(), sha256)
    return hmac.digest(own_key, message.encode(), sha256)
