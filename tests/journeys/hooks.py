"""For schemathesis: how it signs in. Calls with a token get a new one each, as one of them signs out."""

import os
from typing import Any

import requests
import schemathesis

ERIN = {"username": "erin", "password": "correct horse b"}


@schemathesis.auth(refresh_interval=None)
class Token:
    def get(self, case: Any, context: schemathesis.AuthContext) -> str:
        answer = requests.post(f"{os.environ['DOORCODE']}/api/login/", json=ERIN, timeout=30)
        return str(answer.json()["token"])

    def set(self, case: Any, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Token {data}"


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Names that could be somebody's are Erin's, so that walks get past the sign-in."""
    signs_in = context.operation is not None and context.operation.label == "POST /api/login/"
    return ERIN if signs_in and isinstance(body, dict) and str(body.get("username", "")).isalpha() else body
