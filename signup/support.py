"""An operator's help for one person: send the mail again, or unlock the address."""

from dataclasses import dataclass

from django.db import transaction

from core import ratelimit
from verification import guess_limits
from verification.models import CaptchaModel
from verification.states import State, state_of
from worker import suppression
from worker.models import Delivery
from worker.outbox import requeue

from . import limits, services
from .models import User


class NothingToSend(services.SignupError):
    """No sign-up for this address waits for a code: there was none in the last day, or it is finished."""

    code = "nothing_to_send"


@dataclass(frozen=True)
class Lifted:
    """The result of an unlock, or of a dry run."""

    guesses: int  # wrong codes
    sign_ins: bool  # False if Redis is down: wrong passwords still count
    muted: bool


def find(*, address: str) -> CaptchaModel:
    """Return the newest request of a canonical address that waits for its code. Raises NothingToSend."""
    sign_up = CaptchaModel.objects.filter(address=address).order_by("-pk").first()
    if sign_up is None or sign_up.proven_at or state_of(sign_up) is State.LOST:
        raise NothingToSend
    return sign_up


def resend(*, sign_up: CaptchaModel) -> Delivery | None:
    """
    Have the mail of a request sent again, within the mail limits; return its delivery.

    Raises HandleLost, or ResendTooSoon within RESEND_COOLDOWN of the last mail.
    """
    last = Delivery.objects.latest_about(sign_up)
    given_up = last is not None and last.state in (Delivery.State.FAILED, Delivery.State.EXPIRED)
    if not (last and given_up and requeue(delivery_ids=[last.pk])):
        services.resend(sign_up=sign_up, language=last.language if last else "")
    return Delivery.objects.latest_about(sign_up)


def unlock(*, address: str, unmute: bool, dry_run: bool) -> Lifted:
    """
    Forget the wrong guesses at the codes of an address, and the wrong passwords for its account; with `unmute` send
    sign-up mail to it again. An attacker gets new guesses too, so use it for one person at a time.
    """
    with transaction.atomic():
        guesses = guess_limits.forget(address=address)
        muted = suppression.unmute(address=address) if unmute else False
        if dry_run:
            transaction.set_rollback(True)
    user = User.objects.filter(email=address).first()
    names = [address, *([user.username_key] if user and user.username_key else [])]
    forgotten = dry_run or all(ratelimit.forget(limits.LOGIN_ACCOUNT, key=name) for name in names)
    return Lifted(guesses=guesses, sign_ins=forgotten, muted=muted)
