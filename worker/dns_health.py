"""
Health checks of the DNS of the senders' domains, by which receivers judge our mails; for the doctor alone. A record
that is missing or wrong has failed, and its text says what to publish. No answer is a warning.
"""

import base64
import ipaddress
import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from email_validator import SPECIAL_USE_DOMAIN_NAMES

from core import email_addresses, languages
from core.health.registry import Finding, State, failed, ok, skipped, warning

TOTAL = 6.0  # seconds for one check, less than registry.TIME_LIMIT
LOOKUP = 4.0  # seconds for one look-up: dnspython waits for 2 s, and then asks the next name server
MAX_LOOKUPS = 10  # RFC 7208 §4.6.4: with more, a receiver calls the whole record an error

# Domains that the public DNS does not have, nor any below them (RFC 2606, RFC 6761; `internal` by ICANN).
RESERVED = {*SPECIAL_USE_DOMAIN_NAMES, "example", "example.com", "example.net", "example.org", "internal"}

# The terms of an SPF record (RFC 7208 §4.6.1 and §5), without the values of ip4 and ip6.
_DIRECTIVE = re.compile(
    r"[+?~-]?(?:all|(?P<lookup>(?:include|exists):\S+|(?:a|mx)(?::[^\s/]+)?(?:/\d{1,2})?(?://\d{1,3})?"
    r"|ptr(?::\S+)?)|ip(?P<version>[46]):(?P<network>[0-9a-f.:]+(?:/\d{1,3})?))",
    re.IGNORECASE,
)
_MODIFIER = re.compile(r"[a-z][a-z0-9_.-]*=\S*", re.IGNORECASE)


class Unanswered(Exception):
    """DNS gave no answer about a name, so nothing is known of its records."""


class Lookups:
    """
    The look-ups of one check, which take TOTAL seconds together. They go to dnspython's default resolver, which has the
    name servers of the machine. Each raises Unanswered.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + TOTAL

    def records(self, name: str, kind: str) -> list[Any]:
        """The records of a kind; none if there are none, or no such name."""
        import dns.exception  # no other process than the doctor's needs them, and each would start later by 4 %
        import dns.resolver

        lifetime = max(0.0, min(LOOKUP, self._until - time.monotonic()))
        try:
            return list(dns.resolver.resolve(f"{name}.", kind, raise_on_no_answer=False, lifetime=lifetime))
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.DNSException as error:
            facts = {"name": name, "error": error}
            raise Unanswered(_("no answer from DNS about %(name)s: %(error)s") % facts) from error

    def texts(self, name: str) -> list[str]:
        """TXT records, without control characters; the strings of one belong together."""
        texts = [b"".join(record.strings).decode(errors="replace") for record in self.records(name, "TXT")]
        return ["".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text) for text in texts]

    def addresses(self, host: str) -> list[str]:
        return [record.address for kind in ("A", "AAAA") for record in self.records(host, kind)]


def _of_every_domain(judge: Callable[[str, Lookups], Finding]) -> Callable[[], Finding]:
    """Make a health check of a function that judges one sender's domain: it has the worst state of all domains."""

    @wraps(judge)
    def check() -> Finding:
        lookups, findings = Lookups(), {}
        senders = [languages.sender_address(code) for code, _name in settings.LANGUAGES]
        for domain in dict.fromkeys(sender.rpartition("@")[2].lower() for sender in senders):
            try:
                findings[domain] = _of_domain(domain, judge, lookups)
            except Unanswered as error:
                findings[domain] = warning(str(error))
        worst = max((found.state for found in findings.values()), key=list(State).index)
        return Finding(worst, "; ".join(f"{domain}: {found.text}" for domain, found in findings.items()))

    return check


def _of_domain(domain: str, judge: Callable[[str, Lookups], Finding], lookups: Lookups) -> Finding:
    if not _is_public(domain):
        return skipped(_("no domain in the public DNS"))
    found = judge(domain, lookups)
    top = domain.rpartition(".")[2]
    if found.state is State.FAILED and not lookups.records(top, "NS"):  # a closed network denies every name
        text = _("the DNS of this machine does not know .%(top)s, so it is not the public one")
        raise Unanswered(text % {"top": top})
    return found


def _is_public(domain: str) -> bool:
    """Whether the DNS of the internet can know a domain: it is no IP address, has a dot, and is not reserved."""
    names = email_addresses.with_parents(domain.lower())
    return len(names) > 1 and not names[-1].rstrip("]").isdigit() and RESERVED.isdisjoint(names)


@_of_every_domain
def spf(domain: str, lookups: Lookups) -> Finding:
    """Whether one SPF record of the domain of MAIL FROM says which servers may send for it."""
    found = [text for text in lookups.texts(domain) if text.lower().split(" ")[0] == "v=spf1"]
    facts = {"record": f'{domain}. TXT "v=spf1 include:spf.mail-provider.example ~all"'}
    if not found:
        text = _("no SPF record: publish %(record)s, with the terms that your mail server's operator names")
        return failed(text % facts)
    if len(found) > 1:
        return failed(_("several SPF records, so that none counts: publish one, such as %(record)s") % facts)
    terms = found[0].split()[1:]
    if unknown := [term for term in terms if not _is_term(term)]:
        facts["terms"] = " ".join(unknown)
        return failed(_("the SPF record is wrong at %(terms)s: publish one such as %(record)s") % facts)
    ends = [term.lower() for term in terms if re.fullmatch(r"[+?~-]?all|redirect=\S+", term, re.IGNORECASE)]
    if (number := sum(map(_looks_up, terms))) > MAX_LOOKUPS:
        text = _(
            "the SPF record takes %(number)d look-ups, and receivers stop at %(most)d: name networks by ip4: and ip6:, "
            "or publish one such as %(record)s"
        )
        return failed(text % {**facts, "number": number, "most": MAX_LOOKUPS})
    if not ends or ends[0] in ("all", "+all", "?all"):
        text = _("the SPF record lets anybody send: it should end in ~all or -all, as in %(record)s")
        return warning(text % facts)
    return ok(found[0])


