from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from . import checks
        from .health import checks as health_checks
        from .health import proxies, registry
        from .observability import error_reports, logs

        logs.configure()
        error_reports.start()
        checks.refuse_impossible()
        checks.register()
        registry.register("database", health_checks.database, _("database"), quick=True)
        registry.register("migrations", health_checks.migrations, _("migrations"))
        registry.register("redis", health_checks.redis_server, _("Redis"), quick=True)
        registry.register("keys", health_checks.keys, _("keys"))
        registry.register("catalogues", health_checks.catalogues, _("catalogues"))
        registry.register("proxies", proxies.check, _("proxies"))
        registry.register("clock_of_database", health_checks.clock_of_database, _("clock of the database"))
        registry.register("clock_of_redis", health_checks.clock_of_redis, _("clock of Redis"))
