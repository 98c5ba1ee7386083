"""Services for the owner of an account. Each owns its transaction."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from core import clock
from signup.models import User
from worker import outbox
from worker.models import Delivery


@transaction.atomic
def request_password_reset(*, address: str, language: str, network: str = "") -> None:
    """
    Have a reset mail sent if the canonical address has an active account with a password. The same statements for every
    address, so that the time does not show whether it has: the worker looks, and takes the account's own language.
    """
    outbox.post(kind=Delivery.Kind.PASSWORD_RESET, recipient=address, language=language, network=network)


def keep_language(*, user: User | AnonymousUser, language: str) -> None:
    """Set the language of an account, for its pages and later mails; a visitor who has none keeps it in the browser."""
    if not user.is_anonymous and user.language != language:
        user.language = language
        User.objects.filter(pk=user.pk).update(language=language)  # `save` raises if the account was deleted meanwhile


def record_sign_in(*, user: User, **kwargs: Any) -> None:
    """In place of Django's `update_last_login`, which raises if the account was deleted meanwhile."""
    user.last_login = clock.now()
    User.objects.filter(pk=user.pk).update(last_login=user.last_login)


class AccountChanged(Exception):
    """The account was disabled or deleted meanwhile, or its password is another than the one that was confirmed."""


def change_password(*, user: User, password: str | None, language: str) -> None:
    """Set a password, or none, and tell its owner by mail, in `language` if the account has none."""
    user.set_password(password)  # before the transaction: it takes longer than all of its statements
    with transaction.atomic():
        _save_password(user, language)


def choose_password(*, user: User, password: str, language: str, confirmed: str | None) -> None:
    """
    Set the password that the owner chose, and notify the owner by mail. `confirmed` is the session hash of the account
    when its current password was confirmed. It is None for a reset, which overrides a change at the same time: only the
    owner gets the mail with the reset's link. Raises AccountChanged.
    """
    user.set_password(password)
    with transaction.atomic():
        now = User.objects.lock_active(user)
        if now is None or confirmed not in (None, now.get_session_auth_hash()):
            raise AccountChanged
        _save_password(user, language)


def _save_password(user: User, language: str) -> None:
    user.save(update_fields=["password"])
    # Past the mail limits: a stranger who uses them up must not keep this mail from the owner.
    outbox.post(
        kind=Delivery.Kind.PASSWORD_CHANGED,
        recipient=user.email,
        language=user.language or language,
        network=None,
        user_id=user.pk,
    )
