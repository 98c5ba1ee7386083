"""Find sign-up requests, and say how they stand. Nothing is changed here."""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings

from core import clock

from . import keys, limits
from .models import CaptchaModel
from .states import AlreadyRedeemed, HandleLost, State, state_of


def find(*, handles: Iterable[str]) -> list[CaptchaModel]:
    """Return the requests behind these handles, in their order; those that are lost are left out."""
    wanted = list(handles)
    rows = {row.handle: row for row in CaptchaModel.objects.filter(handle__in=wanted)}
    now = clock.now()
    return [rows[handle] for handle in wanted if state_of(rows.get(handle), at=now) is not State.LOST]


def by_link(*, handle: str, link_proof: str) -> CaptchaModel | None:
    """Return the request whose mail had this link; None for a forged link, and for a request that is over."""
    found = find(handles=[handle])
    return found[0] if found and keys.is_link_proof(found[0], link_proof) else None


def latest(*, address: str) -> CaptchaModel | None:
    """Return the newest request of a canonical address that isn't over."""
    row = CaptchaModel.objects.filter(address=address).order_by("-pk").first()
    return None if state_of(row, at=clock.now()) is State.LOST else row


def get(*, handle: str) -> CaptchaModel:
    """Return the request behind a handle. Raises HandleLost, or AlreadyRedeemed where it made its account."""
    captcha = CaptchaModel.objects.filter(handle=handle).first()
    if captcha is None or state_of(captcha, at=clock.now()) is State.LOST:
        raise AlreadyRedeemed if captcha and captcha.redeemed_at else HandleLost
    return captcha


def lock(*, captcha: CaptchaModel) -> CaptchaModel | None:
    """Return the row as it is now, held until the caller's transaction ends; None when it is gone."""
    return CaptchaModel.objects.select_for_update(no_key=True).filter(pk=captcha.pk).first()


def resend_wait(captcha: CaptchaModel) -> int:
    """Seconds until another mail of this request may be asked for, rounded up; 0 when it may be now."""
    wait = captcha.requested_at + timedelta(seconds=settings.RESEND_COOLDOWN) - clock.now()
    return max(0, -int(-wait.total_seconds() // 1))


def current_state(captcha: CaptchaModel) -> State:
    """The state of a request now."""
    return state_of(captcha, at=clock.now())


def takes_link_only(captcha: CaptchaModel) -> bool:
    """Whether no code proves this request any more, but its mail's link does."""
    now = clock.now()
    if state_of(captcha, at=now) in (State.LOST, State.EXPIRED):
        return False
    return limits.demand(address=captcha.address, at=now).link_only


def seconds_left(captcha: CaptchaModel) -> int:
    """Seconds that the code works yet, rounded up; of one whose mail was not accepted yet, those it will have."""
    now = clock.now()
    ends = captcha.expires_at or now + timedelta(seconds=settings.CAPTCHA_TTL)
    return max(0, -int(-(ends - now).total_seconds() // 1))


def minutes_left(captcha: CaptchaModel) -> int:
    """The same in minutes, rounded up."""
    return -(-seconds_left(captcha) // 60)