def _is_term(term: str) -> bool:
    directive = _DIRECTIVE.fullmatch(term)
    if directive is None or not directive["network"]:
        return directive is not None or _MODIFIER.fullmatch(term) is not None
    try:
        return ipaddress.ip_network(directive["network"], strict=False).version == int(directive["version"])
    except ValueError:
        return False


def _looks_up(term: str) -> bool:
    """Whether a receiver has to look something up for a term of SPF."""
    directive = _DIRECTIVE.fullmatch(term)
    return directive["lookup"] is not None if directive else term.lower().startswith("redirect=")


def dkim() -> Finding:
    """Whether the key is published that DKIM_SELECTOR names."""
    if not settings.DKIM_SELECTOR:
        text = _("DKIM_SELECTOR is not set: your mail server's operator knows it; signed mails have it as s=")
        return skipped(text)
    return _dkim()


@_of_every_domain
def _dkim(domain: str, lookups: Lookups) -> Finding:
    name = f"{settings.DKIM_SELECTOR}._domainkey.{domain}"
    facts = {"name": name, "record": f'{name}. TXT "v=DKIM1; k=rsa; p=MIIBIjANBgkqh…"'}
    keys = [tags["p"] for tags in map(_tags, lookups.texts(name)) if "p" in tags]
    if not keys:
        text = _("no key at %(name)s: publish %(record)s, with the key by which your mail server signs")
        return failed(text % facts)
    if not all(keys):
        return failed(_("the key at %(name)s is revoked (p= is empty): publish %(record)s") % facts)
    try:
        [base64.b64decode("".join(key.split()), validate=True) for key in keys]
    except ValueError:
        return failed(_("the key at %(name)s is no base64: publish %(record)s, with the whole key") % facts)
    return ok(name)


@_of_every_domain
def dmarc(domain: str, lookups: Lookups) -> Finding:
    """
    Whether a DMARC record says what receivers do with forged mails. From and MAIL FROM are one address in all of our
    mails, so SPF is aligned, and so is DKIM with a key of that domain.
    """
    found, name = list[str](), ""
    for parent in email_addresses.with_parents(domain)[:-1]:  # the organisational domain is one of them
        name = f"_dmarc.{parent}"
        if found := [text for text in lookups.texts(name) if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]:
            break
    owner = name if found else f"_dmarc.{domain}"
    facts = {"name": owner, "record": f'{owner}. TXT "v=DMARC1; p=none; rua=mailto:postmaster@{domain}"'}
    if not found:
        return failed(_("no DMARC record: publish %(record)s") % facts)
    if len(found) > 1:
        return failed(_("several records at %(name)s, so that none counts: publish one, such as %(record)s") % facts)
    policy = _tags(found[0]).get("p", "").lower()
    if policy not in ("none", "quarantine", "reject"):
        text = _("the record at %(name)s has no p=none, p=quarantine or p=reject: publish %(record)s")
        return failed(text % facts)
    return ok(f"p={policy} ({name})")


def _tags(record: str) -> dict[str, str]:
    """The tags of a record of DKIM or DMARC: `v=DMARC1; p=none`."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): value.strip() for name, _equals, value in pairs}


@_of_every_domain
def mx(domain: str, lookups: Lookups) -> Finding:
    """Whether bounces and answers can come back to the senders' domains."""
    records = sorted(lookups.records(domain, "MX"), key=lambda record: record.preference)
    hosts = [host for record in records if (host := str(record.exchange).rstrip("."))]  # "." alone says that none does
    facts = {"record": f"{domain}. MX 10 mail.{domain}."}
    if not any(map(lookups.addresses, hosts if records else [domain])):
        text = _("no server takes mail for it, so bounces are lost, and some receivers refuse it: publish %(record)s")
        return failed(text % facts)
    if not records:
        return warning(_("no MX record, so bounces go to the address of the domain itself: publish %(record)s") % facts)
    return ok(", ".join(hosts))


def ptr() -> Finding:
    """Whether the public addresses of the mail server have names. It may send from another machine."""
    host = settings.MAIL_ROUTES[0].options.get("host")
    lookups = Lookups()
    if not host:
        return skipped(_("EMAIL_URL names a mail service"))
    if not _is_public(host):
        return skipped(_("%(host)s is no name in the public DNS") % {"host": host})
    try:
        addresses = [address for address in lookups.addresses(host) if ipaddress.ip_address(address).is_global]
        reverse = {address: ipaddress.ip_address(address).reverse_pointer for address in addresses}
        nameless = [address for address in addresses if not lookups.records(reverse[address], "PTR")]
    except Unanswered as error:
        return warning(str(error))
    if not addresses:
        return skipped(_("%(host)s has no public address in DNS") % {"host": host})
    if nameless:
        facts = {"addresses": ", ".join(nameless), "record": f"{reverse[nameless[0]]}. PTR {host}."}
        text = _("no PTR record for %(addresses)s: the owner of the address can publish %(record)s")
        return warning(text % facts)
    return ok(", ".join(addresses))
