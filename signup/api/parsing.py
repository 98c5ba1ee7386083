"""Reads a body: one JSON object that every parser in the world reads alike (RFC 8259, and I-JSON of RFC 7493)."""

import json
import math
from collections.abc import Iterable
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

DEPTH = 16  # of nested lists and objects; no call needs more than one
PARTS = 1_000  # commas and opening brackets; no call needs more than a few, and each takes time to check


class StrictJSONParser(BaseParser):
    """
    Refuses what parsers disagree about, because attacks hide there: a key that comes twice, NaN and Infinity, text that
    is not Unicode (half surrogates, other encodings), endless numbers, and nesting that only costs time.
    """

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        try:
            text = stream.read().decode()
            if sum(map(text.count, ",[{")) > PARTS:
                _refuse("too many parts")
            parsed = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
            _check(parsed)
        except (ValueError, RecursionError) as error:
            raise ParseError from error
        if not isinstance(parsed, dict):
            raise ParseError
        return parsed


class NoContentNegotiation(BaseContentNegotiation):
    """One parser and one renderer: `refuse_other_types` checks Content-Type, and Accept is ignored (RFC 9110 §12.1)."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: Any = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


def refuse_other_types(request: Request) -> None:
    """
    Raise UnsupportedMediaType for a body without `Content-Type: application/json`. Browsers let the pages of other
    sites post forms and text without a preflight.

    Clients and servers name any type for an empty body, so an empty body passes.
    """
    content_type = request.content_type.partition(";")[0].strip().lower()
    is_empty = request.META.get("CONTENT_LENGTH", "0") in ("", "0")
    if not is_empty and content_type != StrictJSONParser.media_type:
        raise UnsupportedMediaType(content_type)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse(what: str) -> NoReturn:
    raise ValueError(what)


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _check(value: Any, depth: int = 0) -> None:
    """Raise ValueError for nesting over DEPTH, and for text that can't be encoded."""
    if depth > DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (dict, list)):
        for part in [*value, *(value.values() if isinstance(value, dict) else ())]:
            _check(part, depth + 1)
