"""The logs of sign-up requests and mails, and two lists of addresses: suppressed ones, and those with wrong guesses."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from core import clock
from signup import support
from verification import guess_limits
from verification.models import FINISHED, AddressGuesses, CaptchaModel, CaptchaQuerySet
from verification.states import HandleLost, ResendTooSoon, State, matching, state_of
from worker import outbox
from worker.models import UNDELIVERED, Delivery, Suppression

from .base import ConditionFilter, LogAdmin, ReadOnlyAdmin, SinceFilter, without

# The outcome of a request: how it ended, or the state of its code.
OUTCOMES = {
    "account": _("account created"),
    "proven": _("verified, no account yet"),
    State.OPEN: _("open"),
    State.WAITING: _("waits for its mail"),
    State.EXHAUSTED: _("tries used up"),
    State.EXPIRED: _("expired"),
    "disowned": _("disowned by the owner"),
    State.LOST: _("too old"),
}


class OutcomeFilter(ConditionFilter):
    title, parameter_name = _("state"), "outcome"

    def conditions(self) -> dict[str, tuple[Any, Q]]:
        rows = {
            "account": FINISHED,
            "proven": Q(redeemed_at=None, proven_at__isnull=False),
            "disowned": Q(redeemed_at__isnull=False, proven_at=None),
            **{state.value: Q(proven_at=None) & matching(state) for state in State},
        }
        offered = {name: (label, rows[name]) for name, label in OUTCOMES.items() if name != State.LOST}
        return {**offered, "decoy": (_("address already registered"), Q(decoy=True))}


@admin.register(CaptchaModel)
class CaptchaAdmin(LogAdmin):
    list_display = ("address", "created", "state", "tries", "length", "proven_by", "registered", "reference")
    list_filter = (SinceFilter, OutcomeFilter)
    search_fields = ("address",)
    actions = ("send_code",)
    fieldsets = (
        (None, {"fields": ("address", "state", "tries", "length", "generation", "registered", "reference", "mails")}),
        (
            _("Times"),
            {"fields": ("created_at", "requested_at", "mailed_at", "first_accepted_at", "expires_at", "proven_at",
                        "proven_by", "redeemed_at")},
        ),
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: CaptchaModel | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if request.user.has_perm("worker.view_delivery") else without("mails", fieldsets)

    @admin.display(description=_("state"))
    def state(self, sign_up: CaptchaModel) -> Any:
        if sign_up.redeemed_at:
            return OUTCOMES["account" if sign_up.is_finished else "disowned"]
        return OUTCOMES["proven" if sign_up.proven_at else state_of(sign_up)]

    @admin.display(description=_("wrong tries"))
    def tries(self, sign_up: CaptchaModel) -> str:
        return _("%(n)d of %(all)d") % {"n": sign_up.attempts, "all": settings.CAPTCHA_MAX_ATTEMPTS}

    @admin.display(description=_("address already registered"), boolean=True)
    def registered(self, sign_up: CaptchaModel) -> bool:
        return sign_up.decoy

    @admin.display(description=_("mails"))
    def mails(self, sign_up: CaptchaModel) -> SafeString:
        url = reverse("admin:worker_delivery_changelist", query={"q": sign_up.address})
        return format_html('<a href="{}">{}</a>', url, _("The mail log of this address"))

    def describe(self, row: CaptchaModel) -> tuple[Any, ...]:
        return row.address, self.state(row)

    @admin.action(description=_("Send codes again"), permissions=["send"])
    def send_code(self, request: HttpRequest, chosen: CaptchaQuerySet) -> HttpResponse | None:
        return self.confirm(
            request,
            chosen.waiting_for_code(),
            question=_("Send these codes again?"),
            warning=_(
                "A code that is still valid is sent again; an expired one is replaced. The visitor continues in the "
                "browser that asked for it. The mail limits apply here too."
            ),
            act=_send_codes,
            done=ngettext_lazy("%(n)d code is sent again", "%(n)d codes are sent again", "n"),
        )


def _send_codes(sign_ups: QuerySet[CaptchaModel]) -> int:
    """
    Send codes again, except of sign-ups that are over, suppressed or within the cooldown; return the number of those
    whose mail doesn't wait for the mail server or a mail limit.
    """
    sent = 0
    for sign_up in sign_ups:
        with suppress(HandleLost, ResendTooSoon, support.AddressSuppressed):
            delivery = support.resend(sign_up=sign_up)
            sent += bool(delivery and not outbox.seconds_until_try(delivery))
    return sent


class ReasonFilter(ConditionFilter):
    title, parameter_name = _("reason"), "reason"

    def conditions(self) -> dict[str, tuple[Any, Q]]:
        return {reason: (label, Delivery.with_reason(reason)) for reason, label in Delivery.Reason.choices}


class LanguageFilter(ConditionFilter):
    title, parameter_name = _("language"), "language"

    def conditions(self) -> dict[str, tuple[Any, Q]]:
        return {code: (name, Q(language=code)) for code, name in settings.LANGUAGES}


@admin.register(Delivery)
class DeliveryAdmin(LogAdmin):
    list_display = ("recipient", "created", "shown_state", "reason_and_reply", "kind", "attempts", "wait", "reference")
    list_filter = (SinceFilter, "state", ReasonFilter, "cause", "kind", LanguageFilter)
    list_select_related = ("sign_up",)  # whose reference is shown
    search_fields = ("recipient",)
    actions = ("send_again",)
    fieldsets = (
        (None, {"fields": ("recipient", "kind", "language", "reference", "sign_up", "user")}),
        (
            _("Result"),
            {"fields": ("shown_state", "reason", "cause", "last_reply", "attempts", "message_id", "provider_id")},
        ),
        (
            _("Times"),
            {"fields": ("created_at", "admitted_at", "first_tried_at", "next_attempt_at", "tried_early_at",
                        "lease_until", "sent_at")},
        ),
    )  # fmt: skip

    @admin.display(description=_("state"))
    def shown_state(self, delivery: Delivery) -> SafeString:
        return format_html('<span class="state {}">{}</span>', delivery.state, delivery.get_state_display())

    @admin.display(description=_("reason"))
    def reason(self, delivery: Delivery) -> Any:
        return delivery.reason.label if delivery.reason else None

    @admin.display(description=_("reason"))
    def reason_and_reply(self, delivery: Delivery) -> SafeString:
        said = " · ".join(filter(None, (delivery.get_cause_display(), delivery.last_reply)))
        return format_html('{} <small class="reply">{}</small>', self.reason(delivery) or "", said)

    @admin.display(description=_("wait"))
    def wait(self, delivery: Delivery) -> str | None:
        if delivery.sent_at is None:
            return None
        return _("%(n)s s") % {"n": f"{(delivery.sent_at - delivery.created_at).total_seconds():.1f}"}

    def describe(self, row: Delivery) -> tuple[Any, ...]:
        return row.recipient, row.get_kind_display(), row.get_state_display(), row.last_reply

    @admin.action(description=_("Send failed mails again"), permissions=["send"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> HttpResponse | None:
        return self.confirm(
            request,
            chosen.filter(state__in=UNDELIVERED),
            question=_("Send these mails again?"),
            warning=_(
                "An expired code is replaced by a new one. Mails of finished sign-ups, and mails that were sent again "
                "since, are left out. A mail that was refused will most likely be refused again: fix the cause first."
            ),
            act=lambda mails: sum(outbox.requeue(delivery_id=each.pk) for each in mails),
            done=ngettext_lazy("%(n)d delivery is sent again", "%(n)d deliveries are sent again", "n"),
        )


class AddressAdmin(ReadOnlyAdmin):
    actions = ("delete_selected",)
    search_fields = ("address",)
    search_help_text = _("The beginning of an email address")


@admin.register(Suppression)
class SuppressionAdmin(AddressAdmin):
    """Addresses that get no sign-up mail. Delete one if its mailbox works again, or its owner asks for it."""

    fields = list_display = ("address", "reason", "times", "until")
    list_filter = ("reason",)
    ordering = ("address",)


@admin.register(AddressGuesses)
class AddressGuessesAdmin(AddressAdmin):
    """
    The wrong guesses at the codes of an address. Deleting a row allows as many again. It is half of `manage.py unlock`:
    wrong passwords are counted in Redis, and stay.
    """

    fields = list_display = ("address", "recent", "updated_at")
    ordering = ("-updated_at",)

    @admin.display(description=_("wrong guesses in 24 hours"))
    def recent(self, row: AddressGuesses) -> int:
        return len(row.since(clock.now() - guess_limits.WINDOW))
