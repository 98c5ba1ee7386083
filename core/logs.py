"""
One line an event: JSON for programs, text for people. Each has the id of its request, in the web and in the worker.

What never gets into a line: the tokens of links, the handles of sign-up requests, and addresses, for which a keyed hash
stands.
"""

import logging
import re
import socket
from collections.abc import Mapping
from typing import Any

import structlog
from django.conf import settings
from gunicorn.glogging import Logger
from structlog.typing import EventDict, Processor, WrappedLogger

from .environment import Env
from .fingerprints import fingerprint, of_address

_TOKENS = re.compile(r"(/(?:signup/(?:link|mute)|password-reset/[^/\s\"]+|api/captchas)/)[^/\s\"?]{6,}")
_CHAR = r"[^\s@<>\"'(),:;\\\[\]{}=/]"
# The user and password of a URL; an address. It begins where a word does, so that a long word is read but once.
_ADDRESS = re.compile(rf"(?P<url>://)[^\s@/\"]*@|(?<!{_CHAR}){_CHAR}+@(?P<domain>{_CHAR}+\.[\w-]*[^\W_])")
_HOST = socket.gethostname()


def scrub(text: str) -> str:
    """Return a text without the tokens of links and the passwords of URLs; a keyed hash stands for an address."""
    if "/" not in text and "@" not in text:
        return text  # most are plain words
    return _ADDRESS.sub(_hashed, _TOKENS.sub(r"\1…", text))


def _hashed(match: re.Match[str]) -> str:
    if match["url"]:
        return "://…@"
    if match["domain"] == _HOST:
        return match[0]  # a Celery worker's name
    return of_address(match[0]) if settings.configured else "…"  # gunicorn's master has no settings


def scrub_all(value: Any) -> Any:
    """The same for every text within a value; what is neither text nor number is told in words."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(key): scrub_all(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub_all(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else scrub(str(value))


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
    """Have structlog's lines end in the handlers of LOGGING."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's own, in our format; where its access log is switched on, the visitor's address in it is a hash."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        env = Env()  # the master process has no settings
        style = env.str("LOG_FORMAT", default="text" if env.bool("DEBUG", default=False) else "json")
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter(style))

    def atoms(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(*args, **kwargs)
        return {**atoms, "h": f"network-{fingerprint('network', str(atoms['h']))}"}
