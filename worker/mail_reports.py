"""
Reports that arrive as mail: bounces (delivery status notifications, RFC 3464) and complaints (abuse reports, RFC 5965).

Anybody can send such a mail. So the mail that it is about is found by our Message-ID alone, which nobody can guess, and
no address in the report decides anything.
"""

import logging
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from email.policy import EmailPolicy, Policy
from itertools import count
from typing import Any, cast

from .bounces import Report
from .classification import cause_of, cause_of_status
from .models import Delivery

State = Delivery.State

logger = logging.getLogger(__name__)

# Bounds of what a hostile mail costs. A real report has the headers of one of our mails, or all its 20 KB.
LARGEST = 1024 * 1024  # bytes
MOST_PARTS = 20  # within one another or side by side; a real report has about ten
LONGEST_HEADER = 1_000  # characters; the time to parse one grows with their square

# Types of parts, with "text/" for "message/" (see _Policy); those with "global" are RFC 6533's.
STATUS = ("text/delivery-status", "text/global-delivery-status", "text/disposition-notification")
FEEDBACK = ("text/feedback-report",)
RETURNED = ("text/rfc822", "text/rfc822-headers", "text/global", "text/global-headers")
NOTICE = ("text/plain",)
MESSAGE_TYPE = re.compile(r"^\s*message/", re.IGNORECASE)
# What a Sieve filter's `reject` says (RFC 5429), and no reader's receipt, which we do not ask for.
REJECTED = re.compile(r"\s*automatic-action\s*/[^;]*;\s*deleted\b", re.IGNORECASE)
COMPLAINTS = ("abuse", "fraud", "virus", "other")  # RFC 5965 §7.3; a "not-spam" or an "auth-failure" is none
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,253}>")
BLANK_LINES = re.compile(rb"(?:\r?\n[ \t]*)+\r?\n")
UNFOLDED = re.compile(rb"\r?\n(?=\d{3}[ -])")  # MessageLabs repeats a reply of several lines as it is
DIAGNOSTIC_TYPE = re.compile(r"^\s*[\w-]+\s*;")  # "smtp;", or Postfix's own "X-Postfix;"


def read(message: bytes) -> list[Report]:
    """Return the reports of a mail: none of one that is no report, or is too large or broken. Raises nothing."""
    if len(message) > LARGEST:
        return []
    try:
        return list(_reports(message))
    except Exception as error:  # the standard library's parser raises errors of all kinds for broken mails
        logger.warning("a mail can't be read: %s", type(error).__name__)
        return []


class _Policy(EmailPolicy):
    """
    The default policy with two changes: long headers are cut, and a part that is a message is read as text. The parser
    would take such a part apart before it is decoded, and some servers encode it.
    """

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if name.lower() == "content-type":
            value = MESSAGE_TYPE.sub("text/", value)
        return name, value[:LONGEST_HEADER]


def _parse(message: bytes, *, headersonly: bool = False) -> EmailMessage:
    made = count(1)

    def new(policy: "Policy[Any] | None" = None) -> EmailMessage:
        if next(made) > MOST_PARTS:
            raise MessageError("too many parts")
        return EmailMessage(policy=policy)

    parser = BytesParser(policy=_Policy(message_factory=new))
    return cast(EmailMessage, parser.parsebytes(message, headersonly=headersonly))


def _reports(message: bytes) -> Iterator[Report]:
    # Those of the report: a gateway may have put it into a mail with a note of its own.
    groups = (list(part.iter_parts()) for part in _parse(message).walk())
    parts = next((parts for parts in groups if _first(parts, (*STATUS, *FEEDBACK))), [])
    returned, status, feedback, notice = (_first(parts, types) for types in (RETURNED, STATUS, FEEDBACK, NOTICE))
    if returned is None:
        return
    message_id = _word(_parse(_content(returned).lstrip(), headersonly=True), "Message-ID")
    if not MESSAGE_ID.fullmatch(message_id):
        return
    if status:
        words = _content(notice) if notice else b""
        for each in _blocks(status):
            if _word(each, "Action").lower() == "failed" or REJECTED.match(str(each.get("Disposition", ""))):
                yield _bounce(each, message_id, words)
    elif feedback:
        fields = _blocks(feedback)[0]
        kind = _word(fields, "Feedback-Type").lower()
        if kind in COMPLAINTS:
            text = f"{kind}, {fields.get('User-Agent', '')}".rstrip(", ")
            yield Report(State.COMPLAINED, text, message_id=message_id)


def _bounce(recipient: EmailMessage, message_id: str, notice: bytes) -> Report:
    """
    The report of a recipient that failed, by its block of a delivery status notification, and by the part of that for
    people.
    """
    status = _word(recipient, "Status")
    text = DIAGNOSTIC_TYPE.sub("", str(recipient.get("Diagnostic-Code", ""))).strip()
    if not text and status[1:] in ("", ".0.0"):  # none, or one that has no more to say (RFC 3463 §3.1)
        text = _reason(recipient, notice)
    text = text or status
    return Report(
        State.BOUNCED,
        text,
        cause=cause_of(text) or cause_of_status(status, text),
        # Given up after deferrals: Exim says Status 5.0.0 then too, so the reply counts as well.
        is_permanent="4" not in (status[:1], text[:1]),
        message_id=message_id,
    )


def _reason(recipient: EmailMessage, notice: bytes) -> str:
    """
    What the notice says after the recipient's address, up to a blank line. OpenSMTPD has the reason there alone, and so
    has Exim of a domain that does not exist.
    """
    address = DIAGNOSTIC_TYPE.sub("", str(recipient.get("Final-Recipient", ""))).strip().encode(errors="replace")
    words = notice.partition(address)[2].lstrip(b">: \t\r\n") if address else b""
    return " ".join(BLANK_LINES.split(words, maxsplit=1)[0].decode(errors="replace").split())[:LONGEST_HEADER]


def _first(parts: list[MIMEPart], types: tuple[str, ...]) -> MIMEPart | None:
    return next((part for part in parts if part.get_content_type() in types), None)


def _blocks(part: MIMEPart) -> list[EmailMessage]:
    """The groups of fields of a part, between blank lines."""
    blocks = BLANK_LINES.split(UNFOLDED.sub(b"\n ", _content(part).strip()), maxsplit=MOST_PARTS)
    return [_parse(block, headersonly=True) for block in blocks]


def _content(part: MIMEPart) -> bytes:
    """The decoded content of a part."""
    return cast(bytes, part.get_payload(decode=True))


def _word(message: EmailMessage, name: str) -> str:
    """The first word of a header's value; a comment may follow it."""
    return next(iter(str(message.get(name, "")).split()), "")
