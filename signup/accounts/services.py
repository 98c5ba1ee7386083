"""Services for the owner of an account. Each owns its transaction."""

from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction

from signup.models import User
from worker import outbox
from worker.models import Delivery


def request_password_reset(*, address: str, language: str, network: str = "") -> None:
    """
    Have a reset mail sent if the canonical address has an active account with a password. Every address gets a row, so
    that the time does not show whether there is one; the worker makes the token, or drops the row.
    """
    try:
        _post_reset(address, language, network)
    except IntegrityError:  # the account was deleted meanwhile
        _post_reset(address, language, network)


@transaction.atomic
def _post_reset(address: str, language: str, network: str) -> None:
    user = User.objects.filter(email=address, is_active=True).first()
    outbox.post(
        kind=Delivery.Kind.PASSWORD_RESET,
        recipient=address,
        language=(user.language if user else "") or language,
        user_id=user.pk if user and user.has_usable_password() else None,
        network=network,
    )


def keep_language(*, user: User | AnonymousUser, language: str) -> None:
    """Set the language of an account, for its pages and later mails; a visitor who has none keeps it in the browser."""
    if not user.is_anonymous and user.language != language:
        user.language = language
        user.save(update_fields=["language"])


def change_password(*, user: User, password: str | None, language: str) -> None:
    """Set a password, or none, and tell its owner by mail, in `language` if the account has none."""
    if password is None:
        user.set_unusable_password()
    else:
        user.set_password(password)  # before the transaction: it takes longer than all of its statements
    with transaction.atomic():
        user.save(update_fields=["password"])
        kind, language = Delivery.Kind.PASSWORD_CHANGED, user.language or language
        # Past the mail limits: a stranger who fills them must not keep this from the owner.
        outbox.post(kind=kind, recipient=user.email, language=language, network=None, user_id=user.pk)
