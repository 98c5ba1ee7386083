"""The forms of people who have an account."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core import email_addresses, languages, ratelimit
from signup import limits
from signup.forms import AddressField, NewPasswordField, PageField, PageForm, UsernameField
from signup.models import User

from . import services

INCORRECT = _("Email, username or password is incorrect")
NOT_CURRENT = _("Your current password is incorrect")


class LoginForm(auth_forms.AuthenticationForm):
    bound_field_class = PageField
    error_messages = {"invalid_login": INCORRECT, "inactive": INCORRECT}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name, password = self.fields["username"], self.fields["password"]
        name.label = _("Email address or username")
        name.widget.attrs.update(UsernameField.widget.attrs | {"autofocus": False})
        required = _("Enter your email address or username")
        name.error_messages |= {"required": required, "null_characters_not_allowed": INCORRECT}
        password.error_messages |= {"required": _("Enter your password"), "null_characters_not_allowed": INCORRECT}

    def clean(self) -> dict[str, Any]:
        """The error does not say which of the two fields is wrong, so both are marked and described by it."""
        try:
            return super().clean()
        except ValidationError:
            for field in self.fields.values():
                field.widget.attrs |= {"aria-invalid": "true", "aria-describedby": "form_error"}
            raise


class PasswordResetForm(PageForm):
    email = AddressField(label=_("Email address"))

    def save(self, *, network: str) -> str:
        """Request the mail; return the answer."""
        email: str = self.cleaned_data["email"]
        services.request_password_reset(address=email, language=languages.active(), network=network)
        return reset_answer(email)


def reset_answer(email: str) -> str:
    """The answer to a request for a reset mail, the same for every address."""
    return gettext("If %(email)s has an account, we've sent instructions") % {"email": email_addresses.shown(email)}


class NewPasswordForm(PageForm):
    """Choose a new password after a reset. It is typed once, as at sign-up."""

    password = NewPasswordField(label=_("New password"))
    confirmed: str | None = None  # the session hash of the account whose current password was confirmed

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        password_validation.validate_password(password, self.user)
        return password

    def save(self) -> User:
        """Raises AccountChanged."""
        password = self.cleaned_data["password"]
        services.choose_password(
            user=self.user, password=password, language=languages.active(), confirmed=self.confirmed
        )
        return self.user


class LanguageField(forms.ChoiceField):
    """A language that the site offers, cleaned into its code there: zh-hans for zh-CN."""

    def to_python(self, value: Any) -> str:
        code: str = super().to_python(value)
        return languages.supported(code) or code


class LanguageForm(forms.Form):
    """The language of the mails to an account."""

    language = LanguageField(
        label=_("Language"),
        choices=settings.LANGUAGES,
        error_messages={
            "required": _("The field is missing or empty"),
            "invalid_choice": _("The field must have one of the listed values"),
        },
    )


class CurrentPasswordForm(PageForm):
    """Confirm that the owner of the account, and not another person, uses the open session."""

    old_password = forms.CharField(
        label=_("Current password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": _("Enter your current password"), "null_characters_not_allowed": NOT_CURRENT},
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Checked and limited as at sign-in: nobody can guess the password in an open session either."""
        old: str = self.cleaned_data["old_password"]
        user = cast(User, self.request.user)
        name = email_addresses.canonical_or_none(user.email) or user.username or ""
        found = authenticate(self.request, username=name, password=old)
        if not isinstance(found, User) or found != user:
            raise ValidationError(NOT_CURRENT, code="password_incorrect")
        self.confirmed: str | None = found.get_session_auth_hash()
        return old


class PasswordChangeForm(CurrentPasswordForm, NewPasswordForm):
    field_order = ("old_password", "password")

    def save(self) -> User:
        """Raises AccountChanged, and RateLimited: each change sends a mail, and ends the links of resets."""
        ratelimit.hit(limits.PASSWORD_CHANGES, key=str(self.user.pk))
        return super().save()
