"""OpenAPI 3.1 of the calls: drf-spectacular reads the views; what it can't know comes from `calls` and `examples`."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from drf_spectacular.utils import OpenApiResponse, extend_schema

from . import examples, shapes
from .calls import CALLS
from .problems import CONTENT_TYPE

# The names of RFC 9110 and RFC 6585. Python's own names for some of them differ between its versions.
_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    413: "Content Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests", 503: "Service Unavailable",
}  # fmt: skip
_RETRY_AFTER = {"Retry-After": {"description": "s", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_HEADERS = {401: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}
_ID = "$response.body#/id"
_FOLLOWS: dict[str, dict[str, dict[str, Any]]] = {
    "ask_code": {
        "code_status": {"parameters": {"id": _ID}},
        "resend_code": {"parameters": {"id": _ID}},
        "register": {"requestBody": {"id": _ID, "email": "$request.body#/email"}},
    },
    "resend_code": {"code_status": {"parameters": {"id": _ID}}},
    "register": {
        "sign_in": {"requestBody": {"username": "$response.body#/username", "password": "$request.body#/password"}}
    },
}


class Describe(AutoSchema):
    """One tag for all: the API has one purpose."""

    def get_tags(self) -> list[str]:
        return ["Doorcode"]


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "signup.api.tokens.Authentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return build_bearer_security_scheme_object(header_name="Authorization", token_prefix="Token")  # noqa: S106


def describe(call: str) -> Callable[[Any], Any]:
    """Say of a view's method which call it is."""
    doc = CALLS[call]
    answers: dict[Any, Any] = {doc.status: OpenApiResponse(doc.gives, description=_REASONS[doc.status])}
    for status in sorted({examples.status_of(call, code) for code in doc.all_refusals}):
        answers[(status, CONTENT_TYPE)] = OpenApiResponse(shapes.Problem, description=_REASONS[status])
    return extend_schema(
        operation_id=call, summary=doc.summary, description=doc.description, request=doc.takes, responses=answers
    )


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add what drf-spectacular has no words for: examples in both languages, headers, and which call follows which."""
    for path in result["paths"].values():
        for operation in path.values():
            _complete(operation)
    for shape in result["components"]["schemas"].values():
        for field in shape["properties"].values():
            field.pop("x-spec-enum-id", None)  # a note of the generator to itself
    return result


@lru_cache(maxsize=8)
def document(language: str) -> dict[str, Any]:
    """Return the schema with its descriptions in a language."""
    with translation.override(language):
        found: dict[str, Any] = SchemaGenerator().get_schema(public=True)
        return found


def _complete(operation: dict[str, Any]) -> None:
    call = operation["operationId"]
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
        _exemplify(operation["requestBody"], lambda language: {call: examples.request_of(call, language)})
    for key, answer in operation["responses"].items():
        _complete_answer(call, int(key), answer)


def _complete_answer(call: str, status: int, answer: dict[str, Any]) -> None:
    if status in _HEADERS:
        answer["headers"] = _HEADERS[status]
    if status >= 400:
        _exemplify(answer, lambda language: dict(examples.refusals_of(call, status, language)))
    elif "content" in answer:
        _exemplify(answer, lambda language: {call: examples.answer_of(call, language)})
    if status < 400 and call in _FOLLOWS:
        answer["links"] = {name: {"operationId": name, **link} for name, link in _FOLLOWS[call].items()}


def _exemplify(place: dict[str, Any], make: Callable[[str], Mapping[Any, Any]]) -> None:
    """Give the one content type of a body its examples, named after code and language."""
    (content,) = place["content"].values()
    content["examples"] = {
        f"{name}.{language}": {"summary": f"{name} ({called})", "value": value}
        for language, called in examples.LANGUAGES.items()
        for name, value in make(language).items()
    }
