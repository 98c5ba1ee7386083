"""The whole journey in one process, as in the tests of a site, which know Django and Celery alone."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import Client

from signup.forms import RegisterForm
from tests.factories import ALICE, PASSWORD
from verification.models import CaptchaModel


def ask(client: Client) -> str:
    """Ask for a code, and read it in Django's outbox."""
    assert client.post("/signup/", {"email": ALICE}).status_code == 303
    [message] = mail.outbox
    [code] = re.findall(r"(?m)^(\d{4})$", str(message.body))
    return code


@pytest.mark.django_db(transaction=True)
def test_an_eager_task_puts_the_mail_into_djangos_outbox(client: Client, settings) -> None:
    """No worker, broker or mail server is needed, and no page of ours on how to test."""
    settings.CELERY_TASK_ALWAYS_EAGER = True
    code = ask(client)
    assert not get_user_model().objects.get(email=ALICE).is_active
    account = {"email": ALICE, "captcha": code, "username": "alice", "password": PASSWORD}
    assert client.post("/signup/verify/", account).status_code == 303
    assert get_user_model().objects.get(username="alice").is_active


@pytest.mark.django_db(transaction=True)
def test_the_form_takes_the_code_of_that_mail(client: Client, settings) -> None:
    settings.CELERY_TASK_ALWAYS_EAGER = True
    account = {"email": ALICE, "captcha": ask(client), "username": "alice", "password": PASSWORD}
    form = RegisterForm(account, sign_up=CaptchaModel.objects.get(address=ALICE))
    assert form.is_valid()
    assert form.save()
