"""Django's admin for operators. No code, nonce, handle or key is ever shown."""

from django.utils.translation import gettext_noop

from . import accounts, logs  # noqa: F401 - each registers its pages

# In the admin's header. Django's own Chinese for it, 注销, is what this site calls deleting an account.
gettext_noop("Log out")
