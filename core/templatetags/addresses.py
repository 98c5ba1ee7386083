"""Email addresses in templates: `{% load addresses %}`."""

import unicodedata

from django import template

from core import email_addresses

register = template.Library()


@register.filter
def shown(address: str) -> str:
    """The address as people know it. Isolated if from right to left, or a number behind it would stand before it."""
    text = email_addresses.shown(address)
    is_rtl = any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)
    return f"\u2068{text}\u2069" if is_rtl else text
