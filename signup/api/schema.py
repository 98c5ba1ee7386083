"""OpenAPI 3.1 by drf-spectacular: helpers for the decorators of the views, the schema, and its page for people."""

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from django.urls import include, path
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from drf_spectacular import utils
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.serializers import Serializer

from core import languages

from .problems import CONTENT_TYPE, REFUSALS, ErrorCode, Problem, field_errors, validation_problem
from .serializers import EXAMPLE_LANGUAGES, ProblemSerializer

Body = type[Serializer[Any]] | None

LOST_ID = (ErrorCode.SESSION_LOST, ErrorCode.ALREADY_REDEEMED)
TOKEN_ERRORS = (ErrorCode.NOT_AUTHENTICATED, ErrorCode.INVALID_TOKEN)
_BODY_ERRORS = (ErrorCode.MALFORMED, ErrorCode.VALIDATION)
_COMMON_ERRORS = (  # a client may send a body to any call, also to a GET
    ErrorCode.BAD_REQUEST, ErrorCode.TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE, ErrorCode.UNAVAILABLE,
)  # fmt: skip
_FIELDS = {  # where the refusals of the services appear; all others appear at the code
    ErrorCode.EMAIL_REGISTERED: "email",
    ErrorCode.USERNAME_TAKEN: "username",
    **dict.fromkeys(LOST_ID, "id"),
}

# Which calls may follow a call's success, with the `id` of its response: OpenAPI's links, for which drf-spectacular has
# no option. None fills a body: OpenAPI evaluates no expression within one, and openapi-generator refuses such a file.
_LINKS = {
    ("/api/captchas/", "202"): ("code_status", "resend_code"),
    ("/api/captchas/{id}/resend/", "202"): ("code_status",),
}
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255},
    "header",
    description=_(
        "A random value, such as a UUID, for one attempt to sign up. Repeating the call with the same value, address "
        "and network within 10 minutes returns the same request, and sends no other email."
    ),
)
_CHOICE = re.compile(r"^\* `(.+?)` - (.+)$\n?", re.MULTILINE)  # how drf-spectacular describes the values of a field


class OperationSchema(AutoSchema):
    """The headers of errors, and the body of a DELETE."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Any:
        """Describe the body of a DELETE, which OpenAPI 3.1 allows and drf-spectacular leaves out, as that of a POST."""
        method = "POST" if method == "DELETE" else method
        return super().get_operation(path, path_regex, path_prefix, method, registry)

    def get_override_parameters(self) -> list[Any]:
        seconds = {"type": "integer", "minimum": 1}
        return [
            OpenApiParameter("Retry-After", seconds, "header", description=_("Seconds to wait"), response=[429, 503]),
            OpenApiParameter("WWW-Authenticate", str, "header", response=[401]),
        ]


def extend_schema(
    *, responses: Mapping[int, Body], errors: Iterable[ErrorCode] = (), lost: Iterable[ErrorCode] = (), **options: Any
) -> Callable[[Any], Any]:
    """
    drf-spectacular's decorator for a call. `responses` are those without an error; `errors` are the codes of the call
    itself, to which those of any call, of any call with a body, and those of a `lost` id in the path are added.

    It is based on OperationSchema. Its own base is the DEFAULT_SCHEMA_CLASS of REST_FRAMEWORK, which a project may set
    for its own calls, or leave out.
    """
    body = options.get("request")
    by_status: dict[int, list[ErrorCode]] = {404: list(lost)} if lost else {}
    for code in (*errors, *(_BODY_ERRORS if body else ()), *_COMMON_ERRORS):
        by_status.setdefault(code.status or 400, []).append(code)
    problems = {
        (status, CONTENT_TYPE): OpenApiResponse(
            ProblemSerializer,
            description=", ".join(found),
            examples=[
                OpenApiExample(f"{code}.{tag}", _example(code, status, tag, body), summary=f"{code} ({language})")
                for tag, language in EXAMPLE_LANGUAGES.items()
                for code in found
            ],
        )
        for status, found in sorted(by_status.items())
    }

    def decorate(call: Any) -> Any:
        call.schema = OperationSchema
        return utils.extend_schema(tags=["Doorcode"], responses={**responses, **problems}, **options)(call)

    return decorate


def _example(code: ErrorCode, status: int, language: str, body: Body) -> dict[str, Any]:
    """The members of a problem, as the call would return them."""
    with translation.override(language):
        if code is ErrorCode.VALIDATION and body:
            return validation_problem(field_errors(ErrorCode.NOT_A_STRING, str(next(iter(body().fields))))).members
        if code in REFUSALS and status == 400:
            extra = {"code_length": 8} if code is ErrorCode.LENGTHENED else {}
            return validation_problem(field_errors(code, _FIELDS.get(code, "captcha")), **extra).members
        return Problem(code, status=status).members


class Generator(SchemaGenerator):
    """Describes the calls of this API, and none of other apps in the project; adds which call may follow which."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"patterns": [path("api/", include("signup.api.urls"))]})

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = super().get_schema(request, public)
        for (call, status), names in _LINKS.items():
            response = result["paths"][call]["post"]["responses"][status]
            response["links"] = {
                name: {"operationId": name, "parameters": {"id": "$response.body#/id"}} for name in names
            }
        for component in result["components"]["schemas"].values():
            for field in component.get("properties", {}).values():  # none of an enumeration
                field.pop("x-spec-enum-id", None)  # drf-spectacular's own note for its hook of enumerations
        return result


@cache
def document(language: str) -> dict[str, Any]:
    with translation.override(language):
        return Generator().get_schema(public=True)


@cache
def page(language: str) -> dict[str, Any]:
    """The schema as the page shows it: each body also has an `example` as text, its `codes`, and its `fields`."""
    schema = copy.deepcopy(document(language))
    shown = f".{language if language in EXAMPLE_LANGUAGES else languages.BASE}"
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    parts = [part for each in operations for part in (each.get("requestBody", {}), *each["responses"].values())]
    for body in [content for part in parts for content in part.get("content", {}).values()]:
        values = [example["value"] for name, example in body["examples"].items() if name.endswith(shown)]
        component = schema["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        texts = {name: field.get("description", "") for name, field in component["properties"].items()}
        body["example"] = json.dumps(values[0], ensure_ascii=False, indent=2)
        body["codes"] = [value.get("code") for value in values]
        body["fields"] = [(name, _CHOICE.sub("", text), _CHOICE.findall(text)) for name, text in texts.items() if text]
    return schema
