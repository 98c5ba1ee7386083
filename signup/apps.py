from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.utils.translation import gettext_lazy as _


class SignupConfig(AppConfig):
    name = "signup"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from core.views import register_errors

        user_logged_in.disconnect(dispatch_uid="update_last_login")
        user_logged_in.connect(_note_sign_in, dispatch_uid="update_last_login")  # in the place of Django's own

        from . import mails
        from .api import problems

        register_errors("/api/", problems.error_page)
        mails.register()


def _note_sign_in(user: Any, **kwargs: Any) -> None:
    """As Django does it, but for who registered a moment ago: that was noted with the account."""
    from django.contrib.auth.models import update_last_login

    from core import clock

    if not user.last_login or clock.now() - user.last_login > timedelta(seconds=10):
        update_last_login(sender=type(user), user=user)
