"""The page behind a mail's "This wasn't me" link. Mail scanners open links too, so only its buttons change anything."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from worker import suppression

from .views import SeeOther


@require_http_methods(["GET", "HEAD", "POST"])
def mute(request: HttpRequest, token: str) -> HttpResponse:
    """Say what the link does; on POST do it, or undo it, as often as its owner likes."""
    notice = suppression.read(token)
    if notice is None:
        return render(request, "signup/mute_broken.html", status=404)
    if request.method != "POST":
        page = {
            "email": notice.address,
            "until": suppression.muted_until(address=notice.address),
            "days": suppression.DAYS,
        }
        return render(request, "signup/mute.html", page | {"site": settings.SITE_NAME})
    if "undo" in request.POST:
        suppression.unmute(notice=notice)
        messages.success(request, _("Undone. Sign-up email is sent to this address again"))
    else:
        suppression.mute(notice=notice)
    return SeeOther(request.path)
