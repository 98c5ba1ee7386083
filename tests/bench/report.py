"""The table on the screen, and the same as JSON, Markdown and a chart in build/bench."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import chart
from .result import Row, plain

Results = Mapping[str, Sequence[Row]]


def table(results: Results) -> str:
    """Ratios first, with the goal beside each, then what each was made of."""
    rows = [row for case in results.values() for row in case]
    width = max(len(row.what) for row in rows)
    lines = []
    for row in rows:
        value = f"{plain(row.value.middle)} {row.unit}"
        around = f"({plain(row.value.least)}–{plain(row.value.most)})"
        goal = f"goal {row.goal}" if row.goal else ""
        lines.append(f"{row.what:<{width}}  {value:>12} {around:<20} {goal:<16} {row.verdict}".rstrip())
        lines += [f"{'':<{width}}    {name}: {figure}" for name, figure in row.parts.items()]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    lines = ["| what | median | min–max | goal | |", "|---|---|---|---|---|"]
    for row in (row for case in results.values() for row in case):
        around = f"{plain(row.value.least)}–{plain(row.value.most)}"
        parts = "<br>".join(f"{name}: {figure}" for name, figure in row.parts.items())
        what = f"{row.what}<br><small>{parts}</small>" if parts else row.what
        lines.append(f"| {what} | {plain(row.value.middle)} {row.unit} | {around} | {row.goal or ''} | {row.verdict} |")
    return "\n".join(lines) + "\n"


def write(folder: Path, results: Results, units: Mapping[str, float], settings: Mapping[str, object]) -> None:
    """Write results.json, table.md and chart.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    cases = {name: [row.as_json() for row in rows] for name, rows in results.items()}
    content = {"machine": machine, "settings": settings, "units": units, "cases": cases}
    (folder / "results.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (folder / "table.md").write_text(markdown(results))
    (folder / "chart.svg").write_text(chart.draw([row for rows in results.values() for row in rows if row.goal]))
