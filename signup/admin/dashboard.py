"""
The dashboard: how sign-ups and mails fare, drawn on the server. Numbers only: no address, no code.

A view, and below it the charts: the places of their parts in the units of the view box, which templates draw as SVG.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from signup import statistics

SPANS = {"24h": 24, "7d": 168}  # hours
LEFT, RIGHT, TOP, BOTTOM = 52, 750, 12, 200  # of a plot in its view box, 760 × 230 (templates/admin/charts/plot.html)
SHORTEST, LONGEST = 0.1, 7_200.0  # seconds: where the scale of waits begins, and where it ends at the latest
TICKS = [
    (0.1, gettext_lazy("0.1 s")),
    (1, gettext_lazy("1 s")),
    (10, gettext_lazy("10 s")),
    (60, gettext_lazy("1 min")),
    (600, gettext_lazy("10 min")),
    (3_600, gettext_lazy("1 h")),
]


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """For operators who may look at both logs."""
    if not request.user.has_perms(["worker.view_delivery", "verification.view_captchamodel"]):
        raise PermissionDenied
    period = statistics.full_hours(SPANS.get(request.GET.get("span", ""), SPANS["24h"]))
    context = {
        **admin.site.each_context(request),
        "title": _("Dashboard"),
        "spans": [
            ("24h", _("Last 24 hours"), period.hours == SPANS["24h"]),
            ("7d", _("Last 7 days"), period.hours == SPANS["7d"]),
        ],
        "waiting": statistics.waiting_mails(),
        **_funnel(period),
        **_waits(period),
        "domains": _domains(period),
        "limits": _bars(statistics.limits(period)),
        "languages": _bars(statistics.languages(period)),
    }
    return TemplateResponse(request, "admin/dashboard.html", context)


def _funnel(period: statistics.Period) -> dict[str, Any]:
    steps, labels = statistics.funnel_by_hour(period), statistics.FUNNEL_LABELS
    series = {name: [getattr(step, name) for step in steps] for name in labels}
    totals = {name: sum(values) for name, values in series.items()}
    return {
        "steps": list(reversed(steps)),
        "funnel": column_chart(series, _labels(period)),
        "totals": [
            (name, label, totals[name], _percent(totals[name], totals["asked"])) for name, label in labels.items()
        ],
    }


def _waits(period: statistics.Period) -> dict[str, Any]:
    waits = statistics.waits_by_hour(period)
    series = {"median": [wait.median for wait in waits], "p95": [wait.p95 for wait in waits]}
    return {
        "wait_rows": [wait for wait in reversed(waits) if wait.median is not None],
        "waits": line_chart(series, _labels(period)),
    }


def _domains(period: statistics.Period) -> list[tuple[statistics.Domain, list[tuple[str, str, str]]]]:
    """Each domain with the parts of its bar: (state, where it begins, how long it is)."""
    domains = statistics.domains(period)
    most = max((domain.mails for domain in domains), default=0)
    rows = []
    for domain in domains:
        parts, begin = [], 0
        for state in ("sent", "waiting", "failed", "expired"):
            number = getattr(domain, state)
            parts.append((state, _share(begin, most), _share(number, most)))
            begin += number
        rows.append((domain, parts))
    return rows


def _bars(rows: list[statistics.Figure]) -> list[tuple[statistics.Figure, str]]:
    most = max((row.number for row in rows), default=0)
    return [(row, _share(row.number, most)) for row in rows]


def _share(number: int, most: int) -> str:
    """The length of a bar in a table, of 100."""
    return _px(100 * number / most) if most else "0"


def _labels(period: statistics.Period) -> list[str]:
    """Every third hour of a day; of a week the midnights."""
    every, form = (3, "H:i") if period.hours == SPANS["24h"] else (24, "MONTH_DAY_FORMAT")
    return [date_format(start, form) if start.hour % every == 0 else "" for start in period.starts()]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


class Label(NamedTuple):
    """Text at a place on an axis."""

    at: str
    label: Any


class Column(NamedTuple):
    series: str
    x: str
    y: str
    width: str
    height: str


class Line(NamedTuple):
    """One run of points without a gap, "x,y x,y …"."""

    series: str
    points: str


class Dot(NamedTuple):
    series: str
    x: str
    y: str


class Plot(NamedTuple):
    rows: list[Label]  # of the vertical axis
    columns: list[Label]  # of the horizontal one
    bars: Sequence[Column] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()


def column_chart(series: Mapping[str, Sequence[int]], labels: Sequence[Any]) -> Plot:
    """Columns that stand in front of each other: each series is a part of the one before."""
    top = _ceiling(max((max(values, default=0) for values in series.values()), default=0))
    slot = (RIGHT - LEFT) / max(1, len(labels))
    width = slot * (0.7 if slot > 10 else 1)
    bars = [
        Column(name, _px(LEFT + number * slot + (slot - width) / 2), _px(_y(value / top)), _px(width),
               _px(BOTTOM - _y(value / top)))
        for name, values in series.items() for number, value in enumerate(values) if value
    ]  # fmt: skip
    rows = [Label(_px(_y(part / 4)), f"{top * part // 4}") for part in range(5)]
    return Plot(rows, _columns(labels), bars=bars)


def line_chart(series: Mapping[str, Sequence[float | None]], labels: Sequence[Any]) -> Plot:
    """Lines on a logarithmic scale of seconds; a gap where there is no value."""
    longest = max((value or 0 for values in series.values() for value in values), default=0)
    ticks = [tick for tick in TICKS if tick[0] <= max(10, longest)]
    top = max(ticks[-1][0], min(longest, LONGEST))
    lines, dots = [], []
    for name, values in series.items():
        for has_value, run in itertools.groupby(enumerate(values), lambda item: item[1] is not None):
            if has_value:
                points = [(_px(_x(number, len(labels))), _px(_y(_log(value or 0, top)))) for number, value in run]
                lines.append(Line(name, " ".join(f"{x},{y}" for x, y in points)))
                dots += [Dot(name, x, y) for x, y in points]
    rows = [Label(_px(_y(_log(seconds, top))), label) for seconds, label in ticks]
    return Plot(rows, _columns(labels), lines=lines, dots=dots)


def _columns(labels: Sequence[Any]) -> list[Label]:
    """The labels that are not empty, each under its place."""
    return [Label(_px(_x(number, len(labels))), label) for number, label in enumerate(labels) if label]


def _x(number: int, of: int) -> float:
    """The middle of a slot."""
    return LEFT + (RIGHT - LEFT) * (number + 0.5) / of


def _y(part: float) -> float:
    """The place of a part of the height, 0 to 1."""
    return BOTTOM - (BOTTOM - TOP) * part


def _log(seconds: float, top: float) -> float:
    """The part of the height, 0 to 1."""
    inside = min(max(seconds, SHORTEST), top)
    return math.log(inside / SHORTEST) / math.log(top / SHORTEST)


def _ceiling(value: int) -> int:
    """The next of 4, 8, 20, 40, 80, 200 …: round, and four lines divide it."""
    tops = (factor * 10**power for power in itertools.count() for factor in (4, 8, 20))
    return next(int(top) for top in tops if top >= value)


def _px(value: float) -> str:
    """A number for an attribute, with a point in every language."""
    return f"{value:.1f}".removesuffix(".0")
