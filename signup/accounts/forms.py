"""The forms of who has an account."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from signup.fields import AddressField, CurrentPasswordField, NewPasswordField, refuse_null_characters
from signup.models import User

from . import services


class LoginForm(auth_forms.AuthenticationForm):
    """Sign in by username or email address."""

    error_messages = {
        "invalid_login": _("Email, username or password is incorrect"),
        "inactive": _("Email, username or password is incorrect"),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name, password = self.fields["username"], self.fields["password"]
        name.label = _("Email address or username")
        name.error_messages["required"] = _("Enter your email address or username")
        name.widget.attrs.update({"autocomplete": "username", "spellcheck": "false", "autofocus": False})
        password.error_messages["required"] = _("Enter your password")
        for field in (name, password):
            refuse_null_characters(field, self.error_messages["invalid_login"])


class PasswordResetForm(forms.Form):
    """Ask for a reset mail."""

    email = AddressField()


class OwnersForm(forms.Form):
    """A form about one account."""

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user


class NewPasswordForm(OwnersForm):
    """Choose a new password after a reset: asked once, as at sign-up."""

    password = NewPasswordField(label=_("New password"))

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        password_validation.validate_password(password, self.user)
        return password

    def save(self) -> User:
        password, language = self.cleaned_data["password"], get_language() or ""
        services.change_password(user=self.user, password=password, language=language)
        return self.user


class CurrentPasswordForm(OwnersForm):
    """Show that it is still the account's owner who sits at the keyboard."""

    old_password = CurrentPasswordField()

    def __init__(self, user: User, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Checked as at sign-in, limits included: an open session is no place to guess the password either."""
        old: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.email, password=old) != self.user:
            raise ValidationError(_("The current password is not right"), code="password_incorrect")
        return old


class PasswordChangeForm(CurrentPasswordForm, NewPasswordForm):
    """Choose a new password, knowing the old one."""

    field_order = ("old_password", "password")
