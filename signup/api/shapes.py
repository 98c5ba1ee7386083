"""What goes in and comes out of each call. What a field must hold is judged by the forms that the pages use."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as drf

from .codes import FIELDS, PROBLEMS


class AskCode(drf.Serializer[Any]):
    email = drf.CharField(help_text=_("Where the code goes; the address of the account"))


class NewUser(drf.Serializer[Any]):
    id = drf.CharField(help_text=_("What the request for a code was answered"))
    email = drf.CharField(help_text=_("The address that the code went to"))
    captcha = drf.CharField(help_text=_("The code: a string, as leading zeros count"))
    username = drf.CharField(help_text=_("2 to 20 letters or digits"))
    password = drf.CharField(help_text=_("At least 8 characters"))


class SignIn(drf.Serializer[Any]):
    username = drf.CharField(help_text=_("Email address or username"))
    password = drf.CharField()


class CodeRequest(drf.Serializer[Any]):
    id = drf.CharField(help_text=_("Unguessable; keep it until the account is made"))
    code_length = drf.IntegerField(help_text=_("Digits of the code"))
    expires_in = drf.IntegerField(help_text=_("Seconds that the code works, from when its email has left"))
    resend_after = drf.IntegerField(help_text=_("Seconds until the email may be asked for again"))
    status_url = drf.URLField(help_text=_("Where the email's state is told"))


class DeliveryState(drf.Serializer[Any]):
    state = drf.ChoiceField(
        choices=[
            ("queued", _("it waits for its turn")),
            ("sending", _("it is being handed to the mail server")),
            ("sent", _("the mail server has it")),
            ("delayed", _("it is tried again by itself")),
            ("failed", _("it was refused for good, or given up")),
        ]
    )
    sent_at = drf.DateTimeField(allow_null=True)
    resend_after = drf.IntegerField(help_text=_("Seconds until the email may be asked for again"))
    leaves_at = drf.DateTimeField(
        required=False, help_text=_("When it is delayed because too many emails were asked for")
    )


class NewAccount(drf.Serializer[Any]):
    id = drf.IntegerField()
    username = drf.CharField()
    email = drf.CharField(help_text=_("In its canonical form, which is where mail goes"))
    token = drf.CharField(help_text=_("Told once, as no one keeps it"))


class Token(drf.Serializer[Any]):
    token = drf.CharField(help_text=_("Told once, as no one keeps it"))
    expires_at = drf.DateTimeField()


class Account(drf.Serializer[Any]):
    id = drf.IntegerField()
    username = drf.CharField()
    email = drf.CharField()
    language = drf.ChoiceField(choices=settings.LANGUAGES)


class FieldError(drf.Serializer[Any]):
    code = drf.ChoiceField(choices=[(str(code), meaning) for code, meaning in FIELDS.items()])
    message = drf.CharField()


class Problem(drf.Serializer[Any]):
    """RFC 9457."""

    type = drf.CharField()
    title = drf.CharField()
    status = drf.IntegerField()
    detail = drf.CharField()
    code = drf.ChoiceField(choices=[(str(code), problem.title) for code, problem in PROBLEMS.items()])
    errors = drf.DictField(child=FieldError(many=True), required=False)  # type: ignore[assignment]
