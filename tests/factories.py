"""Makers of the rows that tests need, clocks that stand still, and the right code and a wrong one of a request."""

import html
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, Value
from django.http import HttpResponse

from core import clock
from signup.models import User
from verification import codes, services
from verification.models import CaptchaModel
from worker import outbox, suppression
from worker.models import Delivery

ALICE, BOB = "alice@example.com", "bob@example.com"
PASSWORD = "correct horse b"


class FrozenClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self._now = at

    def now(self) -> datetime:
        return self._now

    def set(self, at: datetime) -> None:
        self._now = at

    def move(self, **delta: float) -> None:
        self._now += timedelta(**delta)


def clocks_of_the_outbox() -> dict[str, Any]:
    """What replaces the database's clock, by the names under which the outbox has it: the domain's clock."""

    def now() -> Value:
        return Value(clock.now(), DateTimeField())

    return dict.fromkeys(("worker.outbox.Now", "worker.models.Now", "worker.sweeper.Now", "worker.health.Now"), now)


def make_user(username: str = "alice", email: str = ALICE, **fields: Any) -> User:
    """An account that is active."""
    return User.objects.create_user(email=email, username=username, password=PASSWORD, **fields)


def make_pending(email: str = ALICE) -> User:
    """An account that waits for its proof."""
    return User.objects.create(email=email, created_at=clock.now())


def make_captcha(address: str = ALICE, *, accepted: bool = True, decoy: bool = False) -> CaptchaModel:
    """A request whose code is open, or waits for its mail."""
    sign_up = services.issue(address=address, decoy=decoy)
    if accepted:
        services.accept(mails=[(sign_up.pk, sign_up.generation)], at=sign_up.created_at)
        sign_up.refresh_from_db()
    return sign_up


def make_delivery(sign_up: CaptchaModel | None = None, **fields: Any) -> Delivery:
    """A mail that is due now."""
    given = {"kind": Delivery.Kind.CODE, "recipient": ALICE, "language": "en", "network": None, **fields}
    delivery = outbox.post(sign_up=sign_up, **given)
    delivery.refresh_from_db()
    return delivery


def claim_mail() -> Delivery:
    """The newest mail that is due, as a worker gets it."""
    return max(outbox.claim(limit=50), key=lambda mail: mail.pk)


def make_muted(address: str = ALICE) -> str:
    """Mute an address by a mail to it; return the path of that mail's link."""
    sign_up = make_captcha(address)
    token = suppression.token_for(sign_up)
    suppression.mute(notice=suppression.Notice(sign_up.handle, address))
    return f"/signup/mute/{token}/"


def text_of(page: HttpResponse) -> str:
    """The text of a page as a person reads it: entities resolved."""
    return html.unescape(page.content.decode())


def right(sign_up: CaptchaModel) -> str:
    """The code of a request."""
    code = codes.code_of(sign_up)
    assert code
    return code


def wrong(sign_up: CaptchaModel) -> str:
    """A code of the same length that is not it."""
    return other_code(right(sign_up))


def other_code(code: str) -> str:
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
