"""
Logging: one line an event, as JSON for programs or text for people. Each has the id of its request, in the web and in
the worker. No line contains the token of a link, the handle of a sign-up request, or an address: pseudonyms stand for
addresses.
"""

import logging
from typing import Any

import structlog
from gunicorn.glogging import Logger
from structlog.typing import EventDict, Processor, WrappedLogger

from core.env import Env

from .redaction import pseudonym, scrub_all


def _scrub_event(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return {key: value if key.startswith("_") else scrub_all(value) for key, value in event.items()}


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def formatter(style: str) -> logging.Formatter:
    """Return the formatter of all handlers; `style` is "json" or "text"."""
    last: Processor = structlog.dev.ConsoleRenderer(colors=False)
    if style == "json":
        last = structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _scrub_event,
            last,
        ],
    )


def configure() -> None:
    """Send the lines of structlog to the handlers of LOGGING."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's logs in our format; the access log, where it is on, has a pseudonym for the visitor's address."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        env = Env()  # the master process has no settings
        style = env.str("LOG_FORMAT", default="text" if env.bool("DEBUG", default=False) else "json")
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter(style))

    def atoms(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(*args, **kwargs)
        return {**atoms, "h": f"network-{pseudonym('network', str(atoms['h']))}"}
