"""Signals for other code of a site."""

from django.dispatch import Signal

# Sent once for each account, after the commit that activated it: sender=User, user=<the account>.
user_activated = Signal()
