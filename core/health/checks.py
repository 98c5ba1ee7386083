"""Health checks of the database, migrations, Redis, keys, catalogues, clocks and proxies; registry.py runs them."""

import json
import re
import urllib.request
from datetime import UTC, datetime
from gettext import GNUTranslations
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, to_locale
from redis.exceptions import RedisClusterException, ResponseError

from core import client_ip
from core.env import in_ascii, is_weak_key
from core.ratelimit import redis_client, shares_server

from .registry import Finding, failed, ok, skipped, warning

MAX_SKEW = 5.0  # seconds that clocks may differ: signed cookies and links, and tokens, follow this machine's

# The doctor's request to the site, for the check of the proxies.
HEADER = "X-Doorcode-Doctor"
INVENTED = "192.0.2.1"  # as a client would forge it (RFC 5737: an address of nobody)
MAX_AGE = 60  # seconds for which the doctor's signed request is answered
TIMEOUT = 5.0  # seconds


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
    """Whether Redis takes counts, and whether it may drop messages."""
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
    if policy != "noeviction" and shares_server(settings.CELERY_BROKER_URL):
        text = _("%(name)s drops messages when its memory is full (%(policy)s): set maxmemory-policy noeviction")
        return warning(text % {"name": name, "policy": policy})
    return ok(name)


def clock_of_database() -> Finding:
    """This machine's clock against the database's, which codes, leases and limits follow."""
    if connection.vendor == "sqlite":
        return skipped(_("SQLite has no clock of its own"))
    return _compare(ContentType.objects.aggregate(now=Max(Now()))["now"])


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


def proxies(url: str | None = None) -> Finding:
    """
    Whether as many proxies stand before the site as TRUSTED_PROXIES says, by what `/healthz` reports of a request with
    an invented X-Forwarded-For. A `url` that the operator named must answer; SITE_URL may be out of reach from here.
    """
    is_named = url is not None
    url = url or settings.SITE_URL
    try:
        answer = _request(url)
    except (OSError, ValueError, HTTPException, ImproperlyConfigured) as error:
        text = _("%(url)s doesn't answer from here: %(error)s") % {"url": url, "error": error}
        return failed(text) if is_named else warning(text + "; " + _("name another by --url"))
    if not isinstance(answer.get("seen"), dict):
        return warning(_("%(url)s doesn't say what it saw: its SECRET_KEY or version is different") % {"url": url})
    return judge(url, answer["seen"])


def judge(url: str, seen: dict[str, Any]) -> Finding:
    """Compare the number of proxies that a request came through with TRUSTED_PROXIES."""
    entries = seen["forwarded"]
    hops = len(entries) - (entries.index(INVENTED) + 1 if INVENTED in entries else 0)
    facts = {"hops": hops, "setting": settings.TRUSTED_PROXIES, "url": url, "client": seen["client"]}
    if seen["client"] == INVENTED or hops < settings.TRUSTED_PROXIES:
        text = _(
            "requests to %(url)s pass through %(hops)d, but TRUSTED_PROXIES is %(setting)d: "
            "visitors can choose their address"
        )
        return failed(text % facts)
    if hops > settings.TRUSTED_PROXIES:
        text = _(
            "requests to %(url)s pass through %(hops)d, but TRUSTED_PROXIES is %(setting)d: all visitors count as one"
        )
        return failed(text % facts)
    if url.lower().startswith("https:") and not seen["secure"]:
        return failed(_("%(url)s is https, and the proxy doesn't say so: have it set X-Forwarded-Proto") % facts)
    host = seen.get("host")  # of a site of an older release there is none
    if host and _name(f"//{host}") not in map(_name, (url, settings.SITE_URL)):
        text = _("requests to %(url)s arrive with the Host %(host)s: have the proxy hand on the visitor's")
        return failed(text % {"url": url, "host": host})
    return ok(_("%(hops)d, as TRUSTED_PROXIES says; this request came from %(client)s") % facts)


def seen_by_site(request: HttpRequest) -> dict[str, Any]:
    """Return what `/healthz` reports of the doctor's request; nothing unless SECRET_KEY signed it."""
    try:
        signer().unsign(request.headers.get(HEADER, ""), max_age=MAX_AGE)
    except signing.BadSignature:
        return {}
    entries = map(str.strip, request.META.get("HTTP_X_FORWARDED_FOR", "").split(","))
    forwarded = [str(client_ip.parse(entry) or entry) for entry in entries if entry]  # some proxies add a port
    client = client_ip.client_address(request, quiet=True)
    host = request.headers.get("Host", "")
    return {"seen": {"client": client, "forwarded": forwarded, "secure": request.is_secure(), "host": host}}


def signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt="doorcode.doctor")


def _netloc(url: str) -> str:
    """Host and port of a URL, in ASCII."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.netloc.lower().replace(host, in_ascii("URL", host))


def _name(url: str) -> str:
    """Host and port of a URL; browsers, and some proxies, leave out the port that its scheme has."""
    return re.sub(r":(80|443)$", "", _netloc(url))


def _request(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("http or https")
    url = parts._replace(netloc=_netloc(url)).geturl()
    headers = {HEADER: signer().sign("seen"), "X-Forwarded-For": INVENTED, "Accept": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/healthz", headers=headers)  # noqa: S310 - http or https
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310  # nosec B310
        found = json.loads(answer.read(10_000))
    return found if isinstance(found, dict) else {}
