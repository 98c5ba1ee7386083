from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class VerificationConfig(AppConfig):
    name = "verification"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the site's DEFAULT_AUTO_FIELD is
    verbose_name = _("Verification")

    def ready(self) -> None:
        from core.observability import metrics as exposition

        from . import metrics

        exposition.register(metrics.digits, needs="database")
