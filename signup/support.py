"""An operator's help for one person: send the mail again, or unlock the address."""

from dataclasses import dataclass

from django.db import transaction

from core import ratelimit
from verification import guess_limits
from verification.models import CaptchaModel
from verification.states import HandleLost
from worker import suppression
from worker.models import Delivery
from worker.outbox import requeue

from . import limits, services
from .models import User


class AddressSuppressed(Exception):
    """The address of a sign-up gets no mail for a while."""


@dataclass(frozen=True)
class Unlocked:
    guesses: int  # wrong codes that are forgotten
    sign_ins: bool  # whether wrong passwords are forgotten: not while Redis is down
    muted: bool  # whether sign-up mail was suppressed, for any reason, and is sent again


def find(*, address: str) -> CaptchaModel:
    """Return the newest request of a canonical address. Raises HandleLost unless it waits for its code."""
    newest = CaptchaModel.objects.filter(address=address).order_by("-pk").values("pk")[:1]
    sign_up = CaptchaModel.objects.waiting_for_code().filter(pk=newest).first()
    if sign_up is None:
        raise HandleLost
    return sign_up


def resend(*, sign_up: CaptchaModel, dry_run: bool = False) -> Delivery | None:
    """
    Have the mail of a request sent again; return its delivery. A mail that ended undelivered is sent at once, past
    cooldown and mail limits. Any other is asked for as by the visitor: raises HandleLost, or ResendTooSoon within
    RESEND_COOLDOWN of the last one. Raises AddressSuppressed if the worker would drop it. With `dry_run` it does all
    of this, and rolls it back.
    """
    if suppression.holds(address=sign_up.address):
        raise AddressSuppressed
    last = Delivery.objects.latest_about(sign_up)
    with transaction.atomic():
        if last is None or not requeue(delivery_id=last.pk):  # only one that ended undelivered is
            services.resend(sign_up=sign_up, language=last.language if last else "")
        transaction.set_rollback(dry_run)
    return Delivery.objects.latest_about(sign_up)


def unlock(*, address: str, unmute: bool, dry_run: bool) -> Unlocked:
    """
    Forget the wrong guesses at the codes of an address, and the wrong passwords for its account; with `unmute` send
    sign-up mail to it again, whatever it was suppressed for. An attacker gets new guesses too, so use it for one person
    at a time. A code whose tries are used up stays so: its visitor asks for another.
    """
    with transaction.atomic():
        guesses = guess_limits.forget(address=address)
        muted = unmute and suppression.lift(address=address)
        transaction.set_rollback(dry_run)
    # An account signs in by its address or its username, so both counters are deleted. Two others stay:
    # LIMIT_LOGIN_PAIR, which ends within minutes, and that of a browser that signed in before: within an hour.
    names = [address, *User.objects.filter(email=address).values_list("username_key", flat=True)]
    sign_ins = True
    for name in [] if dry_run else filter(None, names):
        sign_ins = ratelimit.forget(limits.LOGIN_ACCOUNT, key=name) and sign_ins
    return Unlocked(guesses, sign_ins, muted)
