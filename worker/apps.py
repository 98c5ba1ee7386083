from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WorkerConfig(AppConfig):
    name = "worker"
    verbose_name = _("Mail")

    def ready(self) -> None:
        from core import health

        from . import bell

        health.register("broker", bell.probe)
