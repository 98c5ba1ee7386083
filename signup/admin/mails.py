"""The mail log, and the addresses whose owners want no mail."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from verification import codes
from worker.models import Delivery, DeliveryQuerySet, Suppression
from worker.outbox import requeue

from .base import AddressAdmin, LogAdmin, QFilter, SinceFilter, by_address, by_number, by_reference, confirm, timestamp

State = Delivery.State


class ReasonFilter(admin.SimpleListFilter):
    title, parameter_name = _("reason"), "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return Delivery.Reason.choices

    def queryset(self, request: HttpRequest, queryset: DeliveryQuerySet) -> DeliveryQuerySet:  # type: ignore[override]
        chosen = self.value()
        return queryset.with_reason(chosen) if chosen and chosen in Delivery.Reason else queryset


class LanguageFilter(QFilter):
    title, parameter_name = _("language"), "language"

    @staticmethod
    def table() -> dict[str, tuple[Any, Q]]:
        return {code: (name, Q(language=code)) for code, name in settings.LANGUAGES}


def reference_of(delivery: Delivery) -> str:
    """What the mail and its page show."""
    return codes.reference_of(delivery.sign_up, generation=delivery.generation) if delivery.sign_up else ""


@admin.register(Delivery)
class DeliveryAdmin(LogAdmin):
    list_display = ("recipient", "kind", "shown_state", "reason_and_reply", "attempts", "wait", "created", "reference")
    list_filter = (SinceFilter, "state", ReasonFilter, "kind", LanguageFilter)
    list_select_related = ("sign_up",)
    search_fields = ("recipient",)
    actions = ("send_again",)
    fieldsets = (
        (None, {"fields": ("recipient", "kind", "language", "reference", "sign_up", "user")}),
        (_("What became of it"), {"fields": ("shown_state", "reason", "last_reply", "attempts", "message_id")}),
        (
            _("Times"),
            {"fields": ("created_at", "admitted_at", "next_attempt_at", "tried_early_at", "lease_until", "sent_at")},
        ),
    )

    def search_word(self, rows: QuerySet, word: str) -> Q:
        mails = rows.filter(sign_up__isnull=False).select_related("sign_up")
        return by_address(rows, "recipient", word) | by_number(word) | by_reference(mails, word, reference_of)

    @admin.display(description=_("state"))
    def shown_state(self, delivery: Delivery) -> SafeString:
        return format_html('<span class="state {}">{}</span>', delivery.state, delivery.get_state_display())

    @admin.display(description=_("reason"))
    def reason(self, delivery: Delivery) -> Any:
        return delivery.reason.label if delivery.reason else None

    @admin.display(description=_("reason"))
    def reason_and_reply(self, delivery: Delivery) -> SafeString:
        return format_html('{} <small class="reply">{}</small>', self.reason(delivery) or "", delivery.last_reply)

    @admin.display(description=_("created"))
    def created(self, delivery: Delivery) -> str:
        return timestamp(delivery.created_at)

    @admin.display(description=_("wait"))
    def wait(self, delivery: Delivery) -> str | None:
        if delivery.sent_at is None:
            return None
        return _("%(n)s s") % {"n": f"{(delivery.sent_at - delivery.created_at).total_seconds():.1f}"}

    @admin.display(description=_("reference"))
    def reference(self, delivery: Delivery) -> str:
        return reference_of(delivery)

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Looking at the log is not enough to send mails."""
        return request.user.has_perm("worker.change_delivery")

    @admin.action(description=_("Send failed mails again"), permissions=["send_again"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> HttpResponse | None:
        return confirm(
            self,
            request,
            chosen.filter(state__in=[State.FAILED, State.EXPIRED]),
            question=_("Send these mails again?"),
            warning=_(
                "An expired code is replaced by a new one. Mails of finished sign-ups, and mails that were sent again "
                "since, are left out. A mail that was refused will most likely be refused again: fix the cause first."
            ),
            describe=lambda mail: (mail.recipient, mail.get_kind_display(), mail.get_state_display(), mail.last_reply),
            act=_send_again,
        )


def _send_again(numbers: list[int]) -> str:
    sent = requeue(delivery_ids=numbers)
    text = ngettext("%(n)d delivery is sent again", "%(n)d deliveries are sent again", sent)
    return text % {"n": sent}


@admin.register(Suppression)
class MuteAdmin(AddressAdmin):
    """Muted addresses. Delete one where the owner of the mailbox asks for it."""

    fields = list_display = ("address", "until")
    search_fields = ("address",)
