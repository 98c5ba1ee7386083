"""OpenAPI 3.1 by drf-spectacular: what the decorators of the views need, the schema itself, and its page for people."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.utils import translation
from django.utils.translation import gettext_lazy as _
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.serializers import Serializer

from .problems import CONTENT_TYPE, REFUSALS, ErrorCode, Problem
from .serializers import EXAMPLE_LANGUAGES, ProblemSerializer

_FIELDS = {  # where the refusals of the services appear; all others appear at the code
    ErrorCode.EMAIL_REGISTERED: "email",
    ErrorCode.USERNAME_TAKEN: "username",
    ErrorCode.SESSION_LOST: "id",
    ErrorCode.ALREADY_REDEEMED: "id",
}
_BODY_ERRORS = (ErrorCode.MALFORMED, ErrorCode.VALIDATION, ErrorCode.TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE)
_COMMON_ERRORS = (ErrorCode.BAD_REQUEST, ErrorCode.UNAVAILABLE)

_ID = "$response.body#/id"
# Which calls may follow a call's success, with what of its request and response: drf-spectacular has no option for it.
_LINKS: dict[str, dict[str, dict[str, Any]]] = {
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
_CHOICE = re.compile(r"^\* `(.+?)` - (.+)$\n?", re.MULTILINE)  # how drf-spectacular describes the values of a field


class OperationSchema(AutoSchema):
    """One tag, as the API has one purpose, and the headers of errors."""

    def get_tags(self) -> list[str]:
        return ["Doorcode"]

    def get_override_parameters(self) -> list[Any]:
        return [
            OpenApiParameter(
                "Retry-After",
                {"type": "integer", "minimum": 1},
                OpenApiParameter.HEADER,
                description=_("Seconds to wait"),
                response=[429, 503],
            ),
            OpenApiParameter("WWW-Authenticate", str, OpenApiParameter.HEADER, response=[401]),
        ]


def errors(
    *codes: ErrorCode, body: type[Serializer[Any]] | None = None, in_path: Sequence[ErrorCode] = ()
) -> dict[Any, OpenApiResponse]:
    """
    The problems of a call, for `responses` of `@extend_schema`, each with an example in English and Chinese.

    `codes` are the call's own, and those `in_path` are a 404, as its path names a lost request. The codes of any call,
    and of any call with a `body`, are added.
    """
    by_status: dict[int, list[ErrorCode]] = {404: list(in_path)} if in_path else {}
    for code in (*codes, *(_BODY_ERRORS if body else ()), *_COMMON_ERRORS):
        by_status.setdefault(code.status or 400, []).append(code)
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            ProblemSerializer,
            description=", ".join(found),
            examples=[
                OpenApiExample(
                    f"{code}.{language}", _example(code, status, language, body), summary=f"{code} ({called})"
                )
                for language, called in EXAMPLE_LANGUAGES.items()
                for code in found
            ],
        )
        for status, found in sorted(by_status.items())
    }


def _example(code: ErrorCode, status: int, language: str, body: type[Serializer[Any]] | None) -> dict[str, Any]:
    """The members of a problem, as the call would return them."""
    with translation.override(language):
        if code is ErrorCode.VALIDATION and body:
            field, entry = str(next(iter(body().fields))), ErrorCode.NOT_A_STRING
        elif code in REFUSALS and status == 400:
            field, entry = _FIELDS.get(code, "captcha"), code
        else:
            return Problem(code, status=status).members
        message = str(entry.meaning)
        return Problem(code, detail=message, errors={field: [{"code": str(entry), "message": message}]}).members


def postprocess(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add the links: a postprocessing hook of drf-spectacular."""
    for path in result["paths"].values():
        for operation in path.values():
            links = _LINKS.get(operation["operationId"], {})
            for status, response in operation["responses"].items():
                if links and status < "300":
                    response["links"] = {name: {"operationId": name, **link} for name, link in links.items()}
    for component in result["components"]["schemas"].values():
        for field in component["properties"].values():
            field.pop("x-spec-enum-id", None)  # drf-spectacular's own note for its hook of enumerations
    return result


@lru_cache(maxsize=8)
def document(language: str) -> dict[str, Any]:
    """The schema, its descriptions in a language."""
    with translation.override(language):
        schema: dict[str, Any] = SchemaGenerator().get_schema(public=True)
        return schema


def calls(language: str) -> list[dict[str, Any]]:
    """What the page shows of each call."""
    schema = document(language)
    return [
        {
            "id": operation["operationId"],
            "method": method.upper(),
            "path": path,
            "summary": operation["summary"],
            "description": operation["description"],
            "token": bool(operation.get("security", [{}])[0]),
            "request": _body(operation.get("requestBody", {}), schema, language),
            "responses": {
                status: _body(response, schema, language) for status, response in operation["responses"].items()
            },
        }
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]


def _body(part: dict[str, Any], schema: dict[str, Any], language: str) -> dict[str, Any]:
    """What the page shows of a request or response: an example, the codes of the problems, and the described fields."""
    if "content" not in part:
        return {}
    (content,) = part["content"].values()
    shown = language if language in EXAMPLE_LANGUAGES else "zh-hans"
    values = [example["value"] for name, example in content["examples"].items() if name.endswith(f".{shown}")]
    fields = schema["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]["properties"]
    return {
        "example": json.dumps(values[0], ensure_ascii=False, indent=2),
        "codes": [value["code"] for value in values if "code" in value],
        "fields": [
            {"name": name, "meaning": _CHOICE.sub("", said), "choices": _CHOICE.findall(said)}
            for name, field in fields.items()
            if (said := field.get("description", ""))
        ],
    }
