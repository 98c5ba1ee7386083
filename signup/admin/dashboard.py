"""The dashboard: how sign-ups and mails fare, drawn on the server. Numbers only: no address, no code."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from . import charts, figures

SPANS = {"24h": 24, "7d": 168}  # hours


def may_see(request: HttpRequest) -> bool:
    """Who may look at both logs."""
    return request.user.has_perms(["worker.view_delivery", "verification.view_captchamodel"])


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    if not may_see(request):
        raise PermissionDenied
    chosen = request.GET.get("span", "")
    span = figures.span(hours=SPANS.get(chosen, SPANS["24h"]))
    context = {
        **admin.site.each_context(request),
        "title": _("Dashboard"),
        "spans": [
            ("24h", _("Last 24 hours"), span.hours == SPANS["24h"]),
            ("7d", _("Last 7 days"), span.hours == SPANS["7d"]),
        ],
        "waiting": figures.waiting_mails(),
        "box": charts,
        **_funnel(span),
        **_waits(span),
        **_tables(span),
    }
    return TemplateResponse(request, "admin/dashboard.html", context)


def _funnel(span: figures.Span) -> dict[str, Any]:
    steps = figures.funnel(span)
    names = ("asked", "accepted", "proven", "accounts")
    series = {name: [getattr(step, name) for step in steps] for name in names}
    totals = {name: sum(values) for name, values in series.items()}
    labels = {
        "asked": _("asked for a code"),
        "accepted": _("mail accepted"),
        "proven": _("mailbox proven"),
        "accounts": _("account made"),
    }
    return {
        "steps": list(reversed(steps)),
        "funnel": charts.nested(series, _labels(span)),
        "totals": [(name, labels[name], totals[name], _percent(totals[name], totals["asked"])) for name in names],
    }


def _waits(span: figures.Span) -> dict[str, Any]:
    waits = figures.waits(span)
    series = {"median": [wait.median for wait in waits], "p95": [wait.p95 for wait in waits]}
    return {
        "wait_rows": [wait for wait in reversed(waits) if wait.median is not None],
        "waits": charts.waits(series, _labels(span)),
    }


def _tables(span: figures.Span) -> dict[str, Any]:
    domains = figures.domains(span)
    most = max((domain.mails for domain in domains), default=0)
    return {
        "domains": [(domain, _stack(domain, most)) for domain in domains],
        "limits": _bars(figures.limits(span)),
        "languages": _bars(figures.languages(span)),
    }


def _stack(domain: figures.Domain, most: int) -> list[tuple[str, str, str]]:
    """(state, where its part begins, how long it is)."""
    parts, begin = [], 0
    for state in ("sent", "waiting", "failed", "expired"):
        number = getattr(domain, state)
        parts.append((state, charts.share(begin, most), charts.share(number, most)))
        begin += number
    return parts


def _bars(rows: list[figures.Figure]) -> list[tuple[figures.Figure, str]]:
    most = max((row.number for row in rows), default=0)
    return [(row, charts.share(row.number, most)) for row in rows]


def _labels(span: figures.Span) -> list[str]:
    """Every third hour of a day; of a week the midnights."""
    every, form = (3, "H:i") if span.hours == SPANS["24h"] else (24, "MONTH_DAY_FORMAT")
    return [date_format(moment, form) if moment.hour % every == 0 else "" for moment in span.moments()]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""
