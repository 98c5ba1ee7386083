"""Why a sign-up can't go on, the state of a sign-up request, and the answer of each state to a typed code."""

from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.db.models import Q

from core import clock

from . import codes
from .models import CaptchaModel, live, max_lifetime


class SignUpError(Exception):
    """A sign-up that can't go on. Each kind has a stable `code`, for forms and the API to translate."""

    code: str


class HandleLost(SignUpError):
    """The handle is unknown, forged, too old or redeemed: start again."""

    code = "session_lost"  # the API's stable name; no Django session is meant


class AlreadyRedeemed(HandleLost):
    """The handle has created its account already. Only for a visitor who holds it; HandleLost for everybody else."""

    code = "already_redeemed"


class CodeMismatch(SignUpError):
    """The code does not match. `attempts_left` is None if no try was counted."""

    code = "mismatch"

    def __init__(self, attempts_left: int | None = None) -> None:
        super().__init__(attempts_left)
        self.attempts_left = attempts_left


class TooManyAttempts(SignUpError):
    """The tries of this code are used up; the right code gets this answer too."""

    code = "too_many"


class CodeExpired(SignUpError):
    """The code's lifetime is over."""

    code = "expired"


class CodeTooShort(SignUpError):
    """After so many wrong guesses this code is too short; a longer one has to be mailed."""

    code = "lengthened"


class LinkOnly(SignUpError):
    """After so many wrong guesses at this address, only the link in its mail proves."""

    code = "link_only"


class ResendTooSoon(SignUpError):
    """A mail of this request was asked for less than RESEND_COOLDOWN ago. `retry_after` is in seconds."""

    code = "resend_wait"

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class State(StrEnum):
    LOST = "lost"  # see HandleLost
    WAITING = "waiting"  # no send of a mail of this generation has begun
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    OPEN = "open"


def state_of(sign_up: CaptchaModel) -> State:
    """The state now. It depends on the row alone, never on the typed code or on whether the row is a decoy."""
    if not sign_up.is_live:
        return State.LOST
    if codes.key_of(sign_up) is None:
        return State.EXPIRED
    if sign_up.ends_at is None:
        return State.WAITING
    if sign_up.ends_at <= clock.now():
        return State.EXPIRED
    if sign_up.attempts >= settings.CAPTCHA_MAX_ATTEMPTS:
        return State.EXHAUSTED
    return State.OPEN


def resend_wait(sign_up: CaptchaModel) -> int:
    """
    Seconds until another mail of this request may be asked for; 0 if it may be now. There is no wait for a new code if
    the old one has expired or its tries are used up, but the mail limits apply.
    """
    if state_of(sign_up) in (State.EXPIRED, State.EXHAUSTED):
        return 0
    return clock.seconds_until(sign_up.requested_at + timedelta(seconds=settings.RESEND_COOLDOWN))


def matching(state: State) -> Q:
    """The rows in a state, as `state_of` decides, except that it does not look at whether the row's key is known."""
    now = clock.now()
    waiting = Q(expires_at=None, mailed_at=None)
    mailed = Q(expires_at=None, mailed_at__gt=now - max_lifetime())
    valid = Q(expires_at__gt=now) | mailed
    exhausted = Q(attempts__gte=settings.CAPTCHA_MAX_ATTEMPTS)
    return {
        State.LOST: ~live(),
        State.WAITING: live() & waiting,
        State.EXPIRED: live() & ~waiting & ~valid,
        State.EXHAUSTED: live() & valid & exhausted,
        State.OPEN: live() & valid & ~exhausted,
    }[state]


def require_open(sign_up: CaptchaModel, *, address: str) -> None:
    """Return if a code typed with this address may be counted and compared; else raise the state's answer to any."""
    state = state_of(sign_up)
    if state is State.LOST:
        raise HandleLost
    if sign_up.address != address or state is State.WAITING:
        raise CodeMismatch
    if state is State.EXPIRED:
        raise CodeExpired
    if state is State.EXHAUSTED:
        raise TooManyAttempts
