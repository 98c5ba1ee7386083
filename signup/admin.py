"""Django's admin for operators. No code, nonce, handle or key is ever shown."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from knox.models import AuthToken

from core import addresses, clock
from verification.models import AddressBudget, CaptchaModel
from worker.models import Delivery, Mute
from worker.requeue import requeue

from . import services, usernames, words
from .models import User

admin.site.unregister(AuthToken)  # its page shows hashes, and makes tokens for anybody


class _NamesMixin(forms.ModelForm):
    """The same rules for names that visitors meet."""

    def clean_email(self) -> str:
        return addresses.canonical(self.cleaned_data["email"])

    def clean_username(self) -> str | None:
        if not self.cleaned_data.get("username"):
            return None
        username = usernames.clean(self.cleaned_data["username"])
        if usernames.key(username) != self.instance.username_key and not services.is_username_free(username=username):
            raise words.explain(services.UsernameTaken())
        return username


class AccountCreationForm(_NamesMixin, auth_forms.AdminUserCreationForm):
    def clean_email(self) -> str:
        """A sign-up that somebody began with this address stands in no operator's way."""
        email = super().clean_email()
        self.instance = User.objects.pending().select_for_update().filter(email=email).first() or self.instance
        return email

    class Meta:
        model = User
        fields = ("email", "username")

    def clean_username(self) -> str:
        username = super().clean_username()
        if username is None:
            raise ValidationError(_("Enter a username"), code="required")
        return username


class AccountChangeForm(_NamesMixin, auth_forms.UserChangeForm):
    class Meta:
        model = User
        fields = (
            "email",
            "username",
            "password",
            "language",
            "is_active",
            "is_staff",
            "is_superuser",
            "groups",
            "user_permissions",
        )


@admin.register(User)
class AccountAdmin(UserAdmin):
    form = AccountChangeForm
    add_form = AccountCreationForm
    ordering = ("-pk",)
    list_display = ("email", "username", "is_active", "is_staff", "activated_at", "created_at")
    list_filter = ("is_active", "is_staff", "language")
    search_fields = ("email", "username")
    readonly_fields = ("created_at", "activated_at", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "username", "password", "language")}),
        (_("Permissions"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Moments"), {"fields": ("created_at", "activated_at", "last_login")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "username", "usable_password", "password1", "password2")}),
    )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """What an operator has saved is no sign-up any more: active or disabled, no code changes it."""
        obj.username_key = usernames.key(obj.username) if obj.username else None
        obj.activated_at = obj.activated_at or clock.now()
        if not change:
            obj.is_active = True
        super().save_model(request, obj, form, change)


class ReadOnlyAdmin(admin.ModelAdmin):
    """A log to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(CaptchaModel)
class CaptchaAdmin(ReadOnlyAdmin):
    fields = list_display = (
        "address", "generation", "length", "attempts", "created_at", "expires_at", "proven_at", "redeemed_at",
    )  # fmt: skip
    search_fields = ("address",)
    ordering = ("-pk",)


@admin.register(AddressBudget)
class AddressBudgetAdmin(ReadOnlyAdmin):
    fields = list_display = ("address", "guesses")
    search_fields = ("address",)


@admin.register(Mute)
class MuteAdmin(ReadOnlyAdmin):
    """To be read, and to be deleted where the owner of a mailbox asks for it."""

    fields = list_display = ("address", "until")
    search_fields = ("address",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    fields = list_display = (
        "recipient", "kind", "language", "state", "attempts", "created_at", "next_attempt_at", "sent_at", "last_reply",
    )  # fmt: skip
    list_filter = ("state", "kind", "language")
    search_fields = ("recipient",)
    ordering = ("-pk",)
    actions = ("send_again",)

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Looking at the log is not enough to send mails."""
        return request.user.has_perm("worker.change_delivery")

    @admin.action(description=_("Send again what failed"), permissions=["send_again"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        number = requeue(delivery_ids=list(chosen.values_list("pk", flat=True)))
        text = ngettext("%(n)d delivery is sent again", "%(n)d deliveries are sent again", number) % {"n": number}
        self.message_user(request, text)
