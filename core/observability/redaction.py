"""Redaction of logs and error reports: tokens are cut, pseudonyms (keyed hashes) stand for addresses."""

import hmac
import re
import socket
from collections.abc import Mapping
from typing import Any

from django.conf import settings

_TOKENS = re.compile(r"(/(?:signup/(?:link|mute)|password-reset/[^/\s\"]+|api/captchas)/)[^/\s\"?]{6,}")
_PASSWORD = re.compile(r"://[^\s@/\"]*@")  # of a URL, with its user
_CHAR = r"[^\s@<>\"'(),:;\\\[\]{}=/…]"
# A match starts a word, so that a long word is read only once.
_ADDRESS = re.compile(rf"(?<!{_CHAR}){_CHAR}+@(?P<domain>{_CHAR}+\.[\w-]*[^\W_])")
_HOST = socket.gethostname()


def pseudonym(kind: str, value: str) -> str:
    """Return 16 hex digits that stand for a private value of a kind. Without SECRET_KEY nobody finds it by them."""
    key = f"doorcode.{kind}{settings.SECRET_KEY}".encode()
    return hmac.digest(key, value.encode(errors="replace"), "sha256").hex()[:16]


def pseudonym_of_address(address: str) -> str:
    """Return the pseudonym of an email address in a log."""
    return f"address-{pseudonym('address', address.lower())}"


def scrub(text: str) -> str:
    """Return a text without the tokens of links and the passwords of URLs, and with pseudonyms for addresses."""
    text = _PASSWORD.sub("://…@", text)  # first, as a password may have escapes too
    text = text.replace("%40", "@").replace("%2F", "/")  # as a query has them
    if "/" not in text and "@" not in text:
        return text  # most texts have neither
    return _ADDRESS.sub(_hidden, without_tokens(text))


def without_tokens(text: str) -> str:
    """Return a text without the tokens of links, and the handles of sign-up requests, in its paths."""
    return _TOKENS.sub(r"\1…", text)


def scrub_all(value: Any) -> Any:
    """Scrub every text within a value. A value that is neither text nor number is converted to text."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(key): scrub_all(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub_all(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else scrub(str(value))


def _hidden(match: re.Match[str]) -> str:
    if match["domain"] == _HOST:
        return match[0]  # a Celery worker's name
    return pseudonym_of_address(match[0]) if settings.configured else "…"  # gunicorn's master has no settings
