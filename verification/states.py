"""The state of a sign-up request, and what each state answers: the one table that any answer may depend on."""

from datetime import datetime, timedelta
from enum import Enum

from django.conf import settings
from django.db.models import Q

from . import keys
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


def state_of(captcha: CaptchaModel | None, *, at: datetime) -> State:
    """Return the state, from the row alone: never from what was typed, nor from whether it is a decoy."""
    if captcha is None or captcha.redeemed_at or captcha.created_at <= at - timedelta(seconds=settings.HANDLE_LIFETIME):
        return State.LOST
    if not keys.is_known(captcha):
        return State.EXPIRED
    ends = ends_at(captcha)
    if ends is None:
        return State.WAITING
    if ends <= at:
        return State.EXPIRED
    if captcha.attempts >= settings.CAPTCHA_MAX_ATTEMPTS:
        return State.EXHAUSTED
    return State.OPEN


def ends_at(captcha: CaptchaModel) -> datetime | None:
    """
    When the code expires; None before the first send of its mail. It can be typed from then on, as a mail may be read
    before the mail server's answer is on record, or though that was lost.
    """
    if captcha.expires_at or not captcha.mailed_at:
        return captcha.expires_at
    return captcha.mailed_at + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)


def valid(*, at: datetime) -> Q:
    """The rows whose code can expire, and has not: those with `ends_at` to come."""
    mailed = at - timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
    return Q(expires_at__gt=at) | Q(expires_at=None, mailed_at__gt=mailed)


def matching(state: State, *, at: datetime) -> Q:
    """The rows in a state, as `state_of` says it; but rows whose key has left the settings are not seen."""
    living = Q(redeemed_at=None, created_at__gt=at - timedelta(seconds=settings.HANDLE_LIFETIME))
    waiting, tried_out = Q(expires_at=None, mailed_at=None), Q(attempts__gte=settings.CAPTCHA_MAX_ATTEMPTS)
    return {
        State.LOST: ~living,
        State.WAITING: living & waiting,
        State.EXPIRED: living & ~waiting & ~valid(at=at),
        State.EXHAUSTED: living & valid(at=at) & tried_out,
        State.OPEN: living & valid(at=at) & ~tried_out,
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
