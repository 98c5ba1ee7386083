"""
What the site saw of a request, told to the doctor alone: whether its proxies are as many as TRUSTED_PROXIES says can
only be seen by a request that came through them.
"""

import json
import urllib.request
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.utils.translation import gettext as _

from . import network
from .doctor import Finding, failed, ok, warning

HEADER = "X-Doorcode-Doctor"
INVENTED = "192.0.2.1"  # a client's lie about itself (RFC 5737: an address of nobody)
AGE = 60  # seconds for which the doctor's question is answered
PATIENCE = 5.0  # seconds


def seen(request: HttpRequest) -> dict[str, Any]:
    """What this request looks like from here; nothing for who doesn't hold SECRET_KEY."""
    try:
        _signer().unsign(request.headers.get(HEADER, ""), max_age=AGE)
    except signing.BadSignature:
        return {}
    entries = [entry.strip() for entry in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if entry.strip()]
    entries = [str(network.parse(entry) or entry) for entry in entries]  # some proxies add a port
    client = network.client_address(request, quiet=True)
    return {"seen": {"client": client, "forwarded": entries, "secure": request.is_secure()}}


def examine(url: str, *, asked: bool) -> Finding:
    """
    Send a request to the site at `url` with an invented X-Forwarded-For, and judge what arrived. `asked`: the operator
    named this URL, so that it must answer.
    """
    try:
        answer = _ask(url)
    except (OSError, ValueError) as error:
        text = _("%(url)s doesn't answer from here: %(error)s") % {"url": url, "error": error}
        return failed(text) if asked else warning(text + "; " + _("name another by --url"))
    if not isinstance(answer.get("seen"), dict):
        return warning(_("%(url)s doesn't say what it saw: its SECRET_KEY or version is another") % {"url": url})
    return judge(url, answer["seen"])


def judge(url: str, seen: dict[str, Any]) -> Finding:
    """Compare the proxies that a request came through with TRUSTED_PROXIES."""
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


def _ask(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("http or https")
    headers = {HEADER: _signer().sign("seen"), "X-Forwarded-For": INVENTED, "Accept": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/healthz", headers=headers)  # noqa: S310 - http or https
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310  # nosec B310
        found: dict[str, Any] = json.loads(answer.read(10_000))
        return found


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt="doorcode.doctor")
