"""What the database keeps of a code and of the guesses at it: enough to derive and check the code, never the code."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import clock, email_addresses


def is_handle(text: str) -> bool:
    """Whether a text has the form of a handle. PostgreSQL raises at other texts, such as one with a NUL."""
    return bool(re.fullmatch("[A-Za-z0-9_-]{24}", text))


# Requests of which an account was made; see `CaptchaModel.is_finished`.
FINISHED = Q(redeemed_at__isnull=False, proven_at__isnull=False)


def live() -> Q:
    """Requests that can still become an account: not redeemed, and younger than HANDLE_LIFETIME."""
    return Q(redeemed_at=None, created_at__gt=clock.now() - timedelta(seconds=settings.HANDLE_LIFETIME))


class CaptchaQuerySet(models.QuerySet["CaptchaModel"]):
    def live(self) -> Self:
        return self.filter(live())

    def waiting_for_code(self) -> Self:
        return self.live().filter(proven_at=None)

    def by_handles(self, handles: Collection[str]) -> "list[CaptchaModel]":
        """The requests behind these handles that are live, or finished by an account, in their order."""
        wanted = [handle for handle in handles if is_handle(handle)]
        rows = self.in_bulk(wanted, field_name="handle")
        found = [rows[handle] for handle in wanted if handle in rows]
        return [row for row in found if row.is_live or row.is_finished]

    def by_handle(self, handle: str) -> "CaptchaModel | None":
        return next(iter(self.by_handles([handle])), None)

    def lock(self, sign_up: "CaptchaModel") -> "CaptchaModel | None":
        """The row as it is now, locked until the caller's transaction ends; None when it is gone."""
        return self.select_for_update(no_key=True).filter(pk=sign_up.pk).first()


class CaptchaModel(models.Model):
    """
    A sign-up request: a code (the pages' field `captcha`) bound to an address and to the browser or client that asked
    for it.

    The code is a keyed hash of (nonce, address, generation). The row names the key; the key itself is in the settings.
    """

    class ProvenBy(models.TextChoices):
        CODE = "code", _("code")
        LINK = "link", _("link")

    handle = models.CharField(_("handle"), max_length=43, unique=True)
    address = models.CharField(_("email address"), max_length=email_addresses.MAX_LENGTH, db_index=True)
    nonce = models.CharField(max_length=32)
    key_id = models.CharField(max_length=16)
    generation = models.PositiveIntegerField(_("generation"), default=1)
    length = models.PositiveSmallIntegerField(_("digits"))
    attempts = models.PositiveSmallIntegerField(_("wrong tries"), default=0)
    # A decoy belongs to an address that has an account already. It behaves as any other, but no code is ever right.
    decoy = models.BooleanField(_("decoy"), default=False)
    created_at = models.DateTimeField(_("created"))
    requested_at = models.DateTimeField(_("last asked for"))
    # Of this generation: when the last send of its mail began, cleared if no mail can have been taken; when a mail
    # server first accepted a mail, which starts the code's lifetime; and when that ends.
    mailed_at = models.DateTimeField(_("mailed"), null=True, blank=True)
    first_accepted_at = models.DateTimeField(_("first accepted by the mail server"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    proven_at = models.DateTimeField(_("proven"), null=True, blank=True)
    proven_by = models.CharField(_("proven by"), max_length=4, choices=ProvenBy.choices, blank=True)
    redeemed_at = models.DateTimeField(_("redeemed"), null=True, blank=True)

    objects = CaptchaQuerySet.as_manager()

    class Meta:
        verbose_name = _("sign-up request")
        verbose_name_plural = _("sign-up requests")
        indexes = [models.Index(fields=["created_at"], name="captcha_created")]

    def __str__(self) -> str:
        return f"{self.address} #{self.pk}"

    @property
    def is_live(self) -> bool:
        """Whether this row is one of `live()`."""
        return self.redeemed_at is None and clock.now() < self.created_at + timedelta(seconds=settings.HANDLE_LIFETIME)

    @property
    def is_finished(self) -> bool:
        """Whether an account was made of it: whether this row is one of FINISHED."""
        return self.redeemed_at is not None and self.proven_at is not None

    @property
    def ends_at(self) -> datetime | None:
        """
        When the code expires; None before the first send of its mail. The code can be typed from that send on:
        the mail may be read before the mail server's answer is on record, even if that answer is lost.
        """
        if self.expires_at or not self.mailed_at:
            return self.expires_at
        return self.mailed_at + max_lifetime()

    @property
    def seconds_left(self) -> int:
        """Remaining lifetime of the code in seconds, rounded up; before acceptance, the full lifetime."""
        return clock.seconds_until(self.expires_at) if self.expires_at else settings.CAPTCHA_TTL


class AddressGuessesQuerySet(models.QuerySet["AddressGuesses"]):
    def lock(self, address: str) -> "AddressGuesses | None":
        """The row of an address, locked until the caller's transaction ends; None if there is none."""
        return self.select_for_update().filter(address=address).first()

    def lock_or_create(self, address: str, *, at: datetime) -> "AddressGuesses":
        """The same, or a new row of a guess made `at` this time. (`get_or_create` needs a savepoint.)"""
        while True:
            # At the guess's own time: `updated_at` has an index, and while it stays no update writes to an index.
            self.bulk_create([self.model(address=address, updated_at=at)], ignore_conflicts=True)
            if row := self.lock(address):
                return row  # else an operator deleted it in between


class AddressGuesses(models.Model):
    """
    The wrong guesses at all codes of one canonical address. It belongs to no user and survives purges.

    The row is the lock that keeps the count exact while many requests for the address are guessed at in parallel.
    """

    address = models.CharField(_("email address"), max_length=email_addresses.MAX_LENGTH, primary_key=True)
    guesses = models.JSONField(_("wrong guesses"), default=list)  # seconds since the epoch, oldest first
    updated_at = models.DateTimeField(_("last guess"), default=clock.now, db_default=Now(), db_index=True)

    objects = AddressGuessesQuerySet.as_manager()

    class Meta:
        verbose_name = _("wrong guesses of an address")
        verbose_name_plural = _("wrong guesses by address")

    def __str__(self) -> str:
        return self.address

    def since(self, time: datetime) -> list[float]:
        return [guess for guess in self.guesses if guess > time.timestamp()]


class SiteGuesses(models.Model):
    """The wrong guesses of one hour over the whole site."""

    hour = models.DateTimeField(_("hour"), primary_key=True)
    guesses = models.IntegerField(_("wrong guesses"), default=0)

    class Meta:
        verbose_name = _("wrong guesses of an hour")
        verbose_name_plural = _("wrong guesses by hour")


def max_lifetime() -> timedelta:
    """How long a code is valid after the first acceptance of its mail, however often that is sent again."""
    return timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
