"""Accounts, added and changed by the rules that hold for visitors, and groups of staff."""

from functools import partial
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import BLANK_CHOICE_DASH, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from knox.models import AuthToken

from core import clock
from signup.accounts import services as account_services
from signup.accounts.forms import LanguageField
from signup.forms import AddressField, UsernameField
from signup.models import PENDING, User, UserQuerySet
from signup.signals import send_user_activated
from worker.models import Delivery

from .base import BoundedAdmin, ConditionFilter, StrictAdmin, without

admin.site.unregister(AuthToken)  # its page shows hashes, and makes tokens for anybody
admin.site.unregister(Group)

PERMISSIONS = ("is_staff", "is_superuser", "groups", "user_permissions")
UNPROVEN = _("This is not possible: the email address is not verified")
CHANGED = ngettext_lazy("%(n)d account is changed", "%(n)d accounts are changed", "n")


class AccountForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("email", "username")  # the fieldsets of each page name its own
        field_classes: ClassVar = {"email": AddressField, "username": UsernameField}

    def full_clean(self) -> None:
        """A form with errors keeps the pending row that `clean_email` deletes."""
        with transaction.atomic():
            super().full_clean()
            transaction.set_rollback(bool(self.errors))

    def clean_email(self) -> str:
        """Delete the pending row of a sign-up that was begun with this address: it needs none, see `register`."""
        email: str = self.cleaned_data["email"]
        begun = User.objects.lock_or_create(email=email)  # a sign-up that begins meanwhile waits for this account
        if begun.pk != self.instance.pk and not begun.is_registered:
            begun.delete()
        return email

    def clean_username(self) -> str | None:
        """In place of Django's, which compares letters alone: `User.validate_unique` says whether it is taken."""
        username: str | None = self.cleaned_data["username"]
        return username


class AccountCreationForm(AccountForm, auth_forms.AdminUserCreationForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].required = True
        for name in ("email", "username"):  # the browser would offer the operator's own
            self.fields[name].widget.attrs["autocomplete"] = "off"


