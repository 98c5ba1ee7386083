"""The forms of the journey. They translate; the services decide."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import password_validation
from django.utils.translation import gettext_lazy as _

from core import email_addresses
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import VerificationError

from . import error_messages, services
from .fields import AddressField, CaptchaField, NewPasswordField, UsernameField
from .models import User


class EmailForm(forms.Form):
    """Step one: the address."""

    email = AddressField()

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        email_addresses.check_domain(email)
        _refuse_registered(email)
        return email


class ChangeForm(forms.Form):
    """Another address for a sign-up that has begun."""

    new_email = AddressField(label=_("New email address"))

    def clean_new_email(self) -> str:
        email: str = self.cleaned_data["new_email"]
        email_addresses.check_domain(email)
        _refuse_registered(email)
        return email


class RegisterForm(forms.Form):
    """
    Step two: the code, and the account it opens.

    `captchas` are the requests this visitor holds, newest first; `link_proofs`, by handle, what stands for a code:
    left by the mail's link, or by a code that was right before. Validation proves the code (and consumes it), and adds
    its proof there, for the visitor's browser to keep; `save` activates the account.
    """

    email = AddressField()
    username = UsernameField()
    password = NewPasswordField()
    captcha = CaptchaField()

    field_order = ("email", "username", "password", "captcha")

    def __init__(
        self, *args: Any, sign_ups: Sequence[CaptchaModel], link_proofs: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sign_ups, self.link_proofs = sign_ups, dict(link_proofs or {})
        self.chosen: CaptchaModel | None = sign_ups[0] if sign_ups else None
        self.proven_handle = ""  # of the request whose code or link this post has proven

    @property
    def as_shown(self) -> list[forms.BoundField]:
        """The fields as they stand on the page, whose errors are told in that order."""
        return [self[name] for name in ("email", "captcha", "username", "password")]

    @property
    def is_proven(self) -> bool:
        """Whether this visitor needs no code any more."""
        return self.chosen is not None and verification.holds_proof(self.chosen, link_proof=self._link_proof)

    @property
    def _link_proof(self) -> str | None:
        return self.link_proofs.get(self.chosen.handle) if self.chosen else None

    def clean_email(self) -> str:
        """Find the request of this address; with two tabs open, it need not be the newest."""
        email: str = self.cleaned_data["email"]
        self.chosen = next((each for each in self._sign_ups if each.address == email), self.chosen)
        _refuse_registered(email)
        return email

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        person = User(email=self.cleaned_data.get("email", ""), username=self.cleaned_data.get("username", ""))
        password_validation.validate_password(password, person)
        return password

    def clean_captcha(self) -> str:
        """Last of all, and only if nothing else is wrong: count, compare, consume into a proof."""
        code = "" if self.is_proven else self._shaped_code()
        if not self.errors:
            self._prove(code)
        return code

    def _prove(self, code: str) -> None:
        address = self.cleaned_data["email"]
        try:
            proof = services.prove(sign_up=self.chosen, address=address, code=code, link_proof=self._link_proof)
        except VerificationError as error:
            raise error_messages.explain(error) from error
        if self.chosen:
            self.link_proofs[self.chosen.handle] = proof
            self.proven_handle = self.chosen.handle

    def clean(self) -> None:
        """Only who proved the mailbox is told whether a username is taken."""
        if not self.errors and not services.is_username_free(username=self.cleaned_data["username"]):
            self.add_error("username", error_messages.explain(services.UsernameTaken()))

    def save(self, *, language: str) -> User | None:
        """Activate the account of a valid form; None, with the error at its field, where somebody was faster."""
        if self.chosen is None:
            raise AssertionError("only a valid form can be saved")
        username, password = self.cleaned_data["username"], self.cleaned_data["password"]
        try:
            return services.register(sign_up=self.chosen, username=username, password=password, language=language)
        except services.UsernameTaken as error:
            self.add_error("username", error_messages.explain(error))
        except services.AlreadyRegistered as error:
            self.add_error("email", error_messages.explain(error))
        except VerificationError as error:
            self.add_error("captcha", error_messages.explain(error))
        return None

    def _shaped_code(self) -> str:
        length = self.chosen.length if self.chosen else settings.CAPTCHA_LENGTH
        typed = self.cleaned_data["captcha"]
        if not typed:
            raise error_messages.code_required(length)
        code = codes.normalize(typed)
        if code is None or len(code) != length:
            raise error_messages.code_format(length)
        return code


def _refuse_registered(email: str) -> None:
    if settings.SIGNUP_REVEAL_REGISTERED and services.is_registered(address=email):
        raise error_messages.explain(services.AlreadyRegistered())
