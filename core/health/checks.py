"""Health checks of the database, migrations, Redis, keys, catalogues and clocks; registry.py runs them."""

from datetime import UTC, datetime
from gettext import GNUTranslations
from pathlib import Path

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, to_locale
from redis.exceptions import RedisClusterException, ResponseError

from core.env import is_weak_key
from core.ratelimit import redis_client

from .registry import Finding, failed, ok, skipped, warning

MAX_SKEW = 5.0  # seconds that clocks may differ: signed cookies and links, and tokens, follow this machine's


def database() -> Finding:
    """Whether the database answers and takes changes; its product and version."""
    connection.ensure_connection()
    if not connection.is_usable():
        raise OperationalError("the connection is broken")
    name = f"{connection.display_name} {'.'.join(map(str, connection.get_database_version()))}"
    if connection.vendor != "postgresql":
        return ok(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('transaction_read_only'), current_setting('server_encoding'),"
            " current_setting('transaction_isolation'), current_setting('statement_timeout')"
        )
        read_only, encoding, isolation, timeout = cursor.fetchone()
    if read_only == "on":
        return failed(_("%(name)s is read-only: it is a replica, or its disk is full") % {"name": name})
    if encoding != "UTF8":  # it refuses names, or counts their bytes
        text = _(
            "%(name)s keeps text as %(encoding)s, which can't hold all names: make a database with ENCODING 'UTF8'"
        )
        return warning(text % {"name": name, "encoding": encoding})
    if isolation != "read committed" or timeout == "0":  # PgBouncer leaves out what core/settings.py sends
        text = _("%(name)s: transactions are %(isolation)s, statement_timeout is %(timeout)s: run pgbouncer/role.sql")
        return warning(text % {"name": name, "isolation": isolation, "timeout": timeout})
    return ok(name)


def migrations() -> Finding:
    """Whether the tables match this code, and the accounts may be changed."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        text = ngettext(
            "%(n)d migration is not applied: run manage.py migrate",
            "%(n)d migrations are not applied: run manage.py migrate",
            len(missing),
        )
        return failed(text % {"n": len(missing)})
    # This changes nobody. It fails for a role that may only read, and a file that can't be written; while the table is
    # locked it waits, as sign-ups do.
    get_user_model().objects.filter(pk__lt=0).update(language="")
    unknown = set(executor.loader.applied_migrations) - set(executor.loader.disk_migrations)
    if unknown:
        names = ", ".join(sorted(".".join(each) for each in unknown))
        return warning(_("The database is newer than this code: %(names)s") % {"names": names})
    return ok(_("all applied"))


def redis_server() -> Finding:
    """Whether Redis takes counts, and whether it may drop them."""
    client = redis_client()
    if client is None:
        return skipped(_("REDIS_URL is memory: counts are this process's own"))
    client.set("limit:health", 1, ex=1)  # one that is full, or a replica, answers, and every limit is open
    try:
        info = client.info()
    except ResponseError:  # it answers; an ACL, or a renamed command, may allow no more than the limits need
        return ok("Redis")
    if info.get("redis_mode") == "cluster":  # it takes the counters of its own slots, and all other limits are open
        raise RedisClusterException("a Redis Cluster can't be used")
    policy = info.get("maxmemory_policy", "noeviction")
    name = f"Redis {info.get('redis_version', '')}".strip()
    if policy != "noeviction":  # limits would be open, and no log or metric would say so
        text = _(
            "%(name)s drops counts and messages when its memory is full (%(policy)s): set maxmemory-policy noeviction"
        )
        return warning(text % {"name": name, "policy": policy})
    return ok(name)


def clock_of_database() -> Finding:
    """This machine's clock against the database's, which codes, leases and limits follow."""
    if connection.vendor == "sqlite":
        return skipped(_("SQLite has no clock of its own"))
    return _compare(ContentType.objects.values_list(Now(), flat=True)[0])  # any row will do


def clock_of_redis() -> Finding:
    """This machine's clock against that of Redis, where counters expire."""
    client = redis_client()
    if client is None:
        return skipped(_("REDIS_URL is memory: counts are this process's own"))
    seconds, micros = client.time()
    return _compare(datetime.fromtimestamp(seconds + micros / 1e6, UTC))


def _compare(theirs: datetime) -> Finding:
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    text = _("%(seconds)s s apart") % {"seconds": f"{skew:.1f}"}
    return ok(text) if skew <= MAX_SKEW else failed(text + "; " + _("set both machines' clocks by NTP"))


def keys() -> Finding:
    """Whether codes, links and sessions can be forged, and whether a rotation is unfinished."""
    former = settings.SECRET_KEY_FALLBACKS
    given = [("SECRET_KEY", settings.SECRET_KEY), *(("SECRET_KEY_FALLBACKS", key) for key in former)]
    weak = [name for name, key in given if is_weak_key(key)]
    if weak:
        text = _("%(names)s can be guessed: set a long random value") % {"names": ", ".join(weak)}
        return warning(text) if settings.DEBUG else failed(text)
    if former:
        text = ngettext(
            "%(n)d former key still opens: take it out a day after the rotation",
            "%(n)d former keys still open: take them out a day after the rotation",
            len(former),
        )
        return warning(text % {"n": len(former)})
    return ok(_("one key, long and random"))


def catalogues() -> Finding:
    """
    Whether every language that is offered has compiled catalogues that can be read, a site's own among them, and is
    more than a draft.
    """
    codes = [code for code, _name in settings.LANGUAGES]
    sources = {path for root in settings.LOCALE_PATHS for path in Path(root).glob("*/LC_MESSAGES/django.*o")}
    compiled = {path.parts[-3] for path in sources if path.suffix == ".mo"}
    if missing := [code for code in codes if to_locale(code) not in compiled]:
        return failed(_("No compiled catalogue for %(names)s: run make messages") % {"names": ", ".join(missing)})
    for path in sorted({path.with_suffix(".mo") for path in sources}):
        try:
            with path.open("rb") as file:
                GNUTranslations(file)
        except Exception as error:  # of many kinds, as nothing checks the file's form
            text = _("%(path)s can't be read: %(error)s")
            return failed(text % {"path": path, "error": f"{type(error).__name__}: {error}"})
    if drafts := [code for code in codes if LANG_INFO[code].get("draft")]:
        text = _("%(names)s: a draft; what it lacks is shown in another language")
        return warning(text % {"names": ", ".join(drafts)})
    return ok(", ".join(codes))
