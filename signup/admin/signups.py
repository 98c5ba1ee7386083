"""The sign-up requests in words, and the guesses at their codes. Neither code nor hash, nonce, handle or key."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from core import clock
from signup import support
from verification import codes, guess_limits
from verification.models import AddressGuesses, CaptchaModel, CaptchaQuerySet
from verification.services import ResendTooSoon
from verification.states import HandleLost, State, matching, state_of

from .base import AddressAdmin, LogAdmin, QFilter, SinceFilter, by_address, by_number, by_reference, confirm, timestamp

STATES = {
    State.LOST: _("too old"),
    State.WAITING: _("waits for its mail"),
    State.OPEN: _("open"),
    State.EXPIRED: _("expired"),
    State.EXHAUSTED: _("tries used up"),
}
ACCOUNT, DISOWNED, PROVEN = _("account created"), _("disowned by the owner"), _("verified, no account yet")


def state_in_words(sign_up: CaptchaModel) -> Any:
    if sign_up.redeemed_at:
        return ACCOUNT if sign_up.proven_at else DISOWNED
    return PROVEN if sign_up.proven_at else STATES[state_of(sign_up)]


class StateFilter(QFilter):
    title, parameter_name = _("state"), "outcome"

    @staticmethod
    def table() -> dict[str, tuple[Any, Q]]:
        unproven = Q(proven_at=None)
        return {
            "account": (ACCOUNT, Q(redeemed_at__isnull=False, proven_at__isnull=False)),
            "proven": (PROVEN, Q(redeemed_at=None, proven_at__isnull=False)),
            "open": (STATES[State.OPEN], unproven & matching(State.OPEN)),
            "waiting": (STATES[State.WAITING], unproven & matching(State.WAITING)),
            "exhausted": (STATES[State.EXHAUSTED], unproven & matching(State.EXHAUSTED)),
            "expired": (STATES[State.EXPIRED], unproven & matching(State.EXPIRED)),
            "disowned": (DISOWNED, Q(redeemed_at__isnull=False, proven_at=None)),
            "decoy": (_("address already registered"), Q(decoy=True)),
        }


@admin.register(CaptchaModel)
class CaptchaAdmin(LogAdmin):
    list_display = ("address", "state", "tries", "length", "proven_by", "registered", "created", "reference")
    list_filter = (SinceFilter, StateFilter)
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

    def search_word(self, rows: QuerySet, word: str) -> Q:
        return by_address(rows, "address", word) | by_number(word) | by_reference(rows, word, codes.reference_of)

    @admin.display(description=_("state"))
    def state(self, sign_up: CaptchaModel) -> Any:
        return state_in_words(sign_up)

    @admin.display(description=_("wrong tries"))
    def tries(self, sign_up: CaptchaModel) -> str:
        return _("%(n)d of %(all)d") % {"n": sign_up.attempts, "all": settings.CAPTCHA_MAX_ATTEMPTS}

    @admin.display(description=_("created"))
    def created(self, sign_up: CaptchaModel) -> str:
        return timestamp(sign_up.created_at)

    @admin.display(description=_("address already registered"), boolean=True)
    def registered(self, sign_up: CaptchaModel) -> bool:
        return sign_up.decoy

    @admin.display(description=_("reference"))
    def reference(self, sign_up: CaptchaModel) -> str:
        return codes.reference_of(sign_up)

    @admin.display(description=_("mails"))
    def mails(self, sign_up: CaptchaModel) -> SafeString:
        url = reverse("admin:worker_delivery_changelist") + "?" + urlencode({"q": sign_up.address})
        return format_html('<a href="{}">{}</a>', url, _("The mail log of this address"))

    def has_send_code_permission(self, request: HttpRequest) -> bool:
        """Looking at requests is not enough to send mails."""
        return request.user.has_perm("worker.change_delivery")

    @admin.action(description=_("Send the code again"), permissions=["send_code"])
    def send_code(self, request: HttpRequest, chosen: CaptchaQuerySet) -> HttpResponse | None:
        return confirm(
            self,
            request,
            chosen.unfinished().filter(proven_at=None),
            question=_("Send these codes again?"),
            warning=_(
                "A code that still works is mailed again; an expired one is replaced. The visitor continues in the "
                "browser that asked for it. The mail limits apply here too."
            ),
            describe=lambda sign_up: (sign_up.address, state_in_words(sign_up)),
            act=_send_codes,
        )


def _send_codes(numbers: list[int]) -> str:
    sent = sum(_send_code(sign_up) for sign_up in CaptchaModel.objects.filter(pk__in=numbers))
    text = ngettext("%(n)d code is sent again", "%(n)d codes are sent again", sent)
    return text % {"n": sent}


def _send_code(sign_up: CaptchaModel) -> bool:
    try:
        return support.resend(sign_up=sign_up) is not None
    except (HandleLost, ResendTooSoon):
        return False


@admin.register(AddressGuesses)
class AddressGuessesAdmin(AddressAdmin):
    """How many wrong guesses an address has taken. Deleting a row gives whoever guesses there a new budget."""

    fields = list_display = ("address", "recent", "updated_at")
    search_fields = ("address",)
    ordering = ("-updated_at",)

    @admin.display(description=_("wrong guesses in 24 hours"))
    def recent(self, budget: AddressGuesses) -> int:
        begin = (clock.now() - guess_limits.WINDOW).timestamp()
        return sum(guess > begin for guess in budget.guesses)
