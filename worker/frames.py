"""
The words of a mail, rendered once for all who get them: what is one person's alone is put in afterwards.

A template that filters those values or measures them is noticed, and rendered for each mail. One may not ask what they
are: `{% if code == "1234" %}` is not seen.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.html import escape

from .models import Delivery

FRAMED = (Delivery.Kind.CODE, Delivery.Kind.REGISTERED)  # the others say who they are for, in words of their own
PARTS = ("subject.txt", "body.txt", "body.html")
HOLES = ("code", "link", "mute_url", "reference", "email")
_HOLE = re.compile(f"\ue000({'|'.join(HOLES)})\ue001")  # of Unicode's private use area: no template has them

Words = tuple[str, ...]  # one for each of PARTS
Frame = tuple[tuple[str, ...], ...]  # for each of PARTS: what is the same for all, and between it the names of holes


def render(kind: str, language: str, context: Mapping[str, Any]) -> Words:
    """Return subject, text and HTML of templates/mail/<kind>/ in a language."""
    frame = None
    if kind in FRAMED and not settings.DEBUG:  # in DEBUG templates are edited while they are used
        fixed = tuple((name, value) for name, value in context.items() if name not in HOLES)
        sizes = tuple((name, len(context[name])) for name in HOLES if name in context)
        frame = _frame(kind, language, fixed, sizes)
    return _fill(frame, context) if frame else _rendered(kind, language, context)


@lru_cache(maxsize=512)
def _frame(
    kind: str, language: str, fixed: tuple[tuple[str, Any], ...], sizes: tuple[tuple[str, int], ...]
) -> Frame | None:
    """Return the frame of these mails; None where filling it is not the same as rendering."""
    holes = {name: f"\ue000{name}\ue001" for name, _ in sizes}
    frame = tuple(tuple(_HOLE.split(part)) for part in _rendered(kind, language, {**dict(fixed), **holes}))
    trial = {**dict(fixed), **{name: ("Aa<&'" * size)[:size] for name, size in sizes}}
    return frame if _fill(frame, trial) == _rendered(kind, language, trial) else None


def _fill(frame: Frame, context: Mapping[str, Any]) -> Words:
    plain = {name: str(context[name]) for name in HOLES if name in context}
    escaped = {name: str(escape(value)) for name, value in plain.items()}
    return tuple(
        "".join(values[piece] if number % 2 else piece for number, piece in enumerate(pieces))
        for pieces, values in zip(frame, (plain, plain, escaped), strict=True)
    )


def _rendered(kind: str, language: str, context: Mapping[str, Any]) -> Words:
    with translation.override(language):
        return tuple(render_to_string(f"mail/{kind}/{part}", dict(context)) for part in PARTS)
