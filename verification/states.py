"""The state of a sign-up request, and what each state answers: the one table that any answer may depend on."""

from datetime import datetime, timedelta
from enum import Enum

from django.conf import settings

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
    WAITING = "waiting"  # no mail of this generation was accepted yet
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    OPEN = "open"


def state_of(captcha: CaptchaModel | None, *, at: datetime) -> State:
    """Return the state, from the row alone: never from what was typed, nor from whether it is a decoy."""
    if captcha is None or captcha.redeemed_at or captcha.created_at <= at - timedelta(seconds=settings.HANDLE_LIFETIME):
        return State.LOST
    if not keys.is_known(captcha):
        return State.EXPIRED
    if captcha.expires_at is None:
        return State.WAITING
    if captcha.expires_at <= at:
        return State.EXPIRED
    if captcha.attempts >= settings.CAPTCHA_MAX_ATTEMPTS:
        return State.EXHAUSTED
    return State.OPEN


def is_waiting(captcha: CaptchaModel) -> bool:
    """Whether no mail of the current generation was accepted yet."""
    return captcha.expires_at is None


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
