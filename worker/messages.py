"""The mail of a delivery: templates/mail/<kind>/ in its language, with headers that every mail server takes."""

import secrets
from collections.abc import Callable
from email.encoders import encode_base64
from email.header import Header, decode_header, make_header
from email.policy import compat32
from email.utils import formataddr, parseaddr
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from core import brand, clock, languages
from verification import codes
from verification.models import CaptchaModel

from .models import Delivery, new_message_id

LINE = 76  # characters: the longest line of a header that holds encoded words (RFC 2047 §2)
PLAIN = 60  # characters of a subject or name that need no encoding: with the header's name they fit into a line
TEST = "test"  # the doctor's mail, which no delivery in the database has

Context = dict[str, Any]
# By kind of mail, what makes the context of its templates, and may raise Unbuildable. signup/mails.py adds most.
CONTEXTS: dict[str, Callable[[Delivery], Context]] = {TEST: lambda delivery: {}}


class Unbuildable(Exception):
    """A mail can never be sent: its account or request is gone, or the key of its code has left the settings."""


class SevenBitMessage(EmailMultiAlternatives):
    """
    A message in 7 bits, with a folded subject and addresses. A relay re-encodes 8-bit text for a server that does not
    take it, which breaks the DKIM signature.
    """

    def message(self, **_policy: Any) -> Any:  # Django 6 has an argument `policy`
        message = super().message()
        # Random, so that no part holds it. Letting Python search for one takes a seventh of a mail's building time.
        message.set_boundary(secrets.token_hex(12))
        # Django 6 has another, which folds the headers below again. With a longest line, this one would begin a new one
        # before each long Message-ID and address, and leave the header's name alone.
        message.policy = compat32.clone(max_line_length=None)
        message.replace_header("Subject", _encoded("Subject", str(self.subject)))
        message.replace_header("From", _mailbox("From", self.from_email))
        if self.reply_to:
            message.replace_header("Reply-To", _mailbox("Reply-To", ", ".join(self.reply_to)))
        for part in message.walk():
            if part["Content-Transfer-Encoding"] == "8bit":
                del part["Content-Transfer-Encoding"]
                encode_base64(part)
        return message


@cache
def _mailbox(header: str, value: str) -> str:
    """Return a header that holds one mailbox. `value` may hold encoded words already."""
    name, address = parseaddr(value)
    mailbox = formataddr((_encoded(header, str(make_header(decode_header(name)))), address))
    is_short = len(header) + len(": ") + len(mailbox) <= LINE
    return mailbox if is_short else mailbox.replace(" <", "\n <")


def _encoded(header: str, value: str) -> str:
    """
    Return the text of a header in ASCII. A long text, or one of another script, becomes encoded words of at most 75
    characters, each on a line of its own (RFC 2047 §2); Django 5.2 makes them too long for their line.
    """
    text = " ".join(value.split())
    if text.isascii() and len(text) <= PLAIN:
        return text
    return Header(text, "utf-8", maxlinelen=LINE, header_name=header).encode()


def build(delivery: Delivery) -> EmailMultiAlternatives:
    """
    Return the mail of a delivery, in its language. Its code and links are derived here, and stored nowhere.

    Raises Unbuildable, and whatever a broken template raises.
    """
    code = languages.offered(delivery.language)
    language = translation.to_locale(code).replace("_", "-")
    with translation.override(code):
        context = {
            "site_name": languages.site_name(),
            "site_url": settings.SITE_URL,
            "light": brand.palette(brand.color(), brand.LIGHT),
            "dark": brand.palette(brand.color(), brand.DARK),
            "rtl": translation.get_language_bidi(),
            "language": language,
            **CONTEXTS[delivery.kind](delivery),
        }
        folder = f"mail/{delivery.kind}"
        subject, text = (_render(f"{folder}/{part}", context) for part in ("subject.txt", "body.txt"))
        html = _render(f"{folder}/body.html", context | {"subject": subject})  # mail programs preview it
    reply_to = languages.reply_to(code)
    message = SevenBitMessage(
        subject=" ".join(subject.split()),
        body=text,
        from_email=languages.sender(code),
        reply_to=[reply_to] if reply_to else [],
        to=[delivery.recipient],
        headers={
            "Message-ID": delivery.message_id,
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",  # to Exchange, which heeds no Auto-Submitted
            "Content-Language": language,
        },
    )
    message.attach_alternative(html, "text/html")
    return message


def _render(template: str, context: Context) -> str:
    try:
        return render_to_string(template, context).strip() + "\n"
    except Exception as error:
        error.add_note(f"in {template}")
        raise


def sample(*, kind: str, language: str, recipient: str = "name@example.com") -> Delivery:
    """Return an unsaved delivery, for a preview or a check. The code and the links of its mail open nothing."""
    sign_up = CaptchaModel(
        handle=secrets.token_urlsafe(18),
        address=recipient,
        nonce=secrets.token_hex(16),
        key_id=codes.current_key_id(),
        length=settings.CAPTCHA_LENGTH,
    )
    return Delivery(
        kind=kind,
        recipient=recipient,
        language=language,
        sign_up=sign_up,
        user=get_user_model()(pk=0, email=recipient),
        created_at=clock.now(),
        message_id=new_message_id(language),
    )
