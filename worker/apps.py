from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WorkerConfig(AppConfig):
    name = "worker"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the site's DEFAULT_AUTO_FIELD is
    verbose_name = _("Mail")

    def ready(self) -> None:
        from core.health import registry
        from core.observability import metrics as exposition

        from . import dns_health, health, metrics

        registry.register("broker", health.broker, _("broker"), quick=True)
        registry.register("workers", health.workers, _("workers"))
        registry.register("sweeper", health.sweeper, _("sweeper"))
        registry.register("waiting_mails", health.waiting_mails, _("waiting mails"))
        registry.register("blocked_mails", health.blocked_mails, _("blocked mails"))
        registry.register("mails", health.mails, _("mail templates"))
        registry.register("mail_server", health.mail_server, _("mail server"))
        registry.register("fallback_mail_server", health.fallback_mail_server, _("mail server of the fallback"))
        registry.register("spf", dns_health.spf, _("SPF record"))
        registry.register("dkim", dns_health.dkim, _("DKIM record"))
        registry.register("dmarc", dns_health.dmarc, _("DMARC record"))
        registry.register("mx", dns_health.mx, _("MX record"))
        registry.register("ptr", dns_health.ptr, _("PTR record"))
        exposition.register(metrics.mails, needs="database")
        exposition.register(metrics.workers, needs="database")
        exposition.register(metrics.broker, needs="broker")
