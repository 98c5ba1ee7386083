"""A chart of how far each figure is from its goal, as SVG: bars to the right of the line have reached it."""

import math
from collections.abc import Sequence
from html import escape

from .result import Goal, Row, plain

LABELS, BARS, ROW, TOP = 470, 420, 26, 54  # pixels
REACH = 3.0  # doublings shown to either side of the goal
GOOD, BAD, INK, PAPER = "#1a7f5a", "#b4452c", "#222222", "#ffffff"
GRID = "#dddddd"


def margin(value: float, goal: Goal) -> float:
    """Doublings by which a value is better than its goal; negative where it is worse. The nearer bound of two counts."""
    if value <= 0:  # zeroes have no logarithm
        return REACH if goal.holds(value) else -REACH
    distances = []
    if goal.least is not None:
        distances.append(math.log2(value / goal.least))
    if goal.most is not None:
        distances.append(math.log2(goal.most / value) if goal.most else -REACH)
    return max(-REACH, min(REACH, *distances))


def draw(rows: Sequence[Row]) -> str:
    """Return the chart of rows that have a goal."""
    width, height = LABELS + BARS + 170, TOP + ROW * len(rows) + 20
    middle, step = LABELS + BARS / 2, BARS / 2 / REACH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}" role="img">',
        "<title>Figures against their goals</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        f'<text x="{middle}" y="20" text-anchor="middle" font-weight="bold">worse ← goal → better</text>',
    ]
    for doublings in range(-int(REACH), int(REACH) + 1):
        across = middle + doublings * step
        name = f"{2 ** abs(doublings)} ×" if doublings else ""
        parts += [
            f'<text x="{across:.1f}" y="38" text-anchor="middle" font-size="11">{name}</text>',
            f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{TOP - 8}" y2="{height - 10}" stroke="{GRID}"/>',
        ]
    for number, row in enumerate(rows):
        assert row.goal
        top = TOP + number * ROW
        length = margin(row.value.middle, row.goal) * step
        left, color = (middle, GOOD) if length >= 0 else (middle + length, BAD)
        value = f"{plain(row.value.middle)} {row.unit}, goal {row.goal}"
        parts += [
            f'<text x="{LABELS - 10}" y="{top + 16}" text-anchor="end">{escape(row.what)}</text>',
            f'<rect x="{left:.1f}" y="{top + 4}" width="{max(1.0, abs(length)):.1f}" height="{ROW - 10}" fill="{color}"/>',
            f'<text x="{LABELS + BARS + 6}" y="{top + 16}" font-size="11">{escape(value)}</text>',
        ]
    parts.append(f'<line x1="{middle}" x2="{middle}" y1="{TOP - 8}" y2="{height - 10}" stroke="{INK}"/>')
    return "\n".join([*parts, "</svg>", ""])
