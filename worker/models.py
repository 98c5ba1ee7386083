"""The outbox. A row is the truth about one mail; the broker only wakes the workers."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import clock, email_addresses
from verification import services as verification
from verification.models import CaptchaModel

EXEMPT = Q(mailbox="") | Q(admitted_at__isnull=False)  # outside the mail limits, or admitted by them already
DEFERRED = Q(attempts__gt=0, next_attempt_at__gt=Now())  # of pending mails
WAITS_FOR_LIMIT = Q(state="pending", attempts=0, next_attempt_at__gt=Now())
ACCOUNT_KINDS = ("password_reset", "password_changed")  # mails to people who have an account; the others are sign-up's
SOON = timedelta(seconds=5)  # a mail that is not admitted, or may not be tried, within it is delayed by a mail limit
PATIENCE = timedelta(seconds=10)  # a mail that waits longer than this is delayed, tried or not


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self) -> Self:
        """Mails that may be sent now, by the database's clock."""
        return self.filter(state=Delivery.State.PENDING, next_attempt_at__lte=Now())

    def deferred(self) -> Self:
        """Mails that wait for their next try, after one that failed."""
        return self.filter(DEFERRED, state=Delivery.State.PENDING)

    def delayed_by_limit(self) -> Self:
        """Mails that waited, or wait now, for a mail limit."""
        return self.exclude(mailbox="").filter(WAITS_FOR_LIMIT | Q(admitted_at__gt=F("created_at") + SOON))

    def latest_about(self, sign_up: CaptchaModel) -> "Delivery | None":
        """The newest mail about a sign-up request."""
        return self.filter(sign_up=sign_up).order_by("-pk").first()

    def beside_limit(self, *, address: str, since: datetime) -> Self:
        """
        Sign-up mails that went past the mail limit to the mailbox of `address`. The mailbox of such a mail is that of
        the limited mail before it, which was admitted within a day of it: no code is valid for longer.
        """
        limited = self.filter(mailbox=email_addresses.mailbox(address), admitted_at__gt=since - timedelta(days=1))
        return self.filter(mailbox="", sign_up__in=limited.values("sign_up"), created_at__gt=since)

    def with_reason(self, reason: str) -> Self:
        """Mails that have this `Delivery.reason`."""
        if reason == Delivery.Reason.LIMIT:
            return self.filter(WAITS_FOR_LIMIT, last_reply="")
        if reason != Delivery.Reason.TROUBLE:
            return self.filter(last_reply__startswith=Delivery.REPLY_BEGINS[reason])
        rows = self.exclude(last_reply="")
        for beginning in Delivery.REPLY_BEGINS.values():
            rows = rows.exclude(last_reply__startswith=beginning)
        return rows

    def exempt(self) -> Self:
        """Mails that need no place in a mail limit: outside the limits, or admitted before."""
        return self.filter(EXEMPT)

    def supersede(self) -> int:
        """Take mails out of the outbox that would not help any more; return their number."""
        return self.update(state=Delivery.State.EXPIRED, last_reply="superseded")

    def lock(self) -> Self:
        """Lock what is read until the transaction ends, and pass over what others hold. (SQLite locks as a whole.)"""
        return self.select_for_update(skip_locked=True, no_key=True, of=("self",))


