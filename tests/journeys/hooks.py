"""
For schemathesis: which calls follow another, and how it signs in. Calls that take a token get a new one each, as one of
them signs out. All others come with one, which the tenth that is newer ends: a sign-in costs a hash.
"""

import os
from functools import cache
from typing import Any

import requests
import schemathesis

ERIN = {"username": "erin", "password": "correct horse b"}
TAKING_A_TOKEN = ("/api/logout/", "/api/users/me/")  # the paths of calls that do begin so

# The calls that follow with parts of a body. Schemathesis alone reads expressions there, so the schema has none of them.
LINKS = {
    ("/api/captchas/", "202"): {"register": {"id": "$response.body#/id", "email": "$request.body#/email"}},
    ("/api/users/", "201"): {
        "sign_in": {"username": "$response.body#/username", "password": "$request.body#/password"}
    },
}


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    for (path, status), links in LINKS.items():
        response = raw_schema["paths"][path]["post"]["responses"][status]
        response.setdefault("links", {}).update(
            {name: {"operationId": name, "requestBody": body} for name, body in links.items()}
        )


def sign_in() -> str:
    """Return a new token."""
    answer = requests.post(f"{os.environ['DOORCODE']}/api/login/", json=ERIN, timeout=30)
    return str(answer.json()["token"])


shared_token = cache(sign_in)


@schemathesis.auth(refresh_interval=None)
class Token:
    def get(self, case: Any, context: schemathesis.AuthContext) -> str:
        return sign_in() if case.operation.path.startswith(TAKING_A_TOKEN) else shared_token()

    def set(self, case: Any, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Token {data}"


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Names that could be somebody's are Erin's, so that walks get past the sign-in."""
    signs_in = context.operation is not None and context.operation.label == "POST /api/login/"
    return ERIN if signs_in and isinstance(body, dict) and str(body.get("username", "")).isalpha() else body
