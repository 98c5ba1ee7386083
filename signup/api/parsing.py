"""What a body may be: one JSON object that every parser in the world reads alike (RFC 8259, I-JSON's RFC 7493)."""

import json
import math
from collections.abc import Iterable
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from core import lengths

from .codes import FIELDS, Code
from .problems import Refusal

DEPTH = 16  # of nested lists and objects; no call needs more than one
PARTS = 1_000  # commas and opening brackets; no call needs more than a few, and each costs time to look at


class StrictJSON(BaseParser):
    """
    Refuses what parsers disagree about, which is where attacks hide: keys that come twice, NaN and Infinity, text that
    is no Unicode (half surrogates, other encodings), numbers without end, and nesting that only costs.
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


class OnlyJSON(BaseContentNegotiation):
    """The body has to say that it is JSON. Accept is not looked at: there is one kind of answer (RFC 9110 §12.1)."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return next((each for each in parsers if request._request.content_type == each.media_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: Any = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


def refuse_other_types(request: Request) -> None:
    """
    Raise UnsupportedMediaType for a body that isn't said to be JSON: a page elsewhere can send forms and text.

    Where there is no body, clients and servers name some type for it all the same.
    """
    posted = request._request
    empty = posted.META.get("CONTENT_LENGTH", "0") in ("", "0")
    if not empty and posted.content_type not in ("", StrictJSON.media_type):
        raise UnsupportedMediaType(posted.content_type or "")


def texts(request: Request, shape: type[Serializer[Any]]) -> dict[str, str]:
    """
    Return the fields of a call that its body has, unknown ones left out. Each must be a string: 1234 is no code, nor
    is true a name. What they must hold is for the forms to say, which refuse one that was cut as too long.
    """
    found = {name: request.data[name] for name in shape._declared_fields if name in request.data}
    entry = {"code": str(Code.NOT_A_STRING), "message": str(FIELDS[Code.NOT_A_STRING])}
    errors = {name: [entry] for name, value in found.items() if not isinstance(value, str)}
    if errors:
        raise Refusal(Code.VALIDATION, detail=entry["message"], errors=errors)
    return {name: value[: lengths.FIELD] for name, value in found.items()}


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
