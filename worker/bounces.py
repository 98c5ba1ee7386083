"""Reports about accepted mails: a mail bounced, or its reader reported it as spam. They may come in any order."""

from dataclasses import dataclass
from itertools import product

from django.db import transaction
from django.db.models import TextChoices
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from core import invisible
from core.observability import redaction
from core.observability.counters import Counter
from verification import codes

from . import suppression
from .classification import Cause, without_code
from .models import Delivery, DeliveryQuerySet, Suppression

State = Delivery.State


class Effect(TextChoices):
    RECORDED = "recorded", _("recorded")
    REPEATED = "repeated", _("known already")  # or something worse was
    UNKNOWN = "unknown", _("about no mail of this site")  # forged, or the row was purged


counted = Counter(
    "doorcode_mail_reports",
    "Reports of bounced mails and of complaints, by what they were about and what they changed",
    ["state", "outcome"],
    known=product(Delivery.RETURNED, Effect.values),
)


@dataclass(frozen=True)
class Report:
    """
    What became of one mail, named by our Message-ID or by the id that the mail service gave it. `text` has the words of
    the recipient's mail server, or of the reporter.
    """

    state: State  # BOUNCED or COMPLAINED
    text: str
    cause: Cause | None = None
    is_permanent: bool = True  # another mail would bounce too
    message_id: str = ""
    provider_id: str = ""

    @property
    def suppression_reason(self) -> Suppression.Reason | None:
        """Why its address is suppressed; None if it isn't, as after a bounce that is not the mailbox's fault."""
        if self.state == State.COMPLAINED:
            return Suppression.Reason.COMPLAINED
        return Suppression.Reason.BOUNCED if self.cause is Cause.MAILBOX and self.is_permanent else None

    def find(self) -> DeliveryQuerySet:
        """The mail that it is about."""
        if self.message_id:
            return Delivery.objects.filter(message_id=self.message_id)
        return Delivery.objects.filter(provider_id=self.provider_id) if self.provider_id else Delivery.objects.none()


def record(report: Report) -> Effect:
    """
    Record a report with its mail, and suppress the address if it says so. A complaint overrides a bounce, and a
    bounce everything else; so neither the order of reports nor a repeated one matters.

    If the mail server's answer to a mail is not on record yet, the report shows that the mail was accepted. Its worker
    then records the answer too late, and changes nothing.
    """
    # One query for a report of another program's mail: services send up to a thousand at once, of the whole account.
    effect = _record(report) if report.find().exists() else Effect.UNKNOWN
    counted.add_after_commit(report.state, effect.value)
    return effect


@transaction.atomic
def _record(report: Report) -> Effect:
    delivery = report.find().select_for_update(of=("self",)).first()
    if delivery is None:
        return Effect.UNKNOWN
    if delivery.state in (report.state, State.COMPLAINED):
        return Effect.REPEATED
    text = redaction.without_tokens(invisible.one_line(report.text))
    if code := codes.code_of(delivery.sign_up) if delivery.sign_up else None:
        text = without_code(text, code)
    Delivery.objects.filter(pk=delivery.pk).end_lease(
        report.state,
        sent_at=Coalesce("sent_at", Now()),
        last_reply=text[:255],
        cause=report.cause or "",
    )
    # Mail about an account suppresses nothing: sign-up mail that then fails would show that there is one.
    if report.suppression_reason and not delivery.is_about_account:
        suppression.suppress(address=delivery.recipient, reason=report.suppression_reason)
    return Effect.RECORDED
