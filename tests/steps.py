"""A visitor's steps, by the test client."""

from django.http import HttpResponse
from django.test import Client

from core import clock
from tests.factories import ALICE, PASSWORD, right
from verification import services
from verification.models import CaptchaModel
from worker import outbox
from worker.classification import Outcome, Reply
from worker.models import Delivery


def accept(sign_up: CaptchaModel | None = None) -> CaptchaModel:
    """The mail of a request, the newest unless one is given, was accepted."""
    sign_up = sign_up or CaptchaModel.objects.latest("pk")
    sign_up.refresh_from_db()
    services.accept(mails=[(sign_up.pk, sign_up.generation)], at=clock.now())
    sign_up.refresh_from_db()
    return sign_up


def ask(client: Client, email: str = ALICE, **fields: str) -> CaptchaModel:
    """Ask for a code, and have its mail accepted."""
    assert client.post("/signup/", {"email": email, **fields}).status_code == 303
    return accept()


def deliver() -> list[Delivery]:
    """A worker claims what is due, and the mail server accepts it; return the mails."""
    mine = outbox.claim(limit=50)
    if mine:
        outbox.settle(results=[(each, Reply(Outcome.ACCEPTED, "250 OK")) for each in mine])
    return mine


def verify(client: Client, sign_up: CaptchaModel, /, **fields: str) -> HttpResponse:
    """Post a code, the right one unless another is given, with a username and a password."""
    given = {"email": sign_up.address, "captcha": right(sign_up), "username": "alice", "password": PASSWORD}
    return client.post("/signup/verify/", given | fields)
