"""What never gets into a log: the tokens of links, and the handles of sign-up requests."""

import logging
import re
from typing import Any

from gunicorn.glogging import Logger

_TOKENS = re.compile(r"(/(?:signup/(?:link|mute)|password-reset/[^/\s\"]+|api/captchas)/)[^/\s\"?]{6,}")


def scrub(text: str) -> str:
    """Return a text with the tokens of links in it taken out."""
    return _TOKENS.sub(r"\1…", text)


class ScrubTokens(logging.Filter):
    """Takes tokens out of whatever a logger says of a request's path."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:
            return True
        clean = scrub(message)
        if clean != message:
            record.msg, record.args = clean, None
        return True


class AccessLogger(Logger):  # type: ignore[misc]
    """gunicorn's own, with tokens taken out of the lines of its access log."""

    def atoms(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        atoms = super().atoms(*args, **kwargs)
        return {name: scrub(value) if isinstance(value, str) else value for name, value in atoms.items()}
