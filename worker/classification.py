"""The meaning of a mail server's answer, and the cause of a refusal: the mailbox, this site, or the mail service."""

import re
import smtplib
import tomllib
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from core import invisible


class Outcome(Enum):
    """The result of a try to send a mail."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # not now: 4xx, 5xx about our rate, a time-out, a hang-up before the final dot
    REFUSED = "refused"  # this mail never: 5xx about the recipient or the content, and not about our rate
    UNAVAILABLE = "unavailable"  # the service's own fault: connecting, TLS, signing in, our sender address
    THROTTLED = "throttled"  # not now, nor any other mail: the server takes no more of them for a while
    BUSY = "busy"  # not tried: no connection was free, and the mail server takes no more of them
    DROPPED = "dropped"  # there is nothing to send
    UNKNOWN = "unknown"  # silence after the final dot: it may have been accepted


LONGEST_REPLY = 1_000  # characters of a reply that are read and logged: the longest known one has 600


class Cause(TextChoices):
    MAILBOX = "mailbox", _("the mailbox: unknown, disabled or full")
    RATE = "rate", _("us: too many mails, or too soon")
    REPUTATION = "reputation", _("us: a blocklist, or our reputation")
    CONTENT = "content", _("us: the content of the mail")
    AUTHENTICATION = "authentication", _("us: SPF, DKIM, DMARC or reverse DNS")
    POLICY = "policy", _("us: a rule of the mail server")
    SERVICE = "service", _("the mail service itself")
    UNCLEAR = "unclear", _("unclear")


# Refused because of this site or the mail service, and not for the recipient. The alert MailsBlocked has the same.
BLOCKED = (Cause.RATE, Cause.REPUTATION, Cause.CONTENT, Cause.AUTHENTICATION, Cause.POLICY, Cause.SERVICE)

# Enhanced status codes without their first digit, which repeats whether the failure is temporary: RFC 3463 and the IANA
# registry "SMTP Enhanced Status Codes". Those that mean one thing:
EXACT = {
    **dict.fromkeys(("1.1", "1.2", "1.3", "1.4", "1.6", "1.10"), Cause.MAILBOX),
    **dict.fromkeys(("2.1", "2.2", "2.4"), Cause.MAILBOX),
    **dict.fromkeys(("7.17", "7.18"), Cause.MAILBOX),  # it or its domain has another owner now (RFC 7293)
    **dict.fromkeys(("1.7", "1.8"), Cause.POLICY),  # the sender's address
    **dict.fromkeys(("2.3", "3.4"), Cause.CONTENT),  # the mail is too long
    **dict.fromkeys((f"7.{detail}" for detail in (*range(20, 27), 29)), Cause.AUTHENTICATION),
    **dict.fromkeys(("2.121", "2.122", "7.28"), Cause.RATE),  # the first two are Microsoft 365's
}
# The others, by their subject: servers use them for all kinds of reasons, so that known words count for more.
SUBJECTS = {
    "2": Cause.MAILBOX,
    "3": Cause.SERVICE,
    "4": Cause.SERVICE,
    "5": Cause.POLICY,
    "6": Cause.CONTENT,
    "7": Cause.POLICY,
}
# At the beginning of the words, and at the end of qmail's: "sorry, no mailbox here by that name. (#5.1.1)".
CODE = re.compile(r"^[45]\d\d[ -]\W?[45]\.(\d{1,3}\.\d{1,3})(?!\.?\d)|\(#[45]\.(\d{1,3}\.\d{1,3})\)")
STATUS = re.compile(r"[45]\.(\d{1,3}\.\d{1,3})")


@dataclass(frozen=True)
class Reply:
    """
    The answer to a mail, and its meaning. `text` is the server's code and words, or the error that came instead;
    `provider_id` is the id that a mail service gave the mail; `is_about_sender`: it may refuse this sender alone.
    """

    outcome: Outcome
    text: str
    provider_id: str = ""
    is_about_sender: bool = False

    @property
    def cause(self) -> Cause | None:
        """Why this mail was refused or deferred; None for any other reply."""
        return cause_of(self.text) if self.outcome in (Outcome.REFUSED, Outcome.DEFERRED) else None

    @property
    def is_for_any_mail(self) -> bool:
        """Whether any other mail would get this answer now; see `is_about_sender` for the exception."""
        return self.outcome in (Outcome.UNAVAILABLE, Outcome.THROTTLED)


def reply_about_mail(code: int, words: str) -> Reply:
    """
    The meaning of a mail server's answer about one mail, at RCPT or DATA (RFC 5321 §4.2.1); `words` begin with the
    code. A 5xx about our rate counts as DEFERRED: large services take the same mail some minutes later.
    """
    if code // 100 == 5 and cause_of(words) is not Cause.RATE:
        return Reply(Outcome.REFUSED, words)
    return Reply(Outcome.ACCEPTED if code // 100 == 2 else Outcome.DEFERRED, words)


def reply_text(code: int | None, words: object) -> str:
    """A reply in one line, which goes to the log: it may have any number of lines of 8 KB."""
    words = words.decode(errors="replace") if isinstance(words, bytes) else words
    return invisible.one_line(f"{'' if code is None else code} {words}")[:LONGEST_REPLY]


def error_text(error: Exception) -> str:
    """An error in one line; of one that carries a reply of the server, that reply."""
    if isinstance(error, smtplib.SMTPResponseException):
        return reply_text(error.smtp_code, error.smtp_error)
    return reply_text(None, f"{type(error).__name__}: {error}")


def without_code(text: str, code: str) -> str:
    """
    The words of another server without a code that they quote, as some filters quote the subject. It may be valid: it
    must be neither in the log nor in the table of mails. Beside a Latin letter it is a part of something else.
    """
    return re.sub(rf"(?<![A-Za-z0-9]){code}(?![A-Za-z0-9])", "…", text)


@dataclass(frozen=True)
class Text:
    pattern: re.Pattern[str]
    cause: Cause
    over_codes: bool  # this service sends it with a code that means something else


def cause_of(reply: str) -> Cause | None:
    """
    The cause of a 4xx or 5xx reply, its digits first; None for any other.

    By the words of a service that sends its code with another meaning, then by an enhanced status code that means one
    thing, then by other known words, then by the subject of any other code.
    """
    if not re.match(r"[45]\d\d\b", reply):
        return None
    words = without_addresses(reply[:LONGEST_REPLY])
    found = CODE.search(words)
    return _cause((found[1] or found[2]) if found else "", words)


def cause_of_status(status: str, text: str) -> Cause | None:
    """
    The cause of an enhanced status code ("5.1.1") that stands beside its text, as in a bounce; None for what is no code
    of a failure.
    """
    found = STATUS.fullmatch(status)
    return _cause(found[1], without_addresses(text[:LONGEST_REPLY])) if found else None


def without_addresses(text: str) -> str:
    """The words that decide: a visitor chose the address that a server or service repeats, so it must not."""
    return " ".join(word for word in text.split() if "@" not in word)


def _cause(code: str, words: str) -> Cause:
    text = next((each for each in _texts() if each.pattern.search(words)), None)
    if code in EXACT and not (text and text.over_codes):
        return EXACT[code]
    if text:
        return text.cause
    return SUBJECTS.get(code.partition(".")[0], Cause.UNCLEAR)


@cache
def _texts() -> tuple[Text, ...]:
    """All known texts, in the order in which they are looked for."""
    file = (Path(__file__).parent / "data" / "replies.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(file)["replies"]
    return tuple(
        Text(re.compile(text, re.IGNORECASE), Cause(entry["cause"]), entry.get("over_codes", False))
        for entry in entries
        for text in entry["texts"]
    )
