from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class VerificationConfig(AppConfig):
    name = "verification"
    verbose_name = _("Verification")

    def ready(self) -> None:
        from core.observability import metrics as exposition

        from . import metrics

        exposition.register(metrics.digits, needs="database")
