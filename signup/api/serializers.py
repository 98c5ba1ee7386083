"""
The input and the response of each call. Serializers document them; the forms of the pages validate, so that pages and
calls accept the same input and refuse it with the same messages.
"""

from datetime import UTC
from typing import Any, NoReturn

from django.conf import settings
from django.forms import Form
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from core import languages, lengths
from signup.accounts import forms as account_forms
from signup.forms import EmailForm, RegisterForm
from signup.models import User
from verification.models import CaptchaModel
from verification.states import AlreadyRedeemed, HandleLost, resend_wait

from .problems import FIELD_ERRORS, PROBLEMS, ErrorCode, Problem, field_errors, validation_problem

EXAMPLE_LANGUAGES = {"en": "English", "zh-hans": "简体中文"}
_PEOPLE = {"en": ("alice", "alice@example.com"), "zh-hans": ("小明", "xiaoming@example.com")}
_ID = "kX3vT0pQm7Rz1LbW9sYd4HcA"
_PUBLIC_ID = "5b1f0a8e-3c62-4f0d-9a57-2d1c7e6b4f90"
_STATUS_URL = f"https://accounts.example.com/api/captchas/{_ID}/"
_TOKEN = "9f" * 32
_TIME = "2030-01-31T09:30:00Z"
_PASSWORD = "correct horse battery"  # noqa: S105 - an example
_NEW_PASSWORD = "another horse battery"  # noqa: S105 - an example


def _example(*names: str, **values: Any) -> Any:
    """Document a serializer by an English and a Chinese example: the person's fields by `names`, and `values`."""
    examples = []
    for language, called in EXAMPLE_LANGUAGES.items():
        username, email = _PEOPLE[language]
        with translation.override(language):
            detail = account_forms.reset_answer(email)
        person = {"username": username, "email": email, "language": language, "detail": detail}
        example = {name: person[name] for name in names} | values
        examples.append(OpenApiExample(f"example.{language}", example, summary=called, status_codes=[200, 201, 202]))
    return extend_schema_serializer(examples=examples)


# Serializers have no docstrings: drf-spectacular would publish them untranslated.
class FormSerializer(serializers.Serializer[Any]):
    form_class: type[Form]
    form: Any  # the bound form that validated

    def get_form(self, fields: dict[str, str]) -> Form:
        """The form that validates, bound to the fields of the body; a field's `source` is its name in the form."""
        return self.form_class(fields)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """
        The fields of the body; others are ignored. Each must be a string: 1234 is no code, and true is no name. A long
        one is cut to a length that its form still refuses.
        """
        given = {name: data[name] for name in map(str, self.fields) if name in data}
        if others := [name for name, value in given.items() if not isinstance(value, str)]:
            raise validation_problem(field_errors(ErrorCode.NOT_A_STRING, *others))
        return {str(self.fields[name].source): value[: lengths.FIELD] for name, value in given.items()}

    def validate(self, attrs: dict[str, str]) -> Any:
        self.form = self.get_form(attrs)
        if not self.form.is_valid():
            self.refuse()
        return self.form.cleaned_data

    def refuse(self, **extra: Any) -> NoReturn:
        """Raise the form's errors, under the form's own codes; `extra` are further members of the problem."""
        names = {field.source: name for name, field in self.fields.items()}
        errors = {
            names.get(name, name): [
                {"code": error.code or ErrorCode.INVALID, "message": " ".join(error.messages)} for error in found
            ]
            for name, found in self.form.errors.as_data().items()
        }
        raise validation_problem(errors, **extra)


@_example("email")
class AskCodeSerializer(FormSerializer):
    form_class = EmailForm
    email = serializers.CharField(help_text=_("Where the code goes; the address of the account"))


@_example("email", "username", id=_ID, captcha="0427", password=_PASSWORD)
class NewUserSerializer(FormSerializer):
    id = serializers.CharField(help_text=_("The id from the response to the request for a code"))
    email = serializers.CharField(help_text=_("The address that the code went to"))
    captcha = serializers.CharField(help_text=_("The code: a string, as leading zeros count"))
    username = serializers.CharField(help_text=_("2–20 letters, digits, - or _"))
    password = serializers.CharField(help_text=_("At least 8 characters"))

    def get_form(self, fields: dict[str, str]) -> Form:
        if not fields.get("id"):  # there is no form without a request
            missing = [name for name in map(str, self.fields) if not fields.get(name)]
            raise validation_problem(field_errors(ErrorCode.REQUIRED, *missing))
        return RegisterForm(fields, sign_up=find_live(fields["id"]))

    def refuse(self, **extra: Any) -> NoReturn:
        sign_up = find_live(self.initial_data.get("id", ""))  # raises AlreadyRedeemed if a parallel call was faster
        if self.form.has_error("captcha", ErrorCode.LENGTHENED):
            extra["code_length"] = sign_up.length
        super().refuse(**extra)


@_example("username", password=_PASSWORD)
class SignInSerializer(FormSerializer):
    username = serializers.CharField(help_text=_("Email address or username"))
    password = serializers.CharField()

    def get_form(self, fields: dict[str, str]) -> Form:
        return account_forms.LoginForm(self.context["request"], fields)

    def refuse(self, **extra: Any) -> NoReturn:
        if self.form.non_field_errors():
            raise Problem(ErrorCode.LOGIN_FAILED)
        super().refuse(**extra)


