"""Form fields that clean into canonical values, with the attributes that browsers and password managers read."""

from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.utils.translation import gettext_lazy as _

from core import email_addresses

from . import usernames


def refuse_null_characters(field: forms.Field, message: Any) -> None:
    """Say in our words what Django's own validator of text fields says of NUL."""
    others = [each for each in field.validators if not isinstance(each, ProhibitNullCharactersValidator)]
    field.validators = [*others, ProhibitNullCharactersValidator(message=message)]


class AddressField(forms.CharField):
    """An email address, cleaned into its canonical form."""

    widget = forms.EmailInput(
        attrs={"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false", "dir": "ltr"}
    )

    def __init__(self, **kwargs: Any) -> None:
        messages = {"required": _("Enter your email address")}
        kwargs.setdefault("label", _("Email address"))
        super().__init__(error_messages=messages, **kwargs)

    def clean(self, value: Any) -> str:
        typed = self.to_python(value)
        self.validate(typed)
        return email_addresses.canonical(typed or "")


class UsernameField(forms.CharField):
    """A username, cleaned into the form in which it is shown."""

    widget = forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"})

    def __init__(self, **kwargs: Any) -> None:
        messages = {"required": _("Enter a username")}
        super().__init__(
            label=_("Username"), help_text=_("2 to 20 letters or digits"), error_messages=messages, **kwargs
        )

    def clean(self, value: Any) -> str:
        typed = self.to_python(value)
        self.validate(typed)
        return usernames.clean(typed or "")


class NewPasswordField(forms.CharField):
    """A password that is being chosen. It is asked once, and can be shown."""

    widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})

    def __init__(self, **kwargs: Any) -> None:
        messages = {"required": _("Enter a password")}
        kwargs.setdefault("label", _("Password"))
        super().__init__(help_text=_("At least 8 characters"), strip=False, error_messages=messages, **kwargs)
        refuse_null_characters(self, _("Password has a character that can't be used"))


class CurrentPasswordField(forms.CharField):
    """The password that an account has."""

    widget = forms.PasswordInput(attrs={"autocomplete": "current-password"})

    def __init__(self, **kwargs: Any) -> None:
        messages = {"required": _("Enter your current password")}
        super().__init__(label=_("Current password"), strip=False, error_messages=messages, **kwargs)
        refuse_null_characters(self, _("The current password is not right"))


class CaptchaField(forms.CharField):
    """The emailed code, as typed: no maxlength and no pattern, which would cut a pasted `12 34`."""

    widget = forms.TextInput(
        attrs={"inputmode": "numeric", "autocomplete": "one-time-code", "spellcheck": "false", "dir": "ltr"}
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Code"), required=False, **kwargs)

    def run_validators(self, value: Any) -> None:
        """Whatever is not a code is told so in the code's own words."""
