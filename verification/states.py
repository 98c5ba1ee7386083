"""The state of a sign-up request, and what each state answers: the one table that any answer may depend on."""

from datetime import datetime, timedelta
from enum import Enum

from django.conf import settings
from django.db.models import Q

from core import clock

from . import codes
from .models import CaptchaModel


class VerificationError(Exception):
    """A request that can't be proven now. `code` is stable, for forms and the API to translate."""

    code = "verification"


class HandleLost(VerificationError):
    """The handle is unknown, forged, too old or redeemed: start again."""

    code = "session_lost"


class AlreadyRedeemed(HandleLost):
    """
    The handle made its account already. Told to who shows the handle, whatever code comes with it; to everybody who
    has none the answer is HandleLost.
    """

    code = "already_redeemed"


class CodeMismatch(VerificationError):
    """The code does not match. `attempts_left` is None where no try was counted."""

    code = "mismatch"

    def __init__(self, attempts_left: int | None = None) -> None:
        super().__init__(attempts_left)
        self.attempts_left = attempts_left


class TooManyAttempts(VerificationError):
    """The tries of this code are used up; the right code gets this answer too."""

    code = "too_many"


class CodeExpired(VerificationError):
    """The code's lifetime is over."""

    code = "expired"


class CodeTooShort(VerificationError):
    """So many codes were guessed wrongly that this one is too short now; a longer one has to be mailed."""

    code = "lengthened"


class LinkOnly(VerificationError):
    """So many codes of this address were guessed wrongly that only the mail's link proves now."""

    code = "link_only"


class State(Enum):
    LOST = "lost"  # unknown, forged, too old or redeemed
    WAITING = "waiting"  # no send of a mail of this generation has begun
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    OPEN = "open"


def state_of(sign_up: CaptchaModel | None) -> State:
    """The state now, from the row alone: never from what was typed, nor from whether it is a decoy."""
    at = clock.now()
    if sign_up is None or sign_up.redeemed_at or sign_up.created_at <= at - timedelta(seconds=settings.HANDLE_LIFETIME):
        return State.LOST
    if not codes.is_known(sign_up):
        return State.EXPIRED
    ends = ends_at(sign_up)
    if ends is None:
        return State.WAITING
    if ends <= at:
        return State.EXPIRED
    if sign_up.attempts >= settings.CAPTCHA_MAX_ATTEMPTS:
        return State.EXHAUSTED
    return State.OPEN


def ends_at(sign_up: CaptchaModel) -> datetime | None:
    """
    When the code expires; None before the first send of its mail. It can be typed from then on, as a mail may be read
    before the mail server's answer is on record, or though that was lost.
    """
    if sign_up.expires_at or not sign_up.mailed_at:
        return sign_up.expires_at
    return sign_up.mailed_at + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)


def valid(*, at: datetime) -> Q:
    """The rows whose code can expire, and has not: those with `ends_at` to come."""
    mailed = at - timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
    return Q(expires_at__gt=at) | Q(expires_at=None, mailed_at__gt=mailed)


def matching(state: State) -> Q:
    """The rows in a state, as `state_of` says it; but rows whose key has left the settings are not seen."""
    at = clock.now()
    unfinished = Q(redeemed_at=None, created_at__gt=at - timedelta(seconds=settings.HANDLE_LIFETIME))
    waiting, tried_out = Q(expires_at=None, mailed_at=None), Q(attempts__gte=settings.CAPTCHA_MAX_ATTEMPTS)
    return {
        State.LOST: ~unfinished,
        State.WAITING: unfinished & waiting,
        State.EXPIRED: unfinished & ~waiting & ~valid(at=at),
        State.EXHAUSTED: unfinished & valid(at=at) & tried_out,
        State.OPEN: unfinished & valid(at=at) & ~tried_out,
    }[state]


def refuse(state: State, *, address_fits: bool) -> None:
    """Raise what a state answers to any typed code; return where a code may be counted and compared."""
    if state is State.LOST:
        raise HandleLost
    if not address_fits or state is State.WAITING:
        raise CodeMismatch
    if state is State.EXPIRED:
        raise CodeExpired
    if state is State.EXHAUSTED:
        raise TooManyAttempts
