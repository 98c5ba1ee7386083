from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WorkerConfig(AppConfig):
    name = "worker"
    verbose_name = _("Mail")

    def ready(self) -> None:
        from core import health
        from core import metrics as exposition

        from . import bell, checks, metrics

        checks.register()
        health.register("broker", bell.probe)
        exposition.register(metrics.mails, needs="database")
        exposition.register(metrics.workers, needs="database")
        exposition.register(metrics.broker, needs="broker")
