"""The outbox, and the tables beside it. A row is the truth about one mail; the broker only wakes the workers."""

import random
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import reduce
from hashlib import sha256
from operator import or_
from typing import ClassVar, Self

from django.conf import settings
from django.db import connection, models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import clock, email_addresses, languages
from verification import services as verification
from verification.models import CaptchaModel

from .classification import BLOCKED, Cause

PAST_LIMITS = Q(mailbox="") | Q(admitted_at__isnull=False)  # outside the mail limits, or admitted by them already
DEFERRED = Q(state="pending", attempts__gt=0, next_attempt_at__gt=Now())
WAITS_FOR_LIMIT = Q(state="pending", attempts=0, next_attempt_at__gt=Now())
UNSETTLED = ("pending", "sending")
UNDELIVERED = ("failed", "expired", "bounced")  # settled, and not with its reader
# Mails to people who have an account, and asked for them. All others are about a sign-up that anybody may have begun.
ACCOUNT_KINDS = ("password_reset", "password_changed")
UNANSWERED = "unanswered:"  # begins the last reply of a mail that was handed over and not answered
SOON = timedelta(seconds=5)  # a mail that a mail limit puts off by more than this counts as delayed
PATIENCE = timedelta(seconds=10)  # a mail that waits for longer than this counts as delayed, for whatever reason


def new_message_id(language: str) -> str:
    """
    A Message-ID at the domain of the language's sender. Nobody can guess it, so a report that names it comes from
    somebody who had the mail.
    """
    return f"<{secrets.token_hex(16)}@{languages.sender_address(language).rpartition('@')[2]}>"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self) -> Self:
        """Mails that may be sent now, by the database's clock."""
        return self.filter(state=Delivery.State.PENDING, next_attempt_at__lte=Now())

    def lease_expired(self) -> Self:
        """Claimed mails whose lease is over."""
        return self.filter(state=Delivery.State.SENDING, lease_until__lte=Now())

    def longest_due(self) -> tuple[int, timedelta] | None:
        """The id of the mail that has been due for longest, and for how long; None if none is due."""
        return self.due().order_by("next_attempt_at").values_list("pk", Now() - F("next_attempt_at")).first()

    def deferred(self) -> Self:
        """Mails that wait for their next try, after one that failed."""
        return self.filter(DEFERRED)

    def unanswered(self) -> Self:
        """Mails that were handed over and not answered, so that they may have been accepted."""
        return self.filter(state=Delivery.State.SENDING, last_reply__startswith=UNANSWERED)

    def blocked(self) -> Self:
        """Mails that were refused for good, and not for their recipient."""
        return self.filter(state=Delivery.State.FAILED, cause__in=BLOCKED)

    def delayed_by_limit(self) -> Self:
        """Mails that waited, or wait now, for a mailbox's limit."""
        return self.exclude(mailbox="").filter(WAITS_FOR_LIMIT | Q(admitted_at__gt=F("created_at") + SOON))

    def latest_about(self, sign_up: CaptchaModel) -> "Delivery | None":
        """The newest mail about a sign-up request."""
        return self.filter(sign_up=sign_up).order_by("-pk").first()

    def beside_limit(self, *, address: str) -> Self:
        """
        Sign-up mails of the last day to the mailbox of `address` that went past the mail limit. Their rows name no
        mailbox, so they are found by their requests: each had a mail within the limit before, which was admitted at
        most a day earlier, as no code is valid for longer.
        """
        now, day = clock.now(), timedelta(days=1)
        limited = self.filter(mailbox=email_addresses.mailbox(address), admitted_at__gt=now - 2 * day)
        return self.filter(mailbox="", sign_up__in=limited.values("sign_up"), created_at__gt=now - day)

    def supersede(self) -> int:
        """Take mails that are useless by now out of the outbox; return their number."""
        return self.end_lease(Delivery.State.EXPIRED, last_reply=Delivery.Reason.SUPERSEDED)

    def lock_available(self) -> Self:
        """Lock the rows until the transaction ends; skip those that others lock. (SQLite locks the whole database.)"""
        return self.select_for_update(skip_locked=True, no_key=True, of=("self",))

    def lock_newest_and_oldest(self, limit: int) -> list["Delivery"]:
        """
        Lock and return up to `limit` mails, by the time at which they became due: half of them the newest, so that a
        visitor does not wait behind a backlog, half the oldest, so that no mail waits forever.
        """
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # When mails pile up, the planner still expects a handful: for these it would collect and sort all rows.
                cursor.execute("SET LOCAL enable_bitmapscan = off")
        half = (limit + 1) // 2 if limit > 1 else random.getrandbits(1)  # of one place: by chance
        rows = list(self.lock_available().order_by("-next_attempt_at")[:half])
        if len(rows) == half < limit:
            others = self.lock_available().exclude(pk__in=[row.pk for row in rows])
            rows += others.order_by("next_attempt_at")[: limit - half]
        return rows

    def advisory_lock(self, names: Iterable[str]) -> None:
        """
        Lock names until the transaction ends: mailboxes, or a limit of the whole site, which have no row that the ORM
        could lock. In one order for all, so that no two transactions wait for each other. SQLite locks all anyway.
        """
        if connection.vendor == "postgresql":
            digests = (sha256(each.encode()).digest() for each in names)
            keys = sorted(int.from_bytes(digest[:8], signed=True) for digest in digests)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", [keys])

    def leased(self, *claimed: "Delivery") -> Self:
        """
        The rows of claimed mails whose lease, under which they were claimed, still holds. A settled mail has no token,
        nor has one that may have been accepted: its lease is longer.
        """
        tokens = {each.lease_token for each in claimed}
        return self.filter(pk__in=[each.pk for each in claimed], state=Delivery.State.SENDING, lease_token__in=tokens)

    def end_lease(self, state: "Delivery.State", **columns: object) -> int:
        """Move claimed mails to another state; return their number."""
        return self.update(state=state, lease_token="", lease_until=None, **columns)


