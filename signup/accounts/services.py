"""What an account's owner may do to it. Each verb owns its transaction."""

from django.db import transaction

from signup.models import User
from worker import outbox
from worker.models import Delivery


def request_password_reset(*, address: str, language: str, network: str = "") -> None:
    """
    Have a reset mail sent where the canonical address has an active account; its token is made in the worker.

    A row is written for any address, so that no stranger can tell by the time it takes; the worker drops it where
    there is no account to reset.
    """
    with transaction.atomic():
        user = User.objects.filter(email=address, is_active=True).first()
        outbox.post(
            kind=Delivery.Kind.PASSWORD_RESET,
            recipient=address,
            language=(user.language if user else "") or language,
            user_id=user.pk if user and user.has_usable_password() else None,
            network=network,
        )


def change_password(*, user: User, password: str | None, language: str) -> None:
    """
    Give an account another password, or none, and tell its mailbox: an owner who didn't do it learns of it there.

    `language` is that of the mail where the account has chosen none.
    """
    if password is None:
        user.set_unusable_password()
    else:
        user.set_password(password)  # before the transaction: it takes longer than all of its statements
    with transaction.atomic():
        user.save(update_fields=["password"])
        outbox.post(
            kind=Delivery.Kind.PASSWORD_CHANGED,
            recipient=user.email,
            language=user.language or language,
            user_id=user.pk,
        )


def delete_account(*, user: User) -> None:
    """
    Delete an account for good: its row, and the mails about it. Name and address are free again.

    Codes and mails of its sign-up hold the address until the purge takes them (PURGE_CODES_AFTER,
    PURGE_DELIVERIES_AFTER).
    """
    user.delete()
