"""Reads a body: one JSON object that every parser reads alike (RFC 8259, and I-JSON of RFC 7493)."""

import json
from typing import IO, Any

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

DEPTH = 16  # of nested lists and objects; no call needs more than one
PARTS = 1_000  # commas and opening brackets; no call needs more than a few, and each takes time to check


class StrictJSONParser(JSONParser):
    """
    Refuses bodies that parsers disagree about, because attacks hide there: a key that comes twice, NaN and Infinity,
    text that is not Unicode (half surrogates, other encodings), and nesting that only costs time.
    """

    def parse(self, stream: IO[Any], media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        try:
            return _read(stream.read().decode())
        except (ValueError, RecursionError) as error:
            raise ParseError from error


def require_json(request: Request) -> None:
    """
    Raise UnsupportedMediaType for a body without `Content-Type: application/json`: browsers let the pages of other
    sites post forms and text without a preflight. An empty body passes, as clients name any type for it.
    """
    is_empty = request.META.get("CONTENT_LENGTH", "0") in ("", "0")
    content_type = request.content_type.partition(";")[0].strip().lower()
    if not is_empty and content_type != StrictJSONParser.media_type:
        raise UnsupportedMediaType(content_type)


def _read(text: str) -> dict[str, Any]:
    if sum(map(text.count, ",[{")) > PARTS:
        raise ValueError("too many parts")
    found = json.loads(text, object_pairs_hook=_unique_keys)
    if not isinstance(found, dict) or _depth(found) > DEPTH:
        raise ValueError("no object, or nested too deeply")
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # raises for half surrogates, NaN and infinity
    return found


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
