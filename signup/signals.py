"""Signals for other code of a site."""

from typing import Any

from django.db import transaction
from django.dispatch import Signal

# Sent once for each account, after the commit that activated it, by a sign-up, an operator or code: sender=User,
# user=<the account>.
user_activated = Signal()


def send_user_activated(user: Any) -> None:
    """Send the signal once this transaction is committed. What a receiver raises is logged and stops nobody."""
    transaction.on_commit(lambda: user_activated.send_robust(sender=type(user), user=user), robust=True)