class AccountChangeForm(AccountForm, auth_forms.UserChangeForm):
    """An account whose mailbox nobody has proven stays without a name, and inactive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "username" in self.fields:
            self.fields["username"].required = self.instance.is_proven
            self.fields["username"].disabled = not self.instance.is_proven
        if "language" in self.fields:
            kept = self.instance.language  # the site may not offer it any more
            choices = {**dict(BLANK_CHOICE_DASH), **({kept: kept} if kept else {}), **dict(settings.LANGUAGES)}
            label = self.fields["language"].label
            self.fields["language"] = LanguageField(label=label, choices=[*choices.items()], required=False)
        for field in self.fields.values():
            field.show_hidden_initial = not field.disabled  # not of the password, whose value is its hash

    def clean_is_active(self) -> bool:
        active: bool = self.cleaned_data["is_active"]
        if active and not self.instance.is_proven:
            raise ValidationError(UNPROVEN, code="unproven")
        return active

    def clean(self) -> dict[str, Any]:
        """Keep the present values of fields that the operator left alone: others may have changed them meanwhile."""
        cleaned = super().clean() or self.cleaned_data
        is_from_page = self.add_initial_prefix("email") in self.data  # no choice of groups has no field
        left = [name for name in cleaned if is_from_page and name not in self.changed_data and name in self.initial]
        return cleaned | {name: self.initial[name] for name in left}


class AccountPasswordForm(auth_forms.AdminPasswordChangeForm):
    """A password that an operator sets. Its owner gets a mail, as after every new password."""

    usable_password_help_text: Any = format_lazy(  # Django's own is English in every language
        '{}<ul id="id_unusable_warning" class="messagelist"><li class="warning">{}</li></ul>',
        auth_forms.SetUnusablePasswordMixin.usable_password_help_text,
        _("If disabled, the current password for this user will be lost."),
    )

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.user.is_proven:
            self.add_error("password1", ValidationError(UNPROVEN, code="unproven"))
        return cleaned

    def save(self, commit: bool = True) -> Any:
        password = self.cleaned_data["password1"] if self.cleaned_data["set_usable_password"] else None
        account_services.change_password(user=self.user, password=password, language=settings.LANGUAGE_CODE)
        return self.user


class StateFilter(ConditionFilter):
    title, parameter_name = _("state"), "standing"

    def conditions(self) -> dict[str, tuple[Any, Q]]:
        return {
            "active": (_("active"), Q(is_active=True)),
            "pending": (_("waits for verification"), PENDING),
            "disabled": (_("disabled"), ~PENDING & Q(is_active=False)),
            "staff": (_("staff"), Q(is_staff=True)),
        }


@admin.register(User)
class AccountAdmin(BoundedAdmin, auth_admin.UserAdmin):
    """Only a superuser gives permissions and changes accounts of staff, their own included."""

    form = AccountChangeForm
    add_form = AccountCreationForm
    change_password_form = AccountPasswordForm
    sortable_by = ("email",)
    list_display = ("email", "username", "standing", "is_staff", "language", "activated_at", "created_at")
    list_filter = (StateFilter,)
    search_fields = ("email", "username_key")
    search_help_text = _("The beginning of an email address or a username")
    actions = ("delete_selected", "activate", "disable")
    readonly_fields = ("created_at", "activated_at", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "username", "password", "language")}),
        (_("Permissions"), {"fields": ("is_active", *PERMISSIONS)}),
        (_("Times"), {"fields": ("created_at", "activated_at", "last_login")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "username", "usable_password", "password1", "password2")}),
    )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Lock the account while its form is saved, so that a change by its owner meanwhile is not overwritten."""
        if request.method == "POST" and transaction.get_connection().in_atomic_block:
            list(User.objects.select_for_update(no_key=True).filter(pk__in=self.keys([object_id])))
        return super().get_object(request, object_id, from_field)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """In a transaction, as other forms of the admin are: `get_object` locks the account."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Without the password, whose button leads to its form, for an operator who can only look."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj is None or self.has_change_permission(request, obj) else without("password", fieldsets)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return self.readonly_fields if request.user.is_superuser else (*self.readonly_fields, *PERMISSIONS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Django's page asks for both permissions, its links to that page for one."""
        return super().has_add_permission(request) and self.has_change_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.is_changeable_by(request.user))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj == request.user:  # the last superuser could; the account's own page refuses it too
            return False
        return super().has_delete_permission(request, obj) and (obj is None or obj.is_changeable_by(request.user))

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """A saved account is registered, active or disabled: no code of a sign-up changes it any more."""
        obj.activated_at = obj.activated_at or clock.now()
        if not change:
            obj.is_active = True
        super().save_model(request, obj, form, change)
        if not change:
            send_user_activated(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """All or none. `User.delete` locks an account first; Django's own deletion of many does not call it."""
        with transaction.atomic():
            for user in queryset.order_by("pk"):
                user.delete()

    @admin.display(description=_("state"))
    def standing(self, user: User) -> Any:
        if user.is_active:
            return _("active")
        return _("disabled") if user.is_registered else _("waits for verification")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """
        An account is deleted with its mails, though nobody may delete from the mail log. What goes with it is counted
        and not listed: an API token is named by its hash, and an operator's log is long.
        """
        to_delete, count, needed, protected = super().get_deleted_objects(objs, request)
        accounts = [each for each in to_delete if not isinstance(each, list)]
        return accounts, count, needed - {Delivery._meta.verbose_name}, protected

    def describe(self, row: User) -> tuple[Any, ...]:
        return row.email, row.username

    @admin.action(description=_("Activate disabled accounts"), permissions=["change"])
    def activate(self, request: HttpRequest, chosen: UserQuerySet) -> HttpResponse | None:
        return self.confirm(
            request,
            chosen.changeable_by(request.user).proven().filter(is_active=False),
            question=_("Activate these accounts?"),
            warning=_("Their owners can sign in again. Accounts whose email address is not verified are left out."),
            act=partial(_set_active, request, active=True),
            done=CHANGED,
        )

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, chosen: UserQuerySet) -> HttpResponse | None:
        return self.confirm(
            request,
            chosen.changeable_by(request.user).filter(is_active=True).exclude(pk=request.user.pk or 0),
            question=_("Disable these accounts?"),
            warning=_(
                "Their sessions and API tokens end, nobody can sign in with them, and no code makes them work again. "
                "You can activate them here."
            ),
            act=partial(_set_active, request, active=False),
            done=CHANGED,
        )


@transaction.atomic
def _set_active(request: HttpRequest, users: UserQuerySet, *, active: bool) -> int:
    """Change these accounts, and say so in the history of each, as their form does."""
    message = [{"changed": {"fields": ["Active"]}}]
    LogEntry.objects.log_actions(cast(int, request.user.pk), users.select_for_update(no_key=True), CHANGE, message)
    return users.update(is_active=active)


@admin.register(Group)
class GroupAdmin(StrictAdmin, auth_admin.GroupAdmin):
    """A group gives permissions, so only a superuser changes one; others may look."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser

    has_add_permission = has_delete_permission = has_change_permission
