"""Django's admin for operators. No code, nonce, handle or key is ever shown."""

from typing import Any

from django.utils.translation import gettext, gettext_noop
from django.views.i18n import JavaScriptCatalog

from . import accounts, logs  # noqa: F401 - each registers its pages

# In the admin's header. Django's own Chinese for it, 注销, is what this site calls deleting an account.
gettext_noop("Log out")
# Of Django's own pages, those that Django 5.2 has in English alone for readers of simplified Chinese.
gettext_noop("Add link")
gettext_noop("After you’ve created a user, you’ll be able to edit more user options.")
gettext_noop("Change or view list link")
gettext_noop("Error:")
gettext_noop("Model name")
# And of its scripts.
SCRIPTS = [
    gettext_noop('Choose %s by selecting them and then select the "Choose" arrow button.'),
    gettext_noop("Choose all %s"),
    gettext_noop("Choose selected %s"),
    gettext_noop('Remove %s by selecting them and then select the "Remove" arrow button.'),
    gettext_noop("Remove selected %s"),
    gettext_noop("Remove all %s"),
    gettext_noop("(click to clear)"),
]


class ScriptTexts(JavaScriptCatalog):
    """The texts of the admin's scripts: Django's, and those that it lacks."""

    packages = ["django.contrib.admin"]

    def get_catalog(self) -> dict[str, Any]:
        return {text: gettext(text) for text in SCRIPTS} | super().get_catalog()
