"""The schema, for programs and for people."""

import json
import re
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from rest_framework.request import Request

from . import examples
from .codes import FIELDS, PROBLEMS
from .schema import document
from .views import OpenCall

_CHOICE = re.compile(r"^\* `(.+?)` - (.+)$\n?", re.MULTILINE)  # how the generator writes the values of a field


class Schema(OpenCall):
    """OpenAPI 3.1 as JSON, its descriptions in the caller's language."""

    schema = None

    def get(self, request: Request) -> HttpResponse:
        return JsonResponse(document(translation.get_language()), json_dumps_params={"ensure_ascii": False})


class Docs(OpenCall):
    """The same as a page of ours: no script, and no other host. It follows the language switch, as pages do."""

    schema = None

    def language(self, request: HttpRequest) -> str:
        return translation.get_language_from_request(request)

    def get(self, request: Request) -> HttpResponse:
        language = translation.get_language()
        told = document(language)
        calls = [
            _call(operation, told, path=path, method=method.upper(), language=language)
            for path, operations in told["paths"].items()
            for method, operation in operations.items()
        ]
        return render(request._request, "api/docs.html", {"calls": calls, "problems": PROBLEMS, "fields": FIELDS})


def _call(operation: dict[str, Any], told: dict[str, Any], *, path: str, method: str, language: str) -> dict[str, Any]:
    """What the page shows of a call, its examples in the reader's language."""
    shown = language if language in examples.LANGUAGES else "zh-hans"
    answers = [
        {"status": status, "codes": _codes(answer), "example": _example(answer, shown), "gives": _fields(answer, told)}
        for status, answer in operation["responses"].items()
    ]
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation["description"],
        "token": bool(operation.get("security", [{}])[0]),
        "request": _example(operation.get("requestBody", {}), shown),
        "takes": _fields(operation.get("requestBody", {}), told),
        "answers": answers,
    }


def _codes(answer: dict[str, Any]) -> list[str]:
    named = _examples(answer)
    return [name.removesuffix(".en") for name in named if name.endswith(".en")]


def _example(body: dict[str, Any], language: str) -> str:
    value = next((each["value"] for name, each in _examples(body).items() if name.endswith(f".{language}")), None)
    return json.dumps(value, ensure_ascii=False, indent=2) if value is not None else ""


def _fields(body: dict[str, Any], told: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a body that have something said of them: their meaning, or that of each of their values."""
    names = [content["schema"]["$ref"].rpartition("/")[2] for content in body.get("content", {}).values()]
    shapes = [told["components"]["schemas"][name]["properties"] for name in names]
    found = [
        (name, field["description"]) for shape in shapes for name, field in shape.items() if "description" in field
    ]
    return [{"name": name, "meaning": _CHOICE.sub("", said), "choices": _CHOICE.findall(said)} for name, said in found]


def _examples(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for content in body.get("content", {}).values():
        found |= content["examples"]
    return found
