"""What a visitor may know of a mail."""

from datetime import datetime, timedelta

from core import addresses, clock
from verification.models import CaptchaModel

from .models import Delivery

State = Delivery.State

PATIENCE = timedelta(seconds=10)  # a mail that waits longer than this is late, tried or not
SOON = timedelta(seconds=5)  # one that may not be tried before this is late already: a mail limit makes it wait


def latest(*, captcha: CaptchaModel) -> Delivery | None:
    """The newest mail about a captcha."""
    return Delivery.objects.filter(captcha=captcha).order_by("-pk").first()


def has_unlimited(*, address: str, since: datetime) -> bool:
    """
    Whether a mail about a sign-up went past the mail limit to the mailbox of `address`. The mailbox of such a mail is
    that of the limited mail before it, which was admitted within a day of it: longer no code lives.
    """
    limited = Delivery.objects.filter(mailbox=addresses.mailbox(address), admitted_at__gt=since - timedelta(days=1))
    beside = Delivery.objects.filter(mailbox="", captcha__in=limited.values("captcha"), created_at__gt=since)
    return beside.exists()


def leaves_at(delivery: Delivery | None) -> datetime | None:
    """When a mail may leave that a mail limit holds back; None for any other."""
    held = delivery is not None and delivery.waits_for_limit and delivery.next_attempt_at - clock.now() > SOON
    return delivery.next_attempt_at if delivery and held else None


def visible_state(delivery: Delivery | None) -> str:
    """
    Return queued, sending, sent, delayed (a try failed, a mail limit makes it wait, or it waits for longer than usual)
    or failed (refused for good, or given up). The same for every address.
    """
    if delivery is None or delivery.state in (State.FAILED, State.EXPIRED):
        return "failed"
    if delivery.state == State.SENT:
        return "sent"
    now, first_try = clock.now(), delivery.attempts == (1 if delivery.state == State.SENDING else 0)
    if not first_try or now - delivery.created_at > PATIENCE or delivery.next_attempt_at - now > SOON:
        return "delayed"
    return "sending" if delivery.state == State.SENDING else "queued"
