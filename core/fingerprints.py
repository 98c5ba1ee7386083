"""Keyed hashes that stand for what is private: enough to tell two apart and to find one again, and no way back."""

import hmac

from django.conf import settings


def fingerprint(kind: str, value: str) -> str:
    """Return 16 hex digits for a value; another kind, or another SECRET_KEY, gives others."""
    key = f"doorcode.{kind}{settings.SECRET_KEY}".encode()
    return hmac.digest(key, value.encode(errors="replace"), "sha256").hex()[:16]


def of_address(address: str) -> str:
    """Return what a log has in the place of an email address."""
    return f"address-{fingerprint('address', address.lower())}"
