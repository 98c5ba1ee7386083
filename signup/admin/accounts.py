"""Accounts: added and changed by the rules that visitors meet, switched off and on."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from knox.models import AuthToken

from core import addresses, clock
from signup import services, usernames, words
from signup.models import PENDING, User
from worker.models import Delivery

from .careful import ask_first
from .lists import BoundedAdmin, Choice, beginning, starting

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
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("email", "username"):  # of somebody else: the browser need not offer the operator's own
            self.fields[name].widget.attrs["autocomplete"] = "off"

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


class Standing(Choice):
    title, parameter_name = _("state"), "standing"

    @staticmethod
    def table() -> dict[str, tuple[Any, Q]]:
        return {
            "active": (_("active"), Q(is_active=True)),
            "pending": (_("waits for its proof"), PENDING),
            "disabled": (_("disabled"), Q(is_active=False) & ~PENDING),
            "staff": (_("staff"), Q(is_staff=True)),
        }


@admin.register(User)
class AccountAdmin(BoundedAdmin, UserAdmin):
    form = AccountChangeForm
    add_form = AccountCreationForm
    ordering = ("-pk",)
    sortable_by = ("email",)
    list_display = ("email", "username", "standing", "is_staff", "language", "activated_at", "created_at")
    list_filter = (Standing,)
    search_fields = ("email", "username")
    search_help_text = _("The beginning of an email address or a username")
    actions = ("activate", "disable")
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

    def search_word(self, rows: QuerySet, word: str) -> Q:
        return starting(rows, "email", beginning(word)) | starting(rows, "username_key", usernames.key(word))

    @admin.display(description=_("state"))
    def standing(self, user: User) -> Any:
        if user.is_active:
            return _("active")
        return _("disabled") if user.is_registered else _("waits for its proof")

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """An account's mails go with it, though nobody may delete from the mail log itself."""
        to_delete, count, needed, protected = super().get_deleted_objects(objs, request)
        return to_delete, count, needed - {Delivery._meta.verbose_name}, protected

    @admin.action(description=_("Activate again what was disabled"), permissions=["change"])
    def activate(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return ask_first(
            self,
            request,
            self._theirs(request, chosen).filter(is_active=False).exclude(PENDING),
            question=_("Activate these accounts?"),
            warning=_(
                "Their owners can sign in again. An account that waits for its proof is not among them: nobody has "
                "shown yet whose mailbox it is."
            ),
            describe=lambda user: (user.email, user.username),
            act=_switch(True),
        )

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return ask_first(
            self,
            request,
            self._theirs(request, chosen).filter(is_active=True).exclude(pk=request.user.pk or 0),
            question=_("Disable these accounts?"),
            warning=_("Nobody can sign in with them, and no code makes them work again. You can activate them here."),
            describe=lambda user: (user.email, user.username),
            act=_switch(False),
        )

    def _theirs(self, request: HttpRequest, chosen: QuerySet[User]) -> QuerySet[User]:
        """Only a superuser switches superusers and staff."""
        return chosen if request.user.is_superuser else chosen.filter(is_superuser=False, is_staff=False)


def _switch(active: bool) -> Callable[[list[int]], str]:
    def switch(numbers: list[int]) -> str:
        done = User.objects.filter(pk__in=numbers).update(is_active=active)
        text = ngettext("%(n)d account is changed", "%(n)d accounts are changed", done)
        return text % {"n": done}

    return switch
