from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SignupConfig(AppConfig):
    name = "signup"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the site's DEFAULT_AUTO_FIELD is
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from core.views import register_errors

        from . import mails, retention  # noqa: F401 - register contexts of mails, and a counter
        from .accounts import services
        from .api import problems

        register_errors("/api/", problems.error_page)
        # In place of Django's own, whichever of the two apps is ready first: no second receiver of a name is added.
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        user_logged_in.connect(services.record_sign_in, dispatch_uid="update_last_login")
