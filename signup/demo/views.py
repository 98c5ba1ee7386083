"""The demo's inbox: the mails that its SMTP server has stored in a Maildir."""

from email import message_from_binary_file, policy
from email.message import EmailMessage
from functools import partial
from mailbox import Maildir
from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

SHOWN = 50  # mails


@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    newest = sorted(_inbox().items(), key=lambda item: item[1]["Date"].datetime, reverse=True)
    return render(request, "demo/inbox.html", {"mails": newest[:SHOWN]})


@require_safe
def mail(request: HttpRequest, key: str) -> HttpResponse:
    message = _message(key)
    return render(request, "demo/mail.html", {"key": key, "mail": message, "text": _part(message, "plain")})


@csp_replace({"style-src": "'unsafe-inline'", "frame-ancestors": "'self'"})  # a mail's styles are inline; demo only
@require_safe
def html(request: HttpRequest, key: str = "") -> HttpResponse:
    # Its links open in the whole window, as no page opens in a frame.
    content = _part(_message(key), "html").replace("<head>", '<head><base target="_top">', 1)
    return HttpResponse(content, headers={"X-Frame-Options": "SAMEORIGIN"})


def _inbox() -> Any:
    """A mapping of keys to EmailMessages, which is more than the types of the standard library say."""
    parse: Any = partial(message_from_binary_file, policy=policy.default)
    return Maildir(settings.DEMO_DATA / "inbox", factory=parse)


def _message(key: str) -> EmailMessage:
    try:
        message: EmailMessage = _inbox()[key]
    except KeyError as error:
        raise Http404 from error
    return message


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()) if part else ""
