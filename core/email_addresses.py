"""Canonical email addresses: the one key of an address."""

import unicodedata
from functools import cache

import idna
import regex
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from . import invisible, lengths

MAX_LENGTH = 254  # characters; RFC 5321 §4.5.3.1.3 less the angle brackets; email-validator refuses a longer one

# Characters that people copy together with an address, and that can neither begin nor end one. Of ASCII, and of its
# full-width forms, which NFKC folds to ASCII, only those that are listed; of other characters any punctuation.
_FOREIGN = r"[\p{P}--[\x00-\x7f\ufe30-\ufe6f\uff01-\uff5e]]"
_BEFORE = regex.compile(rf"""[{invisible.CHARACTERS}{_FOREIGN}\s,;:(\[<"＜，；：（]*+""", regex.V1)
_AFTER = regex.compile(rf"""[{invisible.CHARACTERS}{_FOREIGN}\s,;:)\]>".!?＞，；：）．！？]*+""", regex.V1)
_QUOTES = "'`*"  # at both ends; an address can begin with them
_NAMED = regex.compile(r"[^<>＜＞\p{Cc}]*[<＜]([^<>＜＞]*)")  # Name <address, after the end was taken off
_MAILTO = regex.compile(r"mailto:([^?]*)(?:\?.*)?", regex.IGNORECASE)

# Where example.com is its own, Postfix takes bob%example.org@example.com, and example.org!bob@example.com, to
# bob@example.org, and relays that for us. Some servers decode =?…?=, as in a header. Exim refuses % and ! by default.
# A server that forwards with SRS takes srs0=abcd=jt=example.org=bob@example.com there too: its hash holds in any case.
# Exchange writes another address as imceasmtp-bob+40example+2eorg@example.com and takes mail for it there (MS-OXCMAIL).
_ROUTE = regex.compile(r"[%!]|=\?|^srs[01][=+-]|^imcea[a-z]*-")

_LOOSE_DOTS = regex.compile(r"(?<=[^.])\.{2,}|(?<=[^.])\.$")
_STAND_IN = ".example.com"  # appended to a special-use domain, which email-validator would refuse

BAD_FORMAT = _("Enter an email address in the correct format, like name@example.com")


def canonical(address: str) -> str:
    """
    Return the canonical form of `address`: NFKC, lower-case, ASCII local part, domain in IDNA A-labels.

    Removes what was copied together with it: `Name <…>`, `mailto:`, quotes, brackets, punctuation and invisible
    characters around. It is idempotent, and mail goes to it: never keep or mail the address as it was typed. Raises
    ValidationError (code "invalid") for anything but a plain mailbox at a domain: quoted local parts, literal domains,
    zero-width characters inside, local parts outside ASCII, over 64 or 254 characters (RFC 5321).
    """
    if len(address) > lengths.ADDRESS:
        raise ValidationError(BAD_FORMAT, code="invalid")
    address = _bare(address)
    # Chinese keyboards type ＠ and ． and 。; NFKC folds all but the last.
    folded = unicodedata.normalize("NFKC", address).replace("。", ".")
    local, _at, domain = folded.rpartition("@")
    stand_in = _STAND_IN if settings.EMAIL_ALLOW_SPECIAL_DOMAINS and _is_special(domain) else ""
    try:
        parsed = validate_email(
            f"{_without_loose_dots(local)}@{domain}{stand_in}",
            check_deliverability=False,  # DNS in a request is slow, and shows a foreign resolver which domains sign up
            allow_smtputf8=False,
            strict=True,
            test_environment=True,  # allows example.test
        )
    except EmailNotValidError as error:
        raise ValidationError(BAD_FORMAT, code="invalid") from error
    return f"{local}@{parsed.ascii_domain.removesuffix(stand_in)}".lower()


def canonical_or_none(text: str) -> str | None:
    """Return the canonical form of an address; None for a text that is none, or that the settings do not allow."""
    try:
        return canonical(text)
    except ValidationError:
        return None


def _bare(typed: str) -> str:
    """The address in a text that was copied with it. It is not checked."""
    text = _strip(typed)
    if named := _NAMED.fullmatch(text):
        text = _strip(named[1])
    if linked := _MAILTO.fullmatch(text):
        text = _strip(linked[1])
    return text


def _strip(text: str) -> str:
    text = text[_BEFORE.match(text).end() :]
    text = text[: len(text) - _AFTER.match(text[::-1]).end()]
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in _QUOTES
    return _strip(text[1:-1]) if quoted else text


def _without_loose_dots(local: str) -> str:
    """The local part to check: if the site allows loose dots, another character stands for each of them."""
    return _LOOSE_DOTS.sub(lambda dots: "_" * len(dots[0]), local) if settings.EMAIL_ALLOW_LOOSE_DOTS else local


def _is_special(domain: str) -> bool:
    """Whether a domain is below one that is reserved for special uses (RFC 6761), as corp.local is."""
    return not set(SPECIAL_USE_DOMAIN_NAMES).isdisjoint(with_parents(domain.lower())[1:])


def shown(address: str) -> str:
    """Return a canonical `address` as people know it: `wang@例子.中国` for `wang@xn--fsqu00a.xn--fiqs8s`."""
    local, at, domain = address.rpartition("@")
    if "xn--" not in domain:
        return address
    try:
        return f"{local}{at}{idna.decode(domain)}"
    except idna.IDNAError:  # a domain that an operator entered
        return address


def mailbox(address: str) -> str:
    """
    Return the key of mail limits for a canonical `address`: one for all addresses that reach the same mailbox.

    A +tag is removed, and Gmail's dots. Never use it for identity: elsewhere the addresses may be two people's.
    """
    local, _, domain = address.rpartition("@")
    local = local.partition("+")[0] or local
    if domain in ("gmail.com", "googlemail.com"):
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def with_parents(domain: str) -> list[str]:
    """Return a domain and those above it: mail.example.com, example.com, com."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def check_allowed(address: str) -> None:
    """
    Raise ValidationError if the site's lists of domains exclude a canonical `address` (code "domain"), or if its local
    part may lead to another domain ("invalid").
    """
    local, _at, domain = address.rpartition("@")
    if _ROUTE.search(local):
        raise ValidationError(BAD_FORMAT, code="invalid")
    allowed, denied = settings.SIGNUP_ALLOWED_DOMAINS, settings.SIGNUP_DENIED_DOMAINS
    if _listed(domain, denied) or (allowed and not _listed(domain, allowed)):
        text = _("Email addresses at %(domain)s can't sign up here. Use another address")
        raise ValidationError(text, "domain", {"domain": shown(domain)})


def _listed(domain: str, entries: list[str]) -> bool:
    """Whether `domain` or a parent of it is in `entries` ("example.com" covers "mail.example.com")."""
    return not set(map(_a_label, entries)).isdisjoint(with_parents(domain))


def is_domain(entry: str) -> bool:
    """Whether an entry of the lists of domains can be read: "example.com", "*.example.com", "@example.com"."""
    try:
        _a_label(entry)
    except ValidationError:
        return False
    return True


@cache  # a list may have thousands, and each takes 0.2 ms
def _a_label(domain: str) -> str:
    """The A-label form of an entry, one label ("edu") included. Raises ValidationError."""
    return canonical(f"x@x.{domain.lstrip('@*.')}").rpartition("@x.")[2]
