"""
Addresses that get no sign-up mail for a while: after a bounce or a complaint, or because their owner said "this wasn't
me" by the link of a mail.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core import signing
from django.db import transaction
from django.db.models.functions import Greatest

from core import clock
from verification import services as verification
from verification.models import CaptchaModel

from .models import Delivery, Suppression

MUTE_DAYS = 30  # after "this wasn't me"
SUPPRESSION_DAYS = (1, 7, 90)  # after the 1st, 2nd and each later bounce or complaint
FORGOTTEN_DAYS = 90  # after the end of a suppression: the next bounce or complaint is a first one again
CONFIRM_SECONDS = 3_600  # from the first press to the second


class Notice(NamedTuple):
    """
    The content of a token: the request whose mail it came with, and the address of that mail. A mail about an account
    has no request (""): its token only undoes.
    """

    handle: str
    address: str


def _signer() -> signing.Signer:
    """A salt of its own: this token proves no mailbox, and no proof mutes one."""
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
    """The time until which an address is muted, as its owner disowned a sign-up; None if it is not."""
    muted = Suppression.objects.active().filter(address=address, reason=Suppression.Reason.DISOWNED)
    return muted.values_list("until", flat=True).first()


@transaction.atomic
def mute(*, notice: Notice) -> None:
    """Spend the request that the mail was about, and send the address no sign-up mail for at least MUTE_DAYS days."""
    verification.void(handle=notice.handle)
    until = clock.now() + timedelta(days=MUTE_DAYS)
    _add(address=notice.address, until=until)
    mine = Suppression.objects.filter(address=notice.address)
    mine.update(reason=Suppression.Reason.DISOWNED, until=Greatest("until", until))


def suppress(*, address: str, reason: Suppression.Reason) -> None:
    """
    Send a canonical address no sign-up mail for a time that grows; in the caller's transaction. While a suppression
    holds, another report does not lengthen it: it may be about a mail that was sent before the first report came.
    """
    known = Suppression.objects.select_for_update().filter(address=address).first()
    now = clock.now()
    if known and known.until > now:
        return
    times = known.times + 1 if known else 1
    until = now + timedelta(days=SUPPRESSION_DAYS[min(times, len(SUPPRESSION_DAYS)) - 1])
    facts = {"reason": reason, "times": times, "until": until}
    if known:
        Suppression.objects.filter(address=address).update(**facts)
    else:  # if a parallel report was first, its row stays
        _add(address=address, **facts)


def _add(**columns: Any) -> None:
    """Add a row unless there is one. (`get_or_create` raises IntegrityError if that is deleted meanwhile.)"""
    Suppression.objects.bulk_create([Suppression(**columns)], ignore_conflicts=True)


def holds(*, address: str) -> bool:
    """Whether a canonical address gets no sign-up mail now, for whatever reason."""
    return Suppression.objects.active().filter(address=address).exists()


def lift(*, address: str) -> bool:
    """
    Send sign-up mail to a canonical address again, whatever it was suppressed for; False if it was not. Requests
    that were disowned stay spent.
    """
    was_suppressed = holds(address=address)
    Suppression.objects.filter(address=address).delete()
    return was_suppressed


def mark(deliveries: Sequence[Delivery]) -> None:
    """Set `suppression` on the mails to suppressed addresses."""
    found = Suppression.objects.active().in_bulk({each.recipient for each in deliveries})
    for each in deliveries:
        each.suppression = found.get(each.recipient)
