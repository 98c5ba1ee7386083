"""The demo's mailbox: an SMTP catcher that keeps every mail, and what its page shows of one."""

import email
import mailbox
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any


class Catcher:
    """An aiosmtpd handler that accepts everything into a Maildir."""

    def __init__(self, folder: Path) -> None:
        self._box = open_box(folder)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self._box.add(envelope.content)
        return "250 OK"


@dataclass(frozen=True)
class Mail:
    """One caught mail, decoded."""

    key: str
    at: datetime
    to: str
    subject: str
    text: str
    html: str


def open_box(folder: Path) -> mailbox.Maildir:
    return mailbox.Maildir(folder, create=True)


def newest(box: mailbox.Maildir, *, most: int = 50) -> list[Mail]:
    """Return the newest mails first."""
    return sorted((_read(box, key) for key in box.iterkeys()), key=lambda mail: mail.at, reverse=True)[:most]


def one(box: mailbox.Maildir, key: str) -> Mail | None:
    return _read(box, key) if key in box else None


def _read(box: mailbox.Maildir, key: str) -> Mail:
    message = email.message_from_bytes(box.get_bytes(key), _class=EmailMessage, policy=default)
    return Mail(
        key=key,
        at=parsedate_to_datetime(message["Date"]),
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body(preferencelist=(subtype,))
    return str(part.get_content()) if part else ""
