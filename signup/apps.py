from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SignupConfig(AppConfig):
    name = "signup"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the site's DEFAULT_AUTO_FIELD is
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from core.views import register_errors

        from . import mails, retention  # noqa: F401 - contexts of mails; a counter, shown from the start
        from .api import problems

        register_errors("/api/", problems.error_page)
