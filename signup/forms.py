"""The forms of the journey. They clean input, call one service and show its refusals at the fields."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from core import email_addresses, languages
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import HandleLost, SignUpError

from . import services, usernames
from .error_messages import explain
from .models import User


class PageField(forms.BoundField):
    """
    A field in a page, required by `aria-required`: an empty one with HTML's own `required` is invalid to Firefox, and
    screen readers say so before anything is typed. Browsers validate no form of ours.
    """

    def build_widget_attrs(self, attrs: Any, widget: Any = None) -> dict[str, Any]:
        built = super().build_widget_attrs(attrs, widget)
        if built.pop("required", False):
            built["aria-required"] = "true"
        return built


class PageForm(forms.Form):
    bound_field_class = PageField


class AddressField(forms.CharField):
    """An email address, cleaned into its canonical form."""

    widget = forms.EmailInput(
        attrs={"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false", "dir": "ltr"}
    )
    default_error_messages = {"required": _("Enter your email address")}

    def to_python(self, value: Any) -> Any:
        typed = super().to_python(value)
        return email_addresses.canonical(typed) if typed else typed


class UsernameField(forms.CharField):
    """A username, cleaned into the form in which it is shown."""

    widget = forms.TextInput(
        attrs={
            "autocomplete": "username",
            "autocapitalize": "none",
            "autocorrect": "off",  # as it is in a field for an email address; keyboards would change annb to Anna
            "spellcheck": "false",
            "dir": "auto",
        }
    )
    default_error_messages = {"required": _("Enter a username")}

    def to_python(self, value: Any) -> Any:
        typed = super().to_python(value)
        return usernames.clean(typed) if typed else typed


class NewPasswordField(forms.CharField):
    """A password that is being chosen. It is typed once, and the page can show it."""

    widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
    default_error_messages = {
        "required": _("Enter a password"),
        "null_characters_not_allowed": _("Password has a character that can't be used"),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, help_text=_("At least 8 characters"), **kwargs)


def refuse_registered(email: str) -> None:
    if settings.SIGNUP_REVEAL_REGISTERED and services.is_registered(address=email):
        raise explain(services.AlreadyRegistered())


class EmailForm(PageForm):
    """Step one: the address."""

    email = AddressField(
        label=_("Email address"),
        validators=[email_addresses.check_allowed, refuse_registered],
        widget=forms.EmailInput(attrs={**AddressField.widget.attrs, "autofocus": True}),
    )


class ChangeForm(PageForm):
    """Another address for a sign-up that has begun."""

    new_email = AddressField(
        label=_("New email address"), validators=[email_addresses.check_allowed, refuse_registered]
    )


class CodeForm(PageForm):
    """
    Step two: the code of a sign-up request. Validation proves the mailbox and consumes the code, or accepts
    `proof`, which the browser got by opening the mail's link or by the right code before. Without a request the form
    answers as for one that is lost.
    """

    email = AddressField(label=_("Email address"))
    # A plain Field without validators, and without maxlength or pattern, which would cut a pasted "12 34".
    captcha = forms.Field(
        label=_("Code"),
        required=False,
        widget=forms.TextInput(
            attrs={
                "inputmode": "numeric",
                "autocomplete": "one-time-code",
                "spellcheck": "false",
                "dir": "ltr",
                "autofocus": True,
            }
        ),
    )

    def __init__(self, *args: Any, sign_up: CaptchaModel | None = None, proof: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sign_up = sign_up
        self.held_proof = proof  # from before this form
        self.new_proof = ""  # set by validation once it has proven the mailbox, for the browser to keep

    @property
    def is_proven(self) -> bool:
        """Whether the visitor needs no code."""
        proof = self.new_proof or self.held_proof
        return self.sign_up is not None and verification.holds_proof(self.sign_up, proof=proof)

    def clean_email(self) -> str:
        """Return the canonical address. `clean_captcha` compares it with the request's."""
        email: str = self.cleaned_data["email"]
        refuse_registered(email)
        return email

    def clean_captcha(self) -> str:
        """
        Only if no other field is wrong: count, compare, turn the code into a proof. So `captcha` is the last field of
        each form, see `field_order`.
        """
        if self.sign_up is None:
            raise explain(HandleLost())
        code = "" if self.is_proven else self._digits(self.sign_up.length)
        if self.errors:
            return code
        # Also for a visitor with a proof, who needs no code: this records that the mail's link proved the mailbox.
        email, held = self.cleaned_data["email"], self.held_proof
        try:
            self.new_proof = services.prove(sign_up=self.sign_up, address=email, code=code, proof=held)
        except SignUpError as error:
            # Show the field empty: site.js sends the form at the last digit, so nobody can type a code behind this one.
            self.data = {**dict(self.data.items()), "captcha": ""}
            raise explain(error) from error
        return code

    def _digits(self, length: int) -> str:
        typed = self.cleaned_data["captcha"] or ""
        if not str(typed).strip():
            raise ValidationError(_("Enter the %(n)s-digit code"), "required", {"n": length})
        code = codes.normalize(typed.strip()) if isinstance(typed, str) else None  # a number has lost its leading zeros
        if code is None or len(code) != length:
            raise ValidationError(_("The code must be %(n)s digits"), "invalid", {"n": length})
        return code


class RegisterForm(CodeForm):
    """
    Step three: the username and password of the account. A visitor who has not proven the mailbox types the code in the
    same form.
    """

    username = UsernameField(
        label=_("Username"),
        widget=forms.TextInput(attrs={**UsernameField.widget.attrs, "autofocus": True}),
        help_text=_("2–20 letters, digits, - or _"),
    )
    password = NewPasswordField(label=_("Password"))

    field_order = ("email", "username", "password", "captcha")

    @property
    def as_shown(self) -> list[forms.BoundField]:
        """The fields in the page's order, in which it lists their errors."""
        return [self[name] for name in ("email", "captcha", "username", "password")]

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        user = User(email=self.cleaned_data.get("email", ""), username=self.cleaned_data.get("username", ""))
        password_validation.validate_password(password, user)
        return password

    def clean(self) -> None:
        """Only a visitor who proved the mailbox learns whether a username is taken."""
        username = self.cleaned_data.get("username")
        # This address may have its account by now, as at a double click: `save` then says that the sign-up is finished.
        address = self.sign_up.address if self.sign_up else ""
        if username and self.is_proven and not services.is_username_free(username=username, address=address):
            self.add_error("username", explain(services.UsernameTaken()))

    def save(self, *, terms: str = "") -> User | None:
        """Activate the account; None, with an error at its field, if a parallel request was faster."""
        chosen = {name: self.cleaned_data[name] for name in ("username", "password")}
        try:
            sign_up = cast(CaptchaModel, self.sign_up)  # a valid form has one
            return services.register(sign_up=sign_up, **chosen, language=languages.active(), terms=terms)
        except SignUpError as error:
            fields = {services.UsernameTaken: "username", services.AlreadyRegistered: "email"}
            self.add_error(fields.get(type(error), "captcha"), explain(error))
            return None
