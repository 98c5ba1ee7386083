"""Why a mail stands where it stands, in a few words that can be counted; the whole reply is in the row."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core import clock

from .models import Delivery


class Reason(models.TextChoices):
    BUDGET = "budget", _("waits for the mail budget")
    ACCEPTED = "accepted", _("accepted")
    DEFERRED = "deferred", _("not now, said the mail server")
    REFUSED = "refused", _("refused by the mail server")
    MUTED = "muted", _("muted by the owner")
    SUPERSEDED = "superseded", _("another code took its place")
    OVER = "over", _("nothing to send any more")
    TROUBLE = "trouble", _("no answer from the mail server, or own trouble")


PREFIXES = {  # of `last_reply`: the first digit of a reply (RFC 5321 §4.2.1), or the outbox's own word
    "2": Reason.ACCEPTED,
    "4": Reason.DEFERRED,
    "5": Reason.REFUSED,
    "muted": Reason.MUTED,
    "superseded": Reason.SUPERSEDED,
    "the ": Reason.OVER,
}


def reason_of(delivery: Delivery) -> Reason | None:
    """The reason of a row; None where nothing has happened yet."""
    if delivery.last_reply:
        known = (reason for prefix, reason in PREFIXES.items() if delivery.last_reply.startswith(prefix))
        return next(known, Reason.TROUBLE)
    held = delivery.state == Delivery.State.PENDING and delivery.next_attempt_at > clock.now()
    return Reason.BUDGET if held else None


def matching(reason: str) -> Q:
    """The rows of a reason, as `reason_of` tells them."""
    if reason == Reason.BUDGET:
        return Q(last_reply="", state=Delivery.State.PENDING, next_attempt_at__gt=clock.now())
    if reason == Reason.TROUBLE:
        known = Q()
        for prefix in PREFIXES:
            known |= Q(last_reply__startswith=prefix)
        return ~known & ~Q(last_reply="")
    return Q(last_reply__startswith=next(prefix for prefix, each in PREFIXES.items() if each == reason))
