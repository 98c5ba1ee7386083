"""What an account's owner may do to it. Each verb owns its transaction."""

from django.db import transaction

from worker import outbox
from worker.models import Delivery

from .models import User


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