class Delivery(models.Model):
    """One mail. The row says what it is about; its code and links are derived when it is sent, and stored nowhere."""

    suppression: "Suppression | None" = None  # of its recipient, if one holds now; suppression.mark sets it

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
        EXPIRED = "expired", _("expired")  # not sent: useless by now, or its address gets no mail (see Reason)
        BOUNCED = "bounced", _("bounced")  # accepted, and then returned
        COMPLAINED = "complained", _("reported as spam")

    RETURNED: ClassVar[list[State]] = [State.BOUNCED, State.COMPLAINED]  # later news of an accepted mail

    class Reason(models.TextChoices):
        LIMIT = "limit", _("waits for the mail limit")
        ACCEPTED = "accepted", _("accepted")
        DEFERRED = "deferred", _("deferred by the mail server")
        REFUSED = "refused", _("refused by the mail server")
        MUTED = "muted", _("muted by the owner")
        SUPPRESSED = "suppressed", _("not sent: the address is suppressed")
        SUPERSEDED = "superseded", _("another code took its place")
        OVER = "over", _("nothing to send any more")
        NO_ANSWER = "no_answer", _("no answer from the mail server, or a fault of this site")

    # `last_reply` begins with the first digit of an SMTP reply (RFC 5321 §4.2.1), or it is a text of this site: the
    # reason itself, or why there is nothing to send.
    REPLY_BEGINS: ClassVar[dict[str, str]] = {
        Reason.ACCEPTED: "2",
        Reason.DEFERRED: "4",
        Reason.REFUSED: "5",
        Reason.MUTED: Reason.MUTED,
        Reason.SUPPRESSED: Reason.SUPPRESSED,
        Reason.SUPERSEDED: Reason.SUPERSEDED,
        Reason.OVER: "the ",  # code can't be derived any more, account is gone … (the texts of messages.Unbuildable)
    }

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    recipient = models.CharField(_("recipient"), max_length=email_addresses.MAX_LENGTH)
    # The account's; of one that has none, the visitor's.
    language = models.CharField(_("language"), max_length=languages.MAX_LENGTH)
    sign_up = models.ForeignKey(CaptchaModel, models.SET_NULL, null=True, blank=True, verbose_name=_("sign-up request"))
    generation = models.PositiveIntegerField(_("generation"), default=0)  # of the sign-up request
    # Of a password reset it is set when a worker claims the mail, in memory alone (worker/resets.py).
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, verbose_name=_("user"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # The mail limits count by mailbox, empty for a mail outside them, and by the pseudonym of the network that asked.
    mailbox = models.CharField(max_length=email_addresses.MAX_LENGTH, blank=True, default="", db_default="")
    network = models.CharField(max_length=16, blank=True, default="", db_default="")
    admitted_at = models.DateTimeField(_("within the mail limit"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    first_tried_at = models.DateTimeField(_("first tried"), null=True, blank=True)
    next_attempt_at = models.DateTimeField(_("next attempt"))
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True)
    message_id = models.CharField("Message-ID", max_length=255)
    # The id that a mail service gave it; empty for a mail by SMTP.
    provider_id = models.CharField(_("id of the mail service"), max_length=255, blank=True, default="", db_default="")
    tried_early_at = models.DateTimeField(_("tried early"), null=True, blank=True)  # as others were accepted
    sent_at = models.DateTimeField(_("accepted by the mail server"), null=True, blank=True)
    last_reply = models.CharField(_("last reply"), max_length=255, blank=True)
    # Of the last reply, if it refused or deferred the mail.
    cause = models.CharField(_("cause"), max_length=16, choices=Cause.choices, blank=True, default="", db_default="")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="delivery_due"),
            models.Index(fields=["lease_until"], condition=Q(state="sending"), name="delivery_leased"),
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="pending") & PAST_LIMITS, name="delivery_exempt"
            ),
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
            # For the admin and the purge: posted since a time, not delivered, and by the beginning of an address.
            models.Index(fields=["created_at"], name="delivery_created"),
            models.Index(fields=["-id"], condition=Q(state__in=UNDELIVERED), name="delivery_ended"),
            models.Index(fields=["recipient"], opclasses=["varchar_pattern_ops"], name="delivery_recipient"),
            # For bounces and complaints.
            models.Index(fields=["message_id"], name="delivery_message_id"),
            models.Index(fields=["provider_id"], condition=~Q(provider_id=""), name="delivery_provider_id"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"

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
        longer than usual), failed (refused for good, given up, or not sent at all) or bounced. That its reader reported
        it as spam is nobody else's business. The same for every address.
        """
        if self.state in (self.State.FAILED, self.State.EXPIRED):
            return "failed"
        if self.state in (self.State.SENT, self.State.COMPLAINED):
            return "sent"
        if self.state == self.State.BOUNCED:
            return "bounced"
        now, is_sending = clock.now(), self.state == self.State.SENDING
        failed_tries = self.attempts - 1 if is_sending else self.attempts
        if failed_tries or now - self.created_at > PATIENCE or self.next_attempt_at - now > SOON:
            return "delayed"
        return "sending" if is_sending else "queued"

    @property
    def visible_reason(self) -> str:
        """
        Whose fault it is that a mail failed, bounced or is delayed by a refusal, as a visitor sees it: "mailbox",
        "site" or "unclear"; empty for any other. The same for every address.
        """
        state = self.visible_state
        # 5xx for our rate, and a full mailbox by 552, or by 4.2.2 as Gmail says it: such a mail is tried again.
        is_full = self.cause == Cause.MAILBOX and bool(re.match(r"\d{3} 4\.2\.2\b", self.last_reply))
        is_refused = self.cause in (Cause.RATE, Cause.MAILBOX) and self.reason is self.Reason.REFUSED
        if state not in ("failed", "bounced") and not (state == "delayed" and (is_full or is_refused)):
            return ""
        if self.cause == Cause.MAILBOX:
            return "mailbox"
        return "site" if self.cause in BLOCKED else "unclear"

    @property
    def reason(self) -> Reason | None:
        """Why it has its state; None before the first try, and if the state says all."""
        if self.state in self.RETURNED:
            return None
        if not self.last_reply:
            return self.Reason.LIMIT if self.waits_for_limit else None
        known = (reason for reason, begin in self.REPLY_BEGINS.items() if self.last_reply.startswith(begin))
        return self.Reason(next(known, self.Reason.NO_ANSWER))

    @classmethod
    def with_reason(cls, reason: str) -> Q:
        """The rows that have this `reason`."""
        if reason == cls.Reason.LIMIT:
            return WAITS_FOR_LIMIT & Q(last_reply="")
        begins = {known: Q(last_reply__startswith=begin) for known, begin in cls.REPLY_BEGINS.items()}
        of_reply = begins[reason] if reason in begins else ~reduce(or_, begins.values())
        return of_reply & ~Q(last_reply="") & ~Q(state__in=cls.RETURNED)

    @property
    def is_about_account(self) -> bool:
        return self.kind in ACCOUNT_KINDS

    @property
    def muted_until(self) -> datetime | None:
        """Until when its recipient, who disowned a sign-up, gets no sign-up mail; None for any other."""
        found = self.suppression
        return found.until if found and found.reason == Suppression.Reason.DISOWNED else None

    @property
    def is_muted(self) -> bool:
        """Whether its recipient disowned a sign-up. Mails about accounts are still sent, and say so."""
        return self.muted_until is not None and not self.is_about_account

    @property
    def is_suppressed(self) -> bool:
        """Whether it is sign-up mail for an address that bounced or complained. Its page says that it failed."""
        return self.suppression is not None and not self.is_about_account and not self.is_muted

    @property
    def is_wanted(self) -> bool:
        """Whether it would still help: it is about no code, or about one that can still be used."""
        return self.sign_up is None or verification.is_wanted(self.sign_up, self.generation)

    @property
    def is_for_nobody(self) -> bool:
        """Whether it is a reset for an address without an account: the row is there, and nothing is sent."""
        return self.kind == self.Kind.PASSWORD_RESET and self.user_id is None

    @property
    def is_held_back(self) -> bool:
        """Whether nothing will be handed over, so that it takes no place in a mail limit."""
        return self.is_muted or self.is_suppressed or self.is_for_nobody


class SiteMails(models.Model):
    """The mails of one minute, over the whole site, by the limit that they count for."""

    minute = models.DateTimeField(_("minute"), primary_key=True)
    mails = models.PositiveIntegerField(_("sign-up mails"), default=0)
    resets = models.PositiveIntegerField(_("password resets"), default=0, db_default=0)

    class Meta:
        verbose_name = _("mails of a minute")
        verbose_name_plural = _("mails by minute")


class Heartbeat(models.Model):
    """When a worker process last swept. It is in the database because all other processes can see it there."""

    ALIVE = timedelta(seconds=90)  # a sweep sends a batch by itself if the broker is down: that may take a minute
    FORGOTTEN = timedelta(days=1)

    name = models.CharField(_("name"), max_length=96, primary_key=True)  # host:pid
    beat_at = models.DateTimeField(_("last beat"))
    mail_server_broken = models.BooleanField(_("does not reach the mail server"), default=False)
    broker_broken = models.BooleanField(_("does not reach the broker"), default=False)

    class Meta:
        verbose_name = _("worker process")
        verbose_name_plural = _("worker processes")


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def active(self) -> Self:
        """Suppressions that hold now."""
        return self.filter(until__gt=clock.now())


class Suppression(models.Model):
    """
    An address that gets no sign-up mail until a time. A visitor who asks for a code there sees that none can be sent,
    unless the reason is that its owner disowned a sign-up, which no page shows to anybody else.
    """

    class Reason(models.TextChoices):
        DISOWNED = "disowned", _("the owner: this wasn't me")
        BOUNCED = "bounced", _("a mail bounced")
        COMPLAINED = "complained", _("a mail was reported as spam")

    address = models.CharField(_("email address"), max_length=email_addresses.MAX_LENGTH, primary_key=True)
    reason = models.CharField(
        _("reason"), max_length=10, choices=Reason.choices, default=Reason.DISOWNED, db_default=Reason.DISOWNED
    )
    times = models.PositiveSmallIntegerField(_("times"), default=0, db_default=0)  # by bounces and complaints
    until = models.DateTimeField(_("until"))

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        indexes = [models.Index(fields=["until"], name="mute_until")]  # for the purge

    def __str__(self) -> str:
        return self.address
