"""A client of the API, and the mail server's part."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.factories import ALICE, PASSWORD, right
from tests.steps import deliver
from verification.models import CaptchaModel


class Api:
    """Speaks JSON, in a language, with a token if it has one."""

    def __init__(self) -> None:
        self.client, self.headers = Client(raise_request_exception=False), {"accept-language": "en"}

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.client.get(path, headers=self.headers | headers)

    def post(self, path: str, data: Any = None, **extra: Any) -> HttpResponse:
        given = {"content_type": "application/json"} if data is not None else {"content_type": ""}
        return self.client.post(path, data or "", **(given | extra), headers=self.headers)

    def ask(self, email: str = ALICE) -> CaptchaModel:
        """Ask for a code, and have its mail accepted."""
        answer = self.post("/api/captchas/", {"email": email})
        assert answer.status_code == 202, answer.content
        deliver()
        return CaptchaModel.objects.get(handle=answer.json()["id"])

    def register(self, sign_up: CaptchaModel, /, **fields: Any) -> HttpResponse:
        given = {"id": sign_up.handle, "email": sign_up.address, "captcha": right(sign_up)}
        return self.post("/api/users/", given | {"username": "alice", "password": PASSWORD} | fields)

    def sign_in(self, token: str) -> None:
        self.headers |= {"authorization": f"Token {token}"}


@pytest.fixture
def api(db: None) -> Api:
    return Api()


def codes(answer: HttpResponse) -> dict[str, list[str]]:
    """The codes of a problem's errors, by field."""
    return {name: [each["code"] for each in found] for name, found in answer.json().get("errors", {}).items()}
