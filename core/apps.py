from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreConfig(AppConfig):
    name = "core"
    default_auto_field = "django.db.models.BigAutoField"  # whatever the site's DEFAULT_AUTO_FIELD is

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from . import checks as system_checks
        from . import clock
        from .health import checks, pages, proxies, registry
        from .observability import error_reports, logs

        logs.configure()
        error_reports.start()
        system_checks.refuse_impossible()
        connection_created.connect(clock.follow_database)
        registry.register("database", checks.database, _("database"), quick=True)
        registry.register("migrations", checks.migrations, _("migrations"))
        registry.register("redis", checks.redis_server, _("Redis"), quick=True)
        registry.register("keys", checks.keys, _("keys"))
        registry.register("catalogues", checks.catalogues, _("catalogues"))
        registry.register("pages", pages.pages, _("page templates"))
        registry.register("proxies", proxies.check, _("proxies"))
        registry.register("clock_of_database", checks.clock_of_database, _("clock of the database"))
        registry.register("clock_of_redis", checks.clock_of_redis, _("clock of Redis"))
