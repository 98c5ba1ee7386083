"""
The health check of the proxies before the site. The doctor sends it a signed request with an invented X-Forwarded-For,
and `/healthz` reports what arrived.
"""

import json
import re
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.utils.translation import gettext as _

from core import client_ip
from core.checks import is_local
from core.env import netloc

from .registry import Finding, failed, ok, warning

HEADER = "X-Doorcode-Doctor"
INVENTED = "192.0.2.1"  # as a client would forge it (RFC 5737: an address of nobody)
MAX_AGE = 60  # seconds for which the doctor's signed request is answered
TIMEOUT = 5.0  # seconds


def check(url: str | None = None) -> Finding:
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


def _request(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("http or https")
    url = parts._replace(netloc=netloc("URL", url)).geturl()
    headers = {HEADER: signer().sign("seen"), "X-Forwarded-For": INVENTED, "Accept": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/healthz", headers=headers)  # noqa: S310 - http or https
    # No proxy of the shell leads to this machine.
    proxies = urllib.request.ProxyHandler({} if is_local(parts.hostname or "") else None)
    with urllib.request.build_opener(proxies).open(request, timeout=TIMEOUT) as answer:
        found = json.loads(answer.read(10_000))
    return found if isinstance(found, dict) else {}


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
    host = seen.get("host", "")  # of a site of an older release there is none
    if host and _name(f"//{host}") not in map(_name, (url, settings.SITE_URL)):
        text = _("requests to %(url)s arrive with the Host %(host)s: have the proxy hand on the visitor's")
        return failed(text % {"url": url, "host": host})
    is_sites_own = host and _name(f"//{host}") == _name(settings.SITE_URL)
    if is_sites_own and not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        return failed(_("The host of SITE_URL is not in ALLOWED_HOSTS: pages at that address answer 400"))
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


def _name(url: str) -> str:
    """Host and port of a URL; browsers, and some proxies, leave out the port that its scheme has."""
    return re.sub(r":(80|443)$", "", netloc("URL", url))
