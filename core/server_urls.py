"""
What DATABASE_URL, REDIS_URL and CELERY_BROKER_URL may hold. An error has the name of the variable alone, as the URL may
have a password in it.
"""

import re
import ssl
import warnings
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection as BrokerConnection
from kombu.transport import TRANSPORT_ALIASES
from redis import ConnectionPool, RedisError

REDIS_OBJECTS = {"retry", "retry_on_error", "event_dispatcher"}  # options of redis-py that no URL can give
# Too few slashes before the name of a file: django-environ takes its beginning for a host, and leaves it out.
_CUT_SQLITE = re.compile(r"sqlite:(?!//(/|:memory:|\?|$))", re.IGNORECASE)
_POOL_OPTION = re.compile(r"pool_(min_size|max_size|timeout|max_waiting|max_lifetime|max_idle|reconnect_timeout)")


def refusal(var: str, kind: str, *examples: str) -> ImproperlyConfigured:
    """Return the error of a variable that can't be read; it names examples, and no value."""
    return ImproperlyConfigured(
        f"{var} must be {kind} like {' or '.join(examples)} / {var} 的格式应如 {'、'.join(examples)}"
    )


def split(url: str) -> SplitResult | None:
    """
    Return the parts of a URL; None for one whose port or IPv6 address can't be read, whose host has a space, or whose
    password has a `/`, `?` or `#` that is not percent-encoded: what is before it would be taken for the server.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is no number
        if " " in parts.netloc.rpartition("@")[2] or (parts.netloc and "@" in url.partition(parts.netloc)[2]):
            return None
    except ValueError:
        return None
    return parts


def redis(var: str, url: str) -> str:
    """Return the URL of a Redis, or one that begins with "memory:"."""
    if url.startswith("memory:"):
        return url
    error = refusal(var, "a URL", "redis://default:password@host:6379/0")
    try:
        ConnectionPool.from_url(url).make_connection()  # unconnected; it raises for options that redis-py lacks
    except (ValueError, TypeError, AttributeError, RedisError):  # its text may have a password in it
        raise error from None
    # from_url takes a database that is no number for the first one, and a text where redis-py needs an object.
    parts = split(url)
    if parts is None or not (parts.scheme == "unix" or re.fullmatch(r"/?\d*", parts.path)):
        raise error
    if not REDIS_OBJECTS.isdisjoint(dict(parse_qsl(parts.query, keep_blank_values=True))):
        raise error
    return url


def database(var: str, url: str, *, sqlite: dict[str, Any], postgresql: dict[str, Any]) -> dict[str, Any]:
    """
    Django's settings for a database. The URL's query adds to the OPTIONS of its engine, `pool_*` to the pool, and
    `options` to PostgreSQL's own settings.
    """
    error = refusal(var, "a database", "postgres://user:password@host:5432/name", "sqlite:////path/file.sqlite3")
    if _CUT_SQLITE.match(url):
        raise error
    try:
        with warnings.catch_warnings(action="ignore"):  # of a URL that it does not know, with the password in it
            found: dict[str, Any] = environ.Env.db_url_config(url)
        path = urlsplit(url).path
    except ValueError:  # its text may have a password in it
        raise error from None
    options = found.get("OPTIONS", {})
    if found.get("ENGINE") == "django.db.backends.sqlite3":
        return {**found, "OPTIONS": sqlite | options}
    name = found.get("NAME") or "service" in options
    is_cut = "@" in path or ("@" in url and not found.get("USER"))  # a password has a / or ? as it is
    if found.get("ENGINE") != "django.db.backends.postgresql" or not name or is_cut or " " in found["HOST"]:
        raise error
    host = unquote(found["HOST"])  # of a Unix socket, as libpq has it: %2Frun%2Fpostgresql
    return {**found, "HOST": host, "OPTIONS": _postgresql_options(var, options, postgresql)}


def _postgresql_options(var: str, given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the OPTIONS of Django's backend for PostgreSQL. Raises ImproperlyConfigured."""
    # Under READ COMMITTED an update waits for a row that another transaction is changing, and then looks at it again.
    # Under a stricter level PostgreSQL raises an error instead, which the visitor would see.
    level = str(given.pop("isolation_level", "read committed"))
    if level.lower().replace("_", " ") != "read committed":
        raise ImproperlyConfigured(
            f"{var} asks for isolation_level={level}; Doorcode runs under read committed only: remove it from {var}. / "
            f"{var} 要求 isolation_level={level}，而 Doorcode 只能在 read committed 下运行：请将其从 {var} 中去掉。"
        )
    pool = defaults["pool"] | _take_pool_options(var, given)
    if pool["max_size"] < max(1, pool["min_size"]):
        raise refusal(f"pool_max_size in {var}", "at least 1 and pool_min_size,", "pool_max_size=10")
    from .postgres import OPTIONS, Connection  # only now: SQLite needs no psycopg

    if unknown := sorted(given.keys() - OPTIONS):
        raise refusal(f"{unknown[0]} in {var}", "an option of libpq", "sslmode=verify-full")
    own_options = str(given.get("options", ""))
    if "statement_timeout" not in own_options:  # else an answer may take longer
        pool["connection_class"] = Connection
    # The last value of each counts. PgBouncer 1.20 and newer refuse a space at the end.
    options = f"{defaults['options']} {own_options}".rstrip()
    return {**defaults, **given, "options": options, "pool": pool}


