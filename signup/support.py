"""What an operator does for one person who writes in: send the mail again, lift what keeps them out."""

from dataclasses import dataclass

from django.db import transaction

from core import ratelimit
from verification import limits as guesses
from verification import lookup
from verification.models import CaptchaModel
from worker import mutes
from worker.models import Delivery
from worker.requeue import requeue

from . import limits, services
from .models import User


class NothingToSend(services.SignupError):
    """No sign-up of this address waits for a code: there was none in the last day, or it is done."""

    code = "nothing_to_send"


@dataclass(frozen=True)
class Lifted:
    """What was taken back, or would be."""

    guesses: int
    sign_ins: bool
    muted: bool


def find(*, address: str) -> CaptchaModel:
    """Return the newest request of a canonical address that waits for its code. Raises NothingToSend."""
    captcha = lookup.latest(address=address)
    if captcha is None or captcha.proven_at:
        raise NothingToSend
    return captcha


def resend(*, captcha: CaptchaModel) -> Delivery | None:
    """
    Have the mail of a request sent again, within the budgets of its mailbox; return the row that will carry it.

    Raises HandleLost, or ResendTooSoon where a mail was asked for less than RESEND_COOLDOWN ago.
    """
    last = Delivery.objects.latest_about(captcha)
    given_up = last is not None and last.state in (Delivery.State.FAILED, Delivery.State.EXPIRED)
    if not (last and given_up and requeue(delivery_ids=[last.pk])):
        services.resend(captcha=captcha, language=last.language if last else "")
    return Delivery.objects.latest_about(captcha)


def unlock(*, address: str, unmute: bool, dry_run: bool) -> Lifted:
    """
    Forget the wrong guesses at the codes of an address, and the wrong passwords for its account; with `unmute` also
    that its owner wanted no sign-up mail. Who guessed starts anew as well, so this is for one person, not for a habit.
    """
    with transaction.atomic():
        count = guesses.forget(address=address)
        muted = mutes.lift(address=address) if unmute else False
        if dry_run:
            transaction.set_rollback(True)
    user = User.objects.filter(email=address).first()
    names = [address, *([user.username_key] if user and user.username_key else [])]
    reached = dry_run or all(ratelimit.forget(limits.LOGIN_ACCOUNT, key=name) for name in names)
    return Lifted(guesses=count, sign_ins=reached, muted=muted)
