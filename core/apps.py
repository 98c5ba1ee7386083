from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from . import checks, health, logs, reports

        logs.configure()
        reports.start()
        checks.refuse_impossible()
        checks.register()
        health.register("database", health.database)
        health.register("redis", health.redis)
