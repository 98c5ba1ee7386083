"""The client's network address behind trusted proxies."""

import ipaddress
import logging
import re
from functools import cache
from ipaddress import IPv4Address, IPv6Address

from django.conf import settings
from django.http import HttpRequest

from .observability import redaction

logger = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address
LONGEST = 64  # characters of an address; a longer text is not parsed

# As IIS and Azure's gateways write their peer: 203.0.113.7:49152, [2001:db8::1]:443 or [2001:db8::1].
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::\d{1,5})?|([^:\[\]]+):\d{1,5}")


def client_address(request: HttpRequest, *, quiet: bool = False) -> str:
    """
    Return the address of the client as text. Each of TRUSTED_PROXIES proxies appends its peer to X-Forwarded-For, so
    with n of them the n-th entry from the right is the first that no client can write. A header that is too short or
    holds garbage there gives the socket's address, and, unless `quiet`, a warning.
    """
    socket = request.META.get("REMOTE_ADDR", "")
    hops = settings.TRUSTED_PROXIES
    if hops:
        entries = request.META.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", hops)
        forwarded = parse(entries[-hops]) if len(entries) >= hops else None
        if forwarded:
            return str(forwarded)
        if not quiet:
            _warn("TRUSTED_PROXIES is %d, but X-Forwarded-For has no such entry: is there one proxy less?", hops)
    elif "HTTP_X_FORWARDED_FOR" in request.META and not quiet:
        _warn("TRUSTED_PROXIES is %d, but a request has X-Forwarded-For: all clients behind that proxy are one", hops)
    return str(parse(socket) or socket)


@cache
def _warn(text: str, hops: int) -> None:
    """Log once in a process: settings and headers disagree, or a client invented the header."""
    logger.warning(text, hops)


def client_network(request: HttpRequest) -> str:
    """The network that limits count: the IPv4 address, or the /64 that one IPv6 subscriber owns."""
    address = parse(client_address(request))
    if isinstance(address, IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def pseudonym(request: HttpRequest) -> str:
    """The pseudonym of the client's network: it distinguishes networks, and rows contain no visitor's address."""
    return redaction.pseudonym("network", client_network(request))


def parse(text: str) -> Address | None:
    """The address in `text`, without brackets and port, IPv4-mapped IPv6 unwrapped; None for garbage."""
    text = text.strip()
    if len(text) > LONGEST:
        return None
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address(with_port[1] or with_port[2] if with_port else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
