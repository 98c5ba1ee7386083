"""Health checks of the database, migrations, Redis, keys, catalogues and clocks."""

import struct
from datetime import UTC, datetime
from pathlib import Path

import redis
from django.conf import settings
from django.core.cache import cache
from django.core.checks.security.base import SECRET_KEY_MIN_LENGTH
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, to_locale

from core.env import is_weak_key

from .registry import Finding, failed, ok, skipped, warning

REDIS_TIMEOUT = 2.0  # seconds
MAX_SKEW = 5.0  # seconds that clocks may differ: leases follow the database's clock, codes this machine's


def database() -> Finding:
    """Whether it answers; product and version."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    version = ".".join(map(str, connection.get_database_version()))
    return ok(f"{connection.display_name} {version}")


def migrations() -> Finding:
    """Whether the tables match this code."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        text = ngettext(
            "%(n)d migration is not applied: run manage.py migrate",
            "%(n)d migrations are not applied: run manage.py migrate",
            len(missing),
        )
        return failed(text % {"n": len(missing)})
    unknown = set(executor.loader.applied_migrations) - set(executor.loader.disk_migrations)
    if unknown:
        names = ", ".join(sorted(".".join(each) for each in unknown))
        return warning(_("The database is newer than this code: %(names)s") % {"names": names})
    return ok(_("all applied"))


def redis_server() -> Finding:
    """Whether it answers, and whether it may drop messages."""
    cache.get("health")  # by the connections of the limits, which have a short time limit
    client = _redis_client()
    if client is None:
        return skipped(_("REDIS_URL is memory: counts are this process's own"))
    with client:
        try:
            info = client.info()
        except redis.exceptions.NoPermissionError:  # an ACL may allow no more than the limits need
            return ok("Redis")
    policy = info.get("maxmemory_policy", "noeviction")
    name = f"Redis {info.get('redis_version', '')}".strip()
    if policy != "noeviction" and settings.CELERY_BROKER_URL == settings.REDIS_URL:
        text = _("%(name)s drops messages when its memory is full (%(policy)s): set maxmemory-policy noeviction")
        return warning(text % {"name": name, "policy": policy})
    return ok(name)


def clock_of_database() -> Finding:
    """This machine's clock against the database's, which leases follow."""
    if connection.vendor == "sqlite":
        return skipped(_("SQLite has no clock of its own"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return _compare(cursor.fetchone()[0])


def clock_of_redis() -> Finding:
    """This machine's clock against that of Redis, where counters expire."""
    client = _redis_client()
    if client is None:
        return skipped(_("REDIS_URL is memory: counts are this process's own"))
    with client:
        seconds, micros = client.time()
    return _compare(datetime.fromtimestamp(seconds + micros / 1e6, UTC))


def keys() -> Finding:
    """Whether codes, links and sessions can be forged, and whether a rotation is unfinished."""
    weak = [name for name, key in _keys() if _is_weak(key)]
    if weak:
        names = ", ".join(weak)
        return (warning if settings.DEBUG else failed)(
            _("%(names)s can be guessed: set a long random value") % {"names": names}
        )
    former = len(settings.SECRET_KEY_FALLBACKS)
    if former:
        text = ngettext(
            "%(n)d former key still opens: take it out a day after the rotation",
            "%(n)d former keys still open: take them out a day after the rotation",
            former,
        )
        return warning(text % {"n": former})
    return ok(_("one key, long and random"))


def catalogues() -> Finding:
    """Whether every language translates every text."""
    folder = Path(settings.LOCALE_PATHS[0])
    found = {code: _texts(folder / to_locale(code) / "LC_MESSAGES" / "django.mo") for code, _name in settings.LANGUAGES}
    every = set().union(*found.values())
    lacking = {code: len(every - texts) for code, texts in found.items() if every - texts}
    if lacking:
        names = ", ".join(f"{code} ({number})" for code, number in lacking.items())
        return failed(_("Texts are missing in %(names)s: run make messages, then translate") % {"names": names})
    return ok(", ".join(found))


def _redis_client() -> redis.Redis | None:
    if settings.REDIS_URL.startswith("memory:"):
        return None
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)


def _compare(theirs: datetime) -> Finding:
    skew = (datetime.now(UTC) - theirs).total_seconds()
    text = _("%(seconds)s s apart") % {"seconds": f"{abs(skew):.1f}"}
    return ok(text) if abs(skew) <= MAX_SKEW else failed(text + "; " + _("set both machines' clocks by NTP"))


def _keys() -> list[tuple[str, str]]:
    return [("SECRET_KEY", settings.SECRET_KEY), *(("SECRET_KEY_FALLBACKS", k) for k in settings.SECRET_KEY_FALLBACKS)]


def _is_weak(key: str) -> bool:
    return is_weak_key(key) or len(key) < SECRET_KEY_MIN_LENGTH


def _texts(path: Path) -> set[bytes]:
    """The texts that a compiled catalogue translates: the GNU gettext manual, "The Format of GNU MO Files"."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    number, originals, translations = struct.unpack_from("<III", data, 8)

    def strings(table: int) -> list[bytes]:
        entries = struct.iter_unpack("<II", data[table : table + 8 * number])
        return [data[begin : begin + length] for length, begin in entries]

    pairs = zip(strings(originals), strings(translations), strict=True)
    return {original for original, translation in pairs if translation.strip(b"\0")}