def _take_pool_options(var: str, options: dict[str, Any]) -> dict[str, int]:
    """Take what is about psycopg's pool out of a URL's options. Raises ImproperlyConfigured."""
    pool: dict[str, int] = {}
    for name in [name for name in options if name == "pool" or name.startswith("pool_")]:
        value, match = options.pop(name), _POOL_OPTION.fullmatch(name)
        if match is None or not isinstance(value, int):
            raise refusal(f"{name} in {var}", "an option of psycopg's pool", "pool_max_size=10")
        pool[match[1]] = value
    return pool


def broker(var: str, url: str) -> tuple[str, dict[str, Any] | bool, dict[str, Any]]:
    """
    Return the broker's URL for Celery, its TLS options (False for none), and options of the transport. The server
    must prove its name; Celery's default for rediss:// is to trust any. That URL's own options are read by Celery.
    """
    error = refusal(var, "a URL", "redis://default:password@host:6379/0", "amqp://user:password@host")
    transport = url.partition("://")[0].partition("+")[0]  # redis+socket:///path is one of Redis
    if transport not in TRANSPORT_ALIASES or not all(map(split, url.split(";"))):
        raise error
    try:
        # It connects to nothing, and refuses options that kombu lacks. REDIS_URL may have some: redis-py has more.
        # A transport whose library is not installed has either of the first two errors.
        BrokerConnection(url.partition("?")[0] if url.startswith(("amqps", "sentinel")) else url)
    except (ImportError, NameError, TypeError, ValueError, KeyError):
        raise error from None
    if url.startswith("rediss"):
        return url, {"ssl_cert_reqs": ssl.CERT_REQUIRED}, {}
    server, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    if url.startswith("amqps"):
        authority = {"ca_certs": options["ssl_ca_certs"]} if "ssl_ca_certs" in options else {}
        # The name to look for in the certificate: None stands for that of the URL.
        return server, {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **authority}, {}
    if url.startswith("sentinel"):  # sentinel://one:26379;sentinel://two:26379?master_name=…
        return server, *_sentinel(options)
    return url, False, {}


def _sentinel(options: dict[str, str]) -> tuple[dict[str, Any] | bool, dict[str, Any]]:
    """
    Return the TLS options of sentinel:// for Celery, and those of its transport. The URL's user and password are those
    of the Redis that the sentinels name.
    """
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    login = {name: options[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in options}
    tls = {"ssl_cert_reqs": "required", **tls} if tls else {}
    # A Sentinel that doesn't answer is skipped at once: redis-py would try it four times, up to seconds apart.
    once = {"retry": None, "socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    master = {"master_name": options.get("master_name", "mymaster")}
    return tls or False, {**master, "sentinel_kwargs": {**once, **login, "ssl": bool(tls), **tls}}
