"""
Health check of the proxies in front of the site: only a request that came through them shows whether there are as many
as TRUSTED_PROXIES says. `/healthz` reports what it saw of a request, to the doctor alone.
"""

import json
import urllib.request
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.utils.translation import gettext as _

from core import client_ip

from .registry import Finding, failed, ok, warning

HEADER = "X-Doorcode-Doctor"
INVENTED = "192.0.2.1"  # as a client would forge it (RFC 5737: an address of nobody)
MAX_AGE = 60  # seconds for which the doctor's signed request is answered
TIMEOUT = 5.0  # seconds


def seen(request: HttpRequest) -> dict[str, Any]:
    """What the site saw of this request; empty unless SECRET_KEY signed it."""
    try:
        _signer().unsign(request.headers.get(HEADER, ""), max_age=MAX_AGE)
    except signing.BadSignature:
        return {}
    entries = [entry.strip() for entry in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if entry.strip()]
    entries = [str(client_ip.parse(entry) or entry) for entry in entries]  # some proxies add a port
    client = client_ip.client_address(request, quiet=True)
    return {"seen": {"client": client, "forwarded": entries, "secure": request.is_secure()}}


def check(url: str | None = None) -> Finding:
    """
    Send a request with an invented X-Forwarded-For to the site, and judge what arrived. A `url` that the operator named
    must answer; SITE_URL may be out of reach from this machine.
    """
    named, url = url is not None, url or settings.SITE_URL
    try:
        answer = _request(url)
    except (OSError, ValueError) as error:
        text = _("%(url)s doesn't answer from here: %(error)s") % {"url": url, "error": error}
        return failed(text) if named else warning(text + "; " + _("name another by --url"))
    if not isinstance(answer.get("seen"), dict):
        return warning(_("%(url)s doesn't say what it saw: its SECRET_KEY or version is another") % {"url": url})
    return judge(url, answer["seen"])


def judge(url: str, seen: dict[str, Any]) -> Finding:
    """Compare the number of proxies that a request came through with TRUSTED_PROXIES."""
    entries = seen["forwarded"]
    hops = len(entries) - (entries.index(INVENTED) + 1 if INVENTED in entries else 0)
    facts = {"hops": hops, "setting": settings.TRUSTED_PROXIES, "url": url, "client": seen["client"]}
    if seen["client"] == INVENTED or hops < settings.TRUSTED_PROXIES:
        text = _("%(hops)d on the way to %(url)s, TRUSTED_PROXIES is %(setting)d: visitors can choose their address")
        return failed(text % facts)
    if hops > settings.TRUSTED_PROXIES:
        text = _("%(hops)d on the way to %(url)s, TRUSTED_PROXIES is %(setting)d: all visitors count as one")
        return failed(text % facts)
    if url.startswith("https:") and not seen["secure"]:
        return failed(_("%(url)s is https, and the proxy doesn't say so: have it set X-Forwarded-Proto") % facts)
    return ok(_("%(hops)d, as TRUSTED_PROXIES says; this request came from %(client)s") % facts)


def _request(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("http or https")
    headers = {HEADER: _signer().sign("seen"), "X-Forwarded-For": INVENTED, "Accept": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/healthz", headers=headers)  # noqa: S310 - http or https
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310  # nosec B310
        found: dict[str, Any] = json.loads(answer.read(10_000))
        return found


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt="doorcode.doctor")
