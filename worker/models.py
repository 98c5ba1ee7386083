"""The outbox. A row is the truth about one mail; the broker only wakes the workers."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from verification import services as verification
from verification.models import CaptchaModel

EXEMPT = Q(mailbox="") | Q(admitted_at__isnull=False)  # outside the mail limits, or admitted by them already
DEFERRED = Q(attempts__gt=0, next_attempt_at__gt=Now())  # of pending mails
ACCOUNT_KINDS = ("password_reset", "password_changed")  # mails to people who have an account; the others are sign-up's


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self) -> Self:
        """Mails that may be sent now, by the database's clock."""
        return self.filter(state=Delivery.State.PENDING, next_attempt_at__lte=Now())

    def deferred(self) -> Self:
        """Mails that wait for their next try, after one that failed."""
        return self.filter(DEFERRED, state=Delivery.State.PENDING)

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

    is_muted = False  # mutes.mark sets it

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

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    recipient = models.CharField(_("recipient"), max_length=254)
    language = models.CharField(_("language"), max_length=16)
    captcha = models.ForeignKey(CaptchaModel, models.SET_NULL, null=True, blank=True, verbose_name=_("sign-up request"))
    generation = models.PositiveIntegerField(_("generation"), default=0)  # of the captcha
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, verbose_name=_("user"))
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # What the mail limits count by: the mailbox, empty for a mail outside them, and a pseudonym of who asked.
    mailbox = models.CharField(max_length=254, blank=True, default="", db_default="")
    network = models.CharField(max_length=16, blank=True, default="", db_default="")
    admitted_at = models.DateTimeField(_("within the budget"), null=True, blank=True)
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
    def is_wanted(self) -> bool:
        """Whether it would still help: True for what is about no code, else by the state of that code."""
        return self.captcha is None or verification.is_wanted(self.captcha, self.generation)

    @property
    def is_for_nobody(self) -> bool:
        """Whether a reset was asked for at an address without an account: the row is there, and nothing is sent."""
        return self.kind == self.Kind.PASSWORD_RESET and self.user_id is None

    @property
    def is_held_back(self) -> bool:
        """Whether nothing will be handed over, so that it takes no place in a mail limit."""
        return self.is_muted or self.is_for_nobody


class MailTally(models.Model):
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


class Mute(models.Model):
    """An address whose owner wants no sign-up mail for a while. No page tells anybody else."""

    address = models.CharField(_("email address"), max_length=254, primary_key=True)
    until = models.DateTimeField(_("until"))

    class Meta:
        verbose_name = _("muted address")
        verbose_name_plural = _("muted addresses")
        indexes = [models.Index(fields=["until"], name="mute_until")]  # for the purge

    def __str__(self) -> str:
        return self.address
