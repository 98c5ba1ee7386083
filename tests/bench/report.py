"""The table on the screen, and the same as JSON, Markdown and a chart in build/bench."""

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.servers import ROOT

from . import chart, scale
from .result import Row, plain

BEGIN, END = "<!-- {} begins -->", "<!-- {} ends -->"

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


def machine() -> dict[str, Any]:
    """The processors, load, Python and time of a run."""
    return {
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(folder: Path, results: Results, units: Mapping[str, float], settings: Mapping[str, object]) -> None:
    """Write results.json, table.md and chart.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = {name: [row.as_json() for row in rows] for name, rows in results.items()}
    content = {"machine": machine(), "settings": settings, "units": units, "cases": cases}
    (folder / "results.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (folder / "table.md").write_text(markdown(results))
    (folder / "chart.svg").write_text(chart.draw([row for rows in results.values() for row in rows if row.goal]))


def publish(folder: Path) -> None:
    """Put what a run left in a folder into docs/, between the marks there."""
    content = json.loads((folder / "results.json").read_text())
    ran_on, settings = content["machine"], content["settings"]
    said = (
        f"{ran_on['at'][:10]}, {ran_on['processors']} processors, Python {ran_on['python']}, scale "
        f"{settings['scale']:g}, {settings['rounds']} rounds, load {ran_on['load']:.0f} at the end.\n\n"
    )
    docs = ROOT / "docs"
    replace(docs / "reference" / "performance.md", "results", said + (folder / "table.md").read_text())
    replace(docs / "reference" / "scale.md", "model", scale.report(folder / "results.json") + "\n")
    shutil.copy(folder / "chart.svg", docs / "images" / "performance.svg")


def replace(page: Path, name: str, text: str) -> None:
    """Replace what stands between two marks of a page."""
    head, _, rest = page.read_text().partition(BEGIN.format(name))
    _, found, tail = rest.partition(END.format(name))
    assert found, f"{page.name} has no place for {name}"
    page.write_text(f"{head}{BEGIN.format(name)}\n{text}{END.format(name)}{tail}")
