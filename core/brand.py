"""The site's colour, readable in light and dark, in pages and mails."""

from functools import cache
from typing import NamedTuple

from django.conf import settings

DEFAULT = "#1d5fd1"
# Backgrounds in signup/static/doorcode/site.css. In light mode that of the page and of notes, where links have less
# contrast than on the card; in dark mode that of the card.
LIGHT, DARK = "#f3f5f9", "#181f2a"
BLACK, WHITE = "#0b1424", "#ffffff"
CONTRAST = {LIGHT: 4.5, DARK: 7.0}  # of text with its background: WCAG 2.2, success criteria 1.4.3 and 1.4.6


class Palette(NamedTuple):
    """`color` is that of buttons and links, `deep` the same under the pointer, `ink` that of text on it."""

    color: str
    deep: str
    ink: str


def color() -> str:
    """The colour that the site chose, or ours."""
    return str(settings.BRAND_COLOR or DEFAULT)


@cache
def palette(color: str, background: str) -> Palette:
    """Return `color` (#rrggbb), mixed with black or white until its contrast with `background` suffices."""
    end = BLACK if background == LIGHT else WHITE
    shades = (_mixed(color, end, share / 20) for share in range(21))
    found = next(shade for shade in shades if _contrast(shade, background) >= CONTRAST[background])
    return Palette(found, _mixed(found, end, 0.2), max(BLACK, WHITE, key=lambda ink: _contrast(ink, found)))


def style_sheet(color: str) -> str:
    """Return the variables of the pages' style sheet for a colour."""
    return f"{_rule(palette(color, LIGHT))}\n@media (prefers-color-scheme: dark) {{ {_rule(palette(color, DARK))} }}\n"


def _rule(colors: Palette) -> str:
    return f":root {{ --brand: {colors.color}; --brand-deep: {colors.deep}; --on-brand: {colors.ink}; }}"


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _mixed(color: str, other: str, share: float) -> str:
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + bytes(round(one + (two - one) * share) for one, two in pairs).hex()


def _contrast(one: str, two: str) -> float:
    """The ratio of two colours' relative luminances, as WCAG 2.2 defines it."""
    dark, light = sorted(map(_luminance, (one, two)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = (channel / 255 for channel in _channels(color))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
