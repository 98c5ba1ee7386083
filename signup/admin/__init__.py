"""Django's admin for operators. No code, nonce, handle or key is ever shown."""

from django.utils.translation import gettext_noop

from . import accounts, logs  # noqa: F401 - each registers its pages

# In the admin's header. Django's own Chinese for it, 注销, is what this site calls deleting an account.
gettext_noop("Log out")
# Of Django's own pages, those that Django 5.2 has in English alone for readers of simplified Chinese.
gettext_noop("Add link")
gettext_noop("After you’ve created a user, you’ll be able to edit more user options.")
gettext_noop("Change or view list link")
gettext_noop("Error:")
gettext_noop("Model name")
