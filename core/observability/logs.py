"""
Logging: one line an event, as JSON or text, with the id of its request, in the web and in the worker. No line contains
the token of a link, the handle of a sign-up request, or an address: pseudonyms stand for addresses.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import Error, connection
from gunicorn.glogging import Logger
from structlog import contextvars, dev, processors, stdlib
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from core.env import Env

from .redaction import pseudonym, scrub_all


@contextmanager
def errors_logged(logger: logging.Logger, text: str) -> Generator[None]:
    """
    Run one round of a loop that must not end: log its error, without a traceback if the database is down, and close
    the connection.
    """
    try:
        yield
    except Error as error:
        logger.warning("%s: %s", text, type(error).__name__)
    except Exception:
        logger.exception(text)
    finally:
        connection.close()


def _scrub_event(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return {key: value if key.startswith("_") else scrub_all(value) for key, value in event.items()}


_SHARED: list[Processor] = [
    contextvars.merge_contextvars,
    stdlib.add_logger_name,
    stdlib.add_log_level,
    processors.TimeStamper(fmt="iso", utc=True),
    processors.StackInfoRenderer(),
]


def formatter(style: str) -> logging.Formatter:
    """Return the formatter of all handlers; `style` is "json" or "text"."""
    last: Processor = dev.ConsoleRenderer(colors=False)
    if style == "json":
        last = processors.JSONRenderer(ensure_ascii=False, default=repr)
    chain: list[Processor] = [ProcessorFormatter.remove_processors_meta, processors.format_exc_info, _scrub_event, last]
    return ProcessorFormatter(foreign_pre_chain=_SHARED, processors=chain)


def configure() -> None:
    """Send the lines of structlog, and Python's warnings, to the handlers of LOGGING."""
    logging.captureWarnings(True)
    structlog.configure(
        processors=[stdlib.filter_by_level, *_SHARED, ProcessorFormatter.wrap_for_formatter],
        logger_factory=stdlib.LoggerFactory(),
        wrapper_class=stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class SuspiciousOperationFilter(logging.Filter):
    """
    Turns Django's error about a suspicious request, such as one for another host, into a short warning. It is no fault
    of the site, and whoever scans the network would fill the log with tracebacks that repeat what was sent.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
            record.msg, record.args = record.getMessage()[:200], ()
            return logging.root.isEnabledFor(logging.WARNING)
        return True


class ReadinessFilter(logging.Filter):
    """
    Drops Django's error about each 503 of `/readyz`. A load balancer probes each second, Sentry would report each
    error, and the health checks have logged the reason already.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", "") != "/readyz" or bool(record.exc_info)


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's logs in our format; the access log, if it is on, has a pseudonym for the visitor's address."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter(Env().log_format("LOG_FORMAT")))  # the master process has no settings

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """
        Of a malformed request, log what is wrong, but neither its text nor its sender's address. After a wrong
        Content-Length that text may be the rest of a form, with a password in it.
        """
        if str(msg).startswith("Invalid request from"):
            msg = f"Invalid request: {msg.split(': ')[1]}"
        super().warning(msg, *args, **kwargs)

    def atoms(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(*args, **kwargs)
        return {**atoms, "h": f"network-{pseudonym('network', str(atoms['h']))}"}
