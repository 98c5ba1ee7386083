"""Where the parts of a chart stand: templates draw them as SVG, in the units of its view box."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

WIDTH, HEIGHT = 760, 230  # the view box
LEFT, RIGHT, TOP, BOTTOM = 52, 750, 12, 200  # of the plot in it
SHORTEST, LONGEST = 0.1, 7_200.0  # seconds that the scale of waits shows, at the least and at the most


class Mark(NamedTuple):
    """A labelled place on an axis."""

    at: str
    label: Any


class Bar(NamedTuple):
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
    bars: list[Bar]
    lines: list[Line]
    dots: list[Dot]
    rows: list[Mark]  # of the vertical axis
    columns: list[Mark]  # of the horizontal one


def nested(series: Mapping[str, Sequence[int]], labels: Sequence[Any]) -> Plot:
    """Columns that stand in front of each other: of each series a part is in the next one."""
    top = _ceiling(max((max(values, default=0) for values in series.values()), default=0))
    slot = (RIGHT - LEFT) / max(1, len(labels))
    width = slot * (0.7 if slot > 10 else 1)
    bars = [
        Bar(name, _px(LEFT + number * slot + (slot - width) / 2), _px(_height(value / top)), _px(width),
            _px(BOTTOM - _height(value / top)))
        for name, values in series.items() for number, value in enumerate(values) if value
    ]  # fmt: skip
    rows = [Mark(_px(_height(part / 4)), f"{top * part // 4}") for part in range(5)]
    return Plot(bars, [], [], rows, _columns(labels))


def waits(series: Mapping[str, Sequence[float | None]], labels: Sequence[Any]) -> Plot:
    """Lines on a logarithmic scale of seconds; a gap where there is no value."""
    longest = max((value or 0 for values in series.values() for value in values), default=0)
    ticks = [tick for tick in _TICKS if tick[0] <= max(10, longest)]
    top = max(ticks[-1][0], min(longest, LONGEST))
    lines, dots = [], []
    for name, values in series.items():
        for run in _runs(values):
            points = [(_px(_center(number, len(labels))), _px(_height(_log(value, top)))) for number, value in run]
            lines.append(Line(name, " ".join(f"{x},{y}" for x, y in points)))
            dots += [Dot(name, x, y) for x, y in points]
    rows = [Mark(_px(_height(_log(seconds, top))), label) for seconds, label in ticks]
    return Plot([], lines, dots, rows, _columns(labels))


_TICKS = [
    (0.1, _("0.1 s")),
    (1, _("1 s")),
    (10, _("10 s")),
    (60, _("1 min")),
    (600, _("10 min")),
    (3_600, _("1 h")),
]


def share(number: int, most: int) -> str:
    """The length of a bar in a table, of 100."""
    return _px(100 * number / most) if most else "0"


def _log(seconds: float, top: float) -> float:
    """The part of the height, 0 to 1."""
    inside = min(max(seconds, SHORTEST), top)
    return math.log(inside / SHORTEST) / math.log(top / SHORTEST)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((number, value))
    return [run for run in runs if run]


def _columns(labels: Sequence[Any]) -> list[Mark]:
    """The labels that are not empty, each under its place."""
    return [Mark(_px(_center(number, len(labels))), label) for number, label in enumerate(labels) if label]


def _center(number: int, of: int) -> float:
    return LEFT + (RIGHT - LEFT) * (number + 0.5) / of


def _height(part: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * part


def _ceiling(value: int) -> int:
    """The next of 4, 8, 20, 40, 80, 200 …: round, and four lines divide it."""
    tops = (factor * 10**power for power in itertools.count() for factor in (4, 8, 20))
    return next(int(top) for top in tops if top >= value)


def _px(value: float) -> str:
    """A number for an attribute: a point in it, whatever the language."""
    return f"{value:.1f}".removesuffix(".0")
