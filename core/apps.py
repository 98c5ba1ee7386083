from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from . import checks, health, logs

        logs.configure()
        checks.refuse_impossible()
        checks.register()
        health.register("database", health.database)
        health.register("redis", health.redis)
