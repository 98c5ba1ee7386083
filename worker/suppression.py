"""Mute sign-up mail to an address for a while, by a link in a mail that its owner didn't ask for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.core import signing
from django.db import transaction

from core import clock
from verification import services as verification
from verification.models import CaptchaModel

from .models import Delivery, Suppression

DAYS = 30
CONFIRM_SECONDS = 3_600  # from the first press to the second


class Notice(NamedTuple):
    """
    The content of a token: the request whose mail it came with, and the address of that mail. A mail about an account
    has no request (""): its token only undoes.
    """

    handle: str
    address: str


def _signer() -> signing.Signer:
    """A salt of its own: this token proves no mailbox, and no link proof mutes one."""
    return signing.Signer(salt="doorcode.worker.mute", sep=".")


def token_for(sign_up: CaptchaModel) -> str:
    """Return the token of the mail's mute link. It outlives the row, so that the link undoes at any time."""
    return _signer().sign_object([sign_up.handle, sign_up.address])


def undo_token_for(address: str) -> str:
    """Return the token of a link for a mail about the account of an address that is muted."""
    return _signer().sign_object(["", address])


def read(token: str) -> Notice | None:
    """Return the content of a token; None for one that is not ours."""
    try:
        return Notice(*_signer().unsign_object(token))
    except (signing.BadSignature, TypeError, ValueError):
        return None


def confirmation(token: str, *, undo: bool) -> str:
    """
    Return what the second press for a token has to bring. Only the answer to the first press has it, so whoever presses
    each button of the link's page once, as some mail scanners do, changes nothing.
    """
    return signing.dumps([token, undo], salt="doorcode.worker.mute.confirm")


def is_confirmed(text: str, token: str, *, undo: bool) -> bool:
    """Whether `text` is a confirmation for this step of this token, at most CONFIRM_SECONDS old."""
    try:
        confirmed = signing.loads(text, salt="doorcode.worker.mute.confirm", max_age=CONFIRM_SECONDS)
    except signing.BadSignature:
        return False
    return bool(confirmed == [token, undo])


def muted_until(*, address: str) -> datetime | None:
    """The time until which an address is muted; None where it is not."""
    return Suppression.objects.filter(address=address, until__gt=clock.now()).values_list("until", flat=True).first()


@transaction.atomic
def mute(*, notice: Notice) -> None:
    """Spend the request that the mail was about, and send the address no sign-up mail for DAYS days."""
    verification.void(handle=notice.handle)
    until = clock.now() + timedelta(days=DAYS)
    Suppression.objects.update_or_create(address=notice.address, defaults={"until": until})


def unmute(*, address: str) -> bool:
    """Send sign-up mail to a canonical address again; False where it was not muted. Its requests stay spent."""
    return bool(Suppression.objects.filter(address=address).delete()[0])


def mark(deliveries: Sequence[Delivery], *, at: datetime) -> None:
    """Set `muted_until` on the mails to muted addresses."""
    muted = Suppression.objects.filter(address__in={each.recipient for each in deliveries}, until__gt=at)
    until = dict(muted.values_list("address", "until"))
    for each in deliveries:
        each.muted_until = until.get(each.recipient)
