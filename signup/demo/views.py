"""The demo's inbox pages."""

from mailbox import Maildir

from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from . import inbox


def _box() -> Maildir:
    return inbox.open_box(settings.DEMO_DATA / "inbox")


@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    return render(request, "demo/inbox.html", {"mails": inbox.newest(_box())})


@require_safe
def mail(request: HttpRequest, key: str) -> HttpResponse:
    return render(request, "demo/mail.html", {"mail": _one(key)})


@xframe_options_sameorigin
@csp_replace({"style-src": "'unsafe-inline'", "frame-ancestors": "'self'"})  # a mail's styles are inline; demo only
@require_safe
def html(request: HttpRequest, key: str = "") -> HttpResponse:
    return HttpResponse(_one(key).html)


def _one(key: str) -> inbox.Mail:
    found = inbox.one(_box(), key)
    if found is None:
        raise Http404
    return found
