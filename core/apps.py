from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from . import checks as system_checks
        from .health import checks
        from .health.registry import register
        from .observability import error_reports, logs

        logs.configure()
        error_reports.start()
        system_checks.refuse_impossible()
        register("database", checks.database, _("database"), quick=True)
        register("migrations", checks.migrations, _("migrations"))
        register("redis", checks.redis_server, _("Redis"), quick=True)
        register("keys", checks.keys, _("keys"))
        register("catalogues", checks.catalogues, _("catalogues"))
        register("proxies", checks.proxies, _("proxies"))
        register("clock_of_database", checks.clock_of_database, _("clock of the database"))
        register("clock_of_redis", checks.clock_of_redis, _("clock of Redis"))