@_example("email")
class PasswordResetSerializer(FormSerializer):
    form_class = account_forms.PasswordResetForm
    email = serializers.CharField(help_text=_("The address of the account"))


@_example("language")
class LanguageChangeSerializer(FormSerializer):
    form_class = account_forms.LanguageForm
    language = serializers.ChoiceField(choices=settings.LANGUAGES)


@_example(old_password=_PASSWORD, password=_NEW_PASSWORD)
class PasswordChangeSerializer(FormSerializer):
    old_password = serializers.CharField(help_text=_("Current password"))
    password = serializers.CharField(help_text=_("At least 8 characters"))

    def get_form(self, fields: dict[str, str]) -> Form:
        request = self.context["request"]
        return account_forms.PasswordChangeForm(request.user, fields, request=request)


@_example(password=_PASSWORD)
class DeletionSerializer(FormSerializer):
    password = serializers.CharField(source="old_password", help_text=_("Current password"))

    def get_form(self, fields: dict[str, str]) -> Form:
        return account_forms.CurrentPasswordForm(fields, request=self.context["request"])


# All that a client may know of its sign-up request. It is the same for every address.
@_example(id=_ID, code_length=4, expires_in=600, resend_after=60, status_url=_STATUS_URL)
class CodeRequestSerializer(serializers.Serializer[CaptchaModel]):
    id = serializers.CharField(source="handle", help_text=_("Unguessable; keep it until the account is created"))
    code_length = serializers.IntegerField(source="length", help_text=_("Number of digits in the code"))
    expires_in = serializers.IntegerField(
        source="seconds_left",
        read_only=True,
        help_text=_("Seconds that the code is valid, from when its email was sent"),
    )
    resend_after = serializers.SerializerMethodField(help_text=_("Seconds until the email can be sent again"))
    status_url = serializers.HyperlinkedIdentityField(
        "api_captcha", lookup_field="handle", lookup_url_kwarg="id", help_text=_("The URL of the email's state")
    )

    def get_resend_after(self, sign_up: CaptchaModel) -> int:
        return resend_wait(sign_up)


@_example(state="sent", sent_at=_TIME, resend_after=42, code_length=4)
class DeliveryStateSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(
        choices=[
            ("queued", _("it waits for its turn")),
            ("sending", _("it is being handed to the mail server")),
            ("sent", _("the mail server has it")),
            ("delayed", _("it is tried again by itself")),
            ("failed", _("it was refused for good, given up, or not sent at all")),
            ("bounced", _("the mail server had it, and it came back")),
            ("proven", _("the code was right, and there is no account yet")),
            ("finished", _("there is an account: sign in")),
        ]
    )
    sent_at = serializers.DateTimeField(allow_null=True)
    resend_after = serializers.IntegerField(help_text=_("Seconds until the email can be sent again"))
    reason = serializers.ChoiceField(
        choices=[
            ("mailbox", _("there is no such mailbox, or it takes no mail: let the person check the address")),
            ("site", _("its mail service takes no mail from this site at present: a later try may succeed")),
            ("unclear", _("the mail service gave no reason that is known")),
        ],
        required=False,
        help_text=_("Why the email failed or bounced, or was refused and is tried again"),
    )
    leaves_at = serializers.DateTimeField(
        required=False,
        help_text=_("When the email will be sent, if the mailbox's limit delays it"),
    )
    code_length = serializers.IntegerField(help_text=_("Number of digits in the code"))


@_example("username", "email", id=_PUBLIC_ID, token=_TOKEN)
class NewAccountSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text=_("The account's id: random, and always the same"))
    username = serializers.CharField()
    email = serializers.CharField(help_text=_("In its canonical form, which is where mail goes"))
    token = serializers.CharField(help_text=_("Shown only once: the server keeps only its hash"))


@_example(token=_TOKEN, expires_at=_TIME)
class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(help_text=_("Shown only once: the server keeps only its hash"))
    expires_at = serializers.DateTimeField(default_timezone=UTC, format="iso-8601")


@_example("username", "email", "language", id=_PUBLIC_ID)
class AccountSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id", help_text=_("The account's id: random, and always the same"))
    username = serializers.CharField()
    email = serializers.CharField()
    language = serializers.ChoiceField(choices=settings.LANGUAGES)

    def to_representation(self, instance: User) -> dict[str, Any]:
        """One that the site offers: an operator may have created the account without, or taken its language away."""
        return super().to_representation(instance) | {"language": languages.offered(instance.language)}


@_example("detail")
class MessageSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text=_("For people, in the language of the request"))


class FieldErrorSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[(str(code), code.meaning) for code in FIELD_ERRORS])
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.ChoiceField(choices=[(str(code), code.meaning) for code in PROBLEMS])
    errors = serializers.DictField(child=FieldErrorSerializer(many=True), required=False)  # type: ignore[assignment]
    code_length = serializers.IntegerField(
        required=False, help_text=_("With lengthened: number of digits in the new code")
    )


def find_sign_up(handle: str) -> CaptchaModel:
    """The sign-up request of a handle, live or finished by an account. Raises HandleLost."""
    sign_up = CaptchaModel.objects.by_handle(handle)
    if sign_up is None:
        raise HandleLost
    return sign_up


def find_live(handle: str) -> CaptchaModel:
    """The sign-up request of a handle that can still become an account. Raises HandleLost or AlreadyRedeemed."""
    sign_up = find_sign_up(handle)
    if sign_up.is_finished:
        raise AlreadyRedeemed
    return sign_up