class Delivery(models.Model):
    """One mail on its way. It says what the mail is about, never what is in it: that is derived at the send."""

    is_muted = False  # suppression.mark sets it

    class Kind(models.TextChoices):
        CODE = "code", _("code")
        REGISTERED = "registered", _("already registered")
        PASSWORD_RESET = "password_reset", _("password reset")
        PASSWORD_CHANGED = "password_changed", _("password changed")

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        SENDING = "sending", _("sending")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        EXPIRED = "expired", _("expired")

    class Reason(models.TextChoices):
        LIMIT = "limit", _("waits for the mail limit")
        ACCEPTED = "accepted", _("accepted")
        DEFERRED = "deferred", _("not now, said the mail server")
        REFUSED = "refused", _("refused by the mail server")
        MUTED = "muted", _("muted by the owner")
        SUPERSEDED = "superseded", _("another code took its place")
        OVER = "over", _("nothing to send any more")
        TROUBLE = "trouble", _("no answer from the mail server, or own trouble")

    # `last_reply` begins with the first digit of an SMTP reply (RFC 5321 §4.2.1), or with the outbox's own word.
    REPLY_BEGINS: ClassVar[dict[str, str]] = {
        Reason.ACCEPTED: "2",
        Reason.DEFERRED: "4",
        Reason.REFUSED: "5",
        Reason.MUTED: "muted",
        Reason.SUPERSEDED: "superseded",
        Reason.OVER: "the ",
    }

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    recipient = models.CharField(_("recipient"), max_length=254)
    language = models.CharField(_("language"), max_length=16)
    sign_up = models.ForeignKey(CaptchaModel, models.SET_NULL, null=True, blank=True, verbose_name=_("sign-up request"))
    generation = models.PositiveIntegerField(_("generation"), default=0)  # of the captcha
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, verbose_name=_("user"))
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # What the mail limits count by: the mailbox, empty for a mail outside them, and a pseudonym of who asked.
    mailbox = models.CharField(max_length=254, blank=True, default="", db_default="")
    network = models.CharField(max_length=16, blank=True, default="", db_default="")
    admitted_at = models.DateTimeField(_("within the mail limit"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    next_attempt_at = models.DateTimeField(_("next attempt"))
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True)
    message_id = models.CharField("Message-ID", max_length=255)
    published_at = models.DateTimeField(_("bell rung"), null=True, blank=True)
    sent_at = models.DateTimeField(_("accepted by the mail server"), null=True, blank=True)
    last_reply = models.CharField(_("last reply"), max_length=255, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="delivery_due"),
            models.Index(fields=["lease_until"], condition=Q(state="sending"), name="delivery_leased"),
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending") & EXEMPT, name="delivery_uncharged"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state="pending", kind__in=ACCOUNT_KINDS),
                name="delivery_account_due",
            ),
            models.Index(
                fields=["mailbox", "-id"], condition=Q(state="pending", admitted_at=None), name="delivery_waiting"
            ),
            models.Index(
                fields=["mailbox", "admitted_at"], condition=Q(admitted_at__isnull=False), name="delivery_mailbox"
            ),
            # For people and the purge: posted since, ended badly, to an address or to what begins so.
            models.Index(fields=["created_at"], name="delivery_created"),
            models.Index(fields=["-id"], condition=Q(state__in=["failed", "expired"]), name="delivery_dead"),
            models.Index(fields=["recipient"], opclasses=["varchar_pattern_ops"], name="delivery_recipient"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def waits_for_limit(self) -> bool:
        """Whether it waits for its first try because of a mail limit."""
        return self.state == self.State.PENDING and self.attempts == 0 and self.next_attempt_at > clock.now()

    @property
    def leaves_at(self) -> datetime | None:
        """When a mail may leave that waits for a mail limit; None for any other."""
        return self.next_attempt_at if self.waits_for_limit and self.next_attempt_at - clock.now() > SOON else None

    @property
    def visible_state(self) -> str:
        """
        What a visitor sees: queued, sending, sent, delayed (a try failed, a mail limit makes it wait, or it waits for
        longer than usual) or failed (refused for good, or given up). The same for every address.
        """
        if self.state in (self.State.FAILED, self.State.EXPIRED):
            return "failed"
        if self.state == self.State.SENT:
            return "sent"
        now, first_try = clock.now(), self.attempts == (1 if self.state == self.State.SENDING else 0)
        if not first_try or now - self.created_at > PATIENCE or self.next_attempt_at - now > SOON:
            return "delayed"
        return "sending" if self.state == self.State.SENDING else "queued"

    @property
    def reason(self) -> Reason | None:
        """Why it has the state that it has; None before the first try."""
        if not self.last_reply:
            return self.Reason.LIMIT if self.waits_for_limit else None
        known = (reason for reason, begin in self.REPLY_BEGINS.items() if self.last_reply.startswith(begin))
        return self.Reason(next(known, self.Reason.TROUBLE))

    @property
    def is_wanted(self) -> bool:
        """Whether it would still help: True for what is about no code, else by the state of that code."""
        return self.sign_up is None or verification.is_wanted(self.sign_up, self.generation)

    @property
    def is_for_nobody(self) -> bool:
        """Whether a reset was asked for at an address without an account: the row is there, and nothing is sent."""
        return self.kind == self.Kind.PASSWORD_RESET and self.user_id is None

    @property
    def is_held_back(self) -> bool:
        """Whether nothing will be handed over, so that it takes no place in a mail limit."""
        return self.is_muted or self.is_for_nobody


class SiteMails(models.Model):
    """The mails of one minute, over the whole site, by the limit that they count for."""

    minute = models.DateTimeField(_("minute"), primary_key=True)
    mails = models.PositiveIntegerField(_("sign-up mails"), default=0)
    resets = models.PositiveIntegerField(_("password resets"), default=0, db_default=0)

    class Meta:
        verbose_name = _("mail tally")
        verbose_name_plural = _("mail tallies")

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Heartbeat(models.Model):
    """The last sign of life of a worker process."""

    name = models.CharField(_("name"), max_length=96, primary_key=True)  # host:pid
    beat_at = models.DateTimeField(_("last heard of"))
    mail_server_broken = models.BooleanField(_("leaves the mail server alone"), default=False)
    broker_broken = models.BooleanField(_("leaves the broker alone"), default=False)

    class Meta:
        verbose_name = _("worker process")
        verbose_name_plural = _("worker processes")

    def __str__(self) -> str:
        return self.name


class Suppression(models.Model):
    """An address whose owner wants no sign-up mail for a while. No page tells anybody else."""

    address = models.CharField(_("email address"), max_length=254, primary_key=True)
    until = models.DateTimeField(_("until"))

    class Meta:
        verbose_name = _("muted address")
        verbose_name_plural = _("muted addresses")
        indexes = [models.Index(fields=["until"], name="mute_until")]  # for the purge

    def __str__(self) -> str:
        return self.address
