"""Reading the environment: django-environ, with lengths of time, and errors that name the variable."""

import os
import re
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+) ?([smhd]?)")


class Env(environ.Env):  # type: ignore[misc]
    """
    Raises ImproperlyConfigured, with the variable's name, for what can't be read.

    An empty variable is as none, so that a compose file may pass on what nobody set. A value that begins with `$` is
    taken as it is: a random key may, and is no reference to another variable.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ENVIRON = {name: value.replace("$", r"\$") for name, value in os.environ.items() if value.strip()}
        self.escape_proxy = True

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} can't be read / 无法读取 {var}：{error}") from error

    def names(self, var: str) -> list[str]:
        """Return the entries of a list, trimmed, empty ones left out."""
        return [entry.strip() for entry in self.str(var, default="").split(",") if entry.strip()]

    def duration(self, var: str, default: str) -> int:
        """Return the seconds of "90", "90s", "15m", "24h" or "7d"."""
        text = self.str(var, default=default).strip()
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ImproperlyConfigured(
                f"{var} must be a time like 90s, 15m, 24h or 7d / {var} 的格式应如 90s、15m、24h、7d"
            )
        return int(match[1]) * _UNITS[match[2]]
