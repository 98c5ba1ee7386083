"""Reading the environment: django-environ, with times, rates and tiers, and errors that name the variable."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+) ?([smhd]?)")
_RATE = re.compile(r"([1-9]\d*)/(\d*[smhd])")
_TIER = re.compile(r"(\d+):(link|\d+)")
_POOL_OPTION = re.compile(r"pool_(min_size|max_size|timeout|max_waiting|max_lifetime|max_idle|reconnect_timeout)")
KEY_LENGTH = 32  # characters: 128 bits in hex
KEY_CHARACTERS = 5  # different ones, as Django's security.W009 asks
KNOWN_KEYS = ("doorcode-development-key", "replace-me", "django-insecure-")  # how keys that anybody can read begin
SECRETS = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "EMAIL_URL",
    "METRICS_TOKEN",
    "SENTRY_DSN",
)


class Env(environ.Env):  # type: ignore[misc]
    """
    Raises ImproperlyConfigured, with the variable's name, for what can't be read.

    An empty variable is as none, so that a compose file may pass on what nobody set; only for limits it means "off".
    A value that begins with `$` is taken as it is: a random key may, and is no reference to another variable. Each of
    SECRETS may come in a file instead, whose path `<name>_FILE` holds.
    """

    def __init__(self) -> None:
        super().__init__()
        given = {**os.environ, **_from_files()}
        self.ENVIRON = {name: value.replace("$", r"\$") for name, value in given.items() if value.strip()}
        self.escape_proxy = True

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} can't be read / 无法读取 {var}：{error}") from error

    def database(self, var: str, default: str) -> dict[str, Any]:
        """
        Return Django's settings for the database of a URL. For PostgreSQL, `OPTIONS["pool"]` has what the query sets of
        psycopg's pool, such as `pool_max_size=10`.
        """
        database: dict[str, Any] = self.db_url(var, default=default)
        given = database.get("OPTIONS", {})
        is_sqlite = database["ENGINE"] == "django.db.backends.sqlite3"
        return {**database, "OPTIONS": given if is_sqlite else _postgresql_options(var, given)}

    def names(self, var: str) -> list[str]:
        """Return the entries of a list, trimmed, empty ones left out."""
        return [entry.strip() for entry in self.str(var, default="").split(",") if entry.strip()]

    def keys(self, var: str) -> list[str]:
        """Return the entries of a list of keys. One that has a comma in it needs a JSON list: `["a,b", "c"]`."""
        text = self.str(var, default="").strip()
        if not text.startswith("["):
            return self.names(var)
        try:
            found: list[Any] = json.loads(text)
        except ValueError:
            found = [None]
        strings = all(isinstance(each, str) for each in found)
        return found if strings else _refuse(var, 'a list like ["first key", "second key"]', '["密钥一", "密钥二"]')

    def duration(self, var: str, default: str) -> int:
        """Return the seconds of "90", "90s", "15m", "24h" or "7d"."""
        seconds = _seconds(self.str(var, default=default).strip())
        return _refuse(var, "a time like 90s, 15m, 24h or 7d", "90s、15m、24h、7d") if seconds is None else seconds

    def rates(self, var: str, default: str) -> list[tuple[int, int]]:
        """Return the (count, seconds) of "30/m,200/h"; none, which is no limit, for an empty variable."""
        return self._limits(var, default, _rate, "rates like 30/m,200/h", "30/m,200/h")

    def tiers(self, var: str, default: str) -> list[tuple[int, int | None]]:
        """Return the (guesses, digits) of "9:8,100:link", digits None for "link"; none for an empty variable."""
        return self._limits(var, default, _tier, "tiers like 9:8,100:link", "9:8,100:link")

    def _limits(self, var: str, default: str, parse: Callable[[str], T | None], looks: str, looks_zh: str) -> list[T]:
        entries = [entry.strip() for entry in os.environ.get(var, default).split(",") if entry.strip()]
        found = [parsed for parsed in map(parse, entries) if parsed is not None]
        return found if len(found) == len(entries) else _refuse(var, looks, looks_zh)


def is_weak_key(key: str) -> bool:
    """Whether a key can be guessed: it is short, has few different characters, or stands in some documentation."""
    return len(key) < KEY_LENGTH or len(set(key)) < KEY_CHARACTERS or key.startswith(KNOWN_KEYS)


def _seconds(text: str) -> int | None:
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def _rate(text: str) -> tuple[int, int] | None:
    match = _RATE.fullmatch(text)
    seconds = _seconds(match[2] if match[2][0].isdigit() else f"1{match[2]}") if match else 0
    return (int(match[1]), seconds) if match and seconds else None


def _tier(text: str) -> tuple[int, int | None] | None:
    match = _TIER.fullmatch(text)
    if match is None or not (match[2] == "link" or 4 <= int(match[2]) <= 10):
        return None
    return int(match[1]), None if match[2] == "link" else int(match[2])


def _postgresql_options(var: str, given: dict[str, Any]) -> dict[str, Any]:
    options = dict(given)
    # Under READ COMMITTED an update waits for a row that another transaction is changing, and then looks at it again.
    # Under any stricter level PostgreSQL raises an error instead, which the visitor would see.
    level = str(options.pop("isolation_level", "read committed"))
    if level.lower().replace("_", " ") != "read committed":
        raise ImproperlyConfigured(
            f"{var} asks for isolation_level={level}; Doorcode runs under read committed only: remove it from {var}."
            f" / {var} 要求 isolation_level={level}，而 Doorcode 只能在 read committed 下运行：请将其从 {var} 中去掉。"
        )
    pool = {}
    for name in [name for name in options if name == "pool" or name.startswith("pool_")]:
        value = options.pop(name)
        match = _POOL_OPTION.fullmatch(name)
        if match is None or not isinstance(value, int):
            _refuse(f"{name} in {var}", "an option of psycopg's pool like pool_max_size=10", "pool_max_size=10")
        pool[match[1]] = value
    return {**options, "pool": pool}


def _refuse(var: str, looks: str, looks_zh: str) -> NoReturn:
    raise ImproperlyConfigured(f"{var} must be {looks} / {var} 的格式应如 {looks_zh}")


def _from_files() -> dict[str, str]:
    """What orchestrators mount as files: the values of SECRETS, without the line end that editors add."""
    found = {}
    for name in SECRETS:
        path = os.environ.get(f"{name}_FILE", "").strip()
        if path:
            try:
                found[name] = Path(path).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ImproperlyConfigured(f"{name}_FILE can't be read / 无法读取 {name}_FILE：{error}") from error
    return found
