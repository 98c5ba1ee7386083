"""
The dashboard: the results of sign-ups and mails, in numbers alone. The charts are dicts that
templates/admin/charts/plot.html draws as SVG, in the units of its view box.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from signup import statistics
from worker.models import Delivery

State = Delivery.State
MAIL_STATES = {
    State.SENT.value: State.SENT.label,
    "waiting": _("waiting"),
    **{state.value: state.label for state in (State.FAILED, State.BOUNCED, State.COMPLAINED, State.EXPIRED)},
}
LEFT, RIGHT, TOP, BOTTOM = 52, 750, 12, 200  # of a plot in its view box, 760 × 230
SHORTEST, LONGEST = 0.1, 7_200.0  # seconds: where the scale of waits begins, and where it ends at the latest
TICKS = [(0.1, _("0.1 s")), (1, _("1 s")), (10, _("10 s")), (60, _("1 min")), (600, _("10 min")), (3_600, _("1 h"))]

Series = Mapping[str, Sequence[float | None]]
Labels = Sequence[Any]
Ticks = Sequence[tuple[float, Any]]


@require_safe
@permission_required(["worker.view_delivery", "verification.view_captchamodel"], raise_exception=True)
def dashboard(request: HttpRequest) -> HttpResponse:
    span = "7d" if request.GET.get("span") == "7d" else "24h"
    # Hours to show, hours between two labels, and the labels' form.
    number, every, form = {"24h": (24, 3, "H:i"), "7d": (168, 24, "MONTH_DAY_FORMAT")}[span]
    hours = statistics.full_hours(number)
    labels = [date_format(hour, form) if hour.hour % every == 0 else "" for hour in hours]
    steps, waits = statistics.funnel_by_hour(hours), statistics.waits_by_hour(hours)
    funnel = {name: [step[name] for step in steps] for name in statistics.FUNNEL_LABELS}
    context = {
        **admin.site.each_context(request),
        "title": _("Dashboard"),
        "span": span,
        "spans": [("24h", _("Last 24 hours")), ("7d", _("Last 7 days"))],
        "totals": [(name, label, sum(funnel[name])) for name, label in statistics.FUNNEL_LABELS.items()],
        "asked": sum(funnel["asked"]),
        "waiting": statistics.waiting_mails(),
        "funnel": column_chart(funnel, labels),
        "steps": steps[::-1],
        "waits": line_chart({name: [wait[name] for wait in waits] for name in ("median", "p95")}, labels),
        "wait_rows": [wait for wait in reversed(waits) if wait["median"] is not None],
        "mail_states": MAIL_STATES,
        "domains": [(domain, _stacked(domain)) for domain in statistics.domains(hours[0])],
        "limits": _bars(statistics.limits(hours[0])),
        "languages": _bars(statistics.languages(hours[0])),
    }
    return TemplateResponse(request, "admin/dashboard.html", context)


def _stacked(domain: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """The parts of a domain's bar: (state, where it begins, how long it is)."""
    ends = itertools.accumulate(domain[state] for state in MAIL_STATES)
    return [(state, end - domain[state], domain[state]) for state, end in zip(MAIL_STATES, ends, strict=True)]


def _bars(rows: list[tuple[Any, int]]) -> dict[str, Any]:
    return {"rows": rows, "most": max((number for _label, number in rows), default=0)}


def column_chart(series: Mapping[str, Sequence[int]], labels: Labels) -> dict[str, Any]:
    """Columns in front of each other: each series is a part of the one before."""
    highest = max(max(values) for values in series.values())
    round_numbers = (factor * 10**power for power in itertools.count() for factor in (4, 8, 20))
    top = next(number for number in round_numbers if number >= highest)  # four lines divide it
    ticks = [(top * part // 4, str(top * part // 4)) for part in range(5)]
    slot = (RIGHT - LEFT) / len(labels)
    shown = {name: [value or None for value in values] for name, values in series.items()}
    plot = _plot(shown, labels, ticks, lambda value: value / top)
    return {**plot, "column_width": round(slot * 0.7 if slot > 10 else slot, 1)}


def line_chart(series: Series, labels: Labels) -> dict[str, Any]:
    """Lines on a logarithmic scale of seconds; a gap if there is no value."""
    longest = max((value or 0 for values in series.values() for value in values), default=0)
    ticks = [tick for tick in TICKS if tick[0] <= max(10, longest)]
    top = max(ticks[-1][0], min(longest, LONGEST))

    def height(seconds: float) -> float:
        return math.log(min(max(seconds, SHORTEST), top) / SHORTEST) / math.log(top / SHORTEST)

    return _plot(series, labels, ticks, height)


def _plot(series: Series, labels: Labels, ticks: Ticks, height: Callable[[float], float]) -> dict[str, Any]:
    """
    Place the values of each series above their labels. `height` turns a value into a part of the plot's height, 0 to 1.
    Returns rows and columns as (place, label), and runs of values without a gap as (name of the series, [(x, y), …]).
    """

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * height(value), 1)

    xs = [round(LEFT + (RIGHT - LEFT) * (number + 0.5) / len(labels), 1) for number in range(len(labels))]
    runs = [
        (name, [(x, y(value)) for x, value in run if value is not None])
        for name, values in series.items()
        for has_value, run in itertools.groupby(zip(xs, values, strict=True), lambda point: point[1] is not None)
        if has_value
    ]
    return {
        "rows": [(y(value), label) for value, label in ticks],
        "columns": [(x, label) for x, label in zip(xs, labels, strict=True) if label],
        "runs": runs,
    }
