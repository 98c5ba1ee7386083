"""The reading of Lighthouse's reports by `make lighthouse`; it runs without npm and without a browser."""

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.servers import ROOT
from tests.tools import lighthouse
from tests.tools.lighthouse import METRICS, Measured
from tests.tools.person import Step, Way

URL = "http://127.0.0.1:8000/account/"


def report(*, contrast: float | None = 1, **scores: float) -> dict[str, Any]:
    """A report of Lighthouse, as far as we read it."""
    audits: dict[str, Any] = {name: {"numericValue": 1234.5678} for name in METRICS}
    audits["color-contrast"] = {"id": "color-contrast", "title": "Contrast is too low", "score": contrast}
    audits["bf-cache"] = {"id": "bf-cache", "title": "No back/forward cache", "score": 0}
    refs = [{"id": "color-contrast", "weight": 7}, {"id": "bf-cache", "weight": 0}]
    categories = {name: {"score": scores.get(name, 1), "auditRefs": []} for name in lighthouse.GOALS}
    categories["accessibility"]["auditRefs"] = refs
    return {"finalDisplayedUrl": URL, "categories": categories, "audits": audits}


def measured(performance: int = 100, accessibility: int = 100) -> Measured:
    scores = {"performance": performance, "accessibility": accessibility, "best-practices": 100}
    return Measured("a page", scores, {name: 1.0 for name, _ in METRICS.values()})


def test_a_failed_audit_is_named_and_advice_is_not() -> None:
    """An audit without weight changes no score."""
    page = lighthouse.read("a page", report(contrast=0, accessibility=0.93), URL)
    assert page.scores == {"performance": 100, "accessibility": 93, "best-practices": 100}
    assert page.misses == ["accessibility"]
    assert page.faults == ["Contrast is too low (color-contrast)"]


def test_an_audit_that_does_not_apply_is_no_fault() -> None:
    """Lighthouse gives it no score."""
    assert lighthouse.read("a page", report(contrast=None, accessibility=0.93), URL).faults == []


def test_a_page_at_its_goal_has_no_faults() -> None:
    """Performance has room for an audit or two."""
    timing = report(performance=0.96)
    timing["audits"]["speed-index"] = {"id": "speed-index", "title": "Speed Index", "score": 0.9}
    timing["categories"]["performance"]["auditRefs"] = [{"id": "speed-index", "weight": 10}]
    assert lighthouse.read("a page", timing, URL).faults == []


def test_a_page_that_was_not_measured_fails_the_run() -> None:
    """Its scores would be empty, or another page's."""
    broken = report() | {"runtimeError": {"code": "NO_FCP", "message": "The page did not paint"}}
    with pytest.raises(AssertionError, match="The page did not paint"):
        lighthouse.read("a page", broken, URL)
    redirected = report() | {"finalDisplayedUrl": "http://127.0.0.1:8000/login/"}
    with pytest.raises(AssertionError, match=r"led to .*/login/"):
        lighthouse.read("a page", redirected, URL)


@pytest.mark.parametrize(
    ("page", "misses"),
    [
        (measured(performance=95), []),
        (measured(performance=94), ["performance"]),
        (measured(accessibility=99), ["accessibility"]),
    ],
)
def test_goals_are_kept_to_the_point(page: Measured, misses: list[str]) -> None:
    """95 of performance, 100 of everything else."""
    assert page.misses == misses


def test_of_three_runs_the_middle_one_counts() -> None:
    """One slow run is the machine's, two are the page's."""
    assert lighthouse.typical([measured(60), measured(99), measured(97)]).scores["performance"] == 97


def test_the_results_are_json_and_a_table_that_the_docs_have_a_place_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every step of the person, and the sum."""
    monkeypatch.setattr(lighthouse, "BUILD", tmp_path / "build")
    monkeypatch.setattr(lighthouse, "ROOT", tmp_path)
    steps = [Step("Sign up", 1, 1, 19, 1, 1), Step("Enter the code", 4, 3, 28, 1, 1)]
    lighthouse.write([measured()], Way(steps, waited=0.5))
    content = json.loads((tmp_path / "build" / "report.json").read_text())
    assert content["pages"][0]["scores"]["performance"] == 100
    assert content["person"]["seconds"] == pytest.approx(47 * 0.12 + 2 * 1.1 + 2 * 1.0 + 0.5)
    page = Path("docs") / "reference" / "pages.md"
    (tmp_path / page).parent.mkdir(parents=True)
    (tmp_path / page).write_text((ROOT / page).read_text())
    lighthouse.publish()
    published = (tmp_path / page).read_text()
    assert "| **all** | **5** | **4** | **47** | **2** |" in published
    assert "| a page | 100 | 100 | 100 |" in published


@pytest.mark.parametrize(("performance", "code"), [(95, 0), (94, 1)])
def test_a_run_ends_with_the_tables_and_fails_below_a_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], performance: int, code: int
) -> None:
    """It needs no option."""
    for name in ("install", "copy_image", "Redis", "MailServer", "System"):
        monkeypatch.setattr(lighthouse, name, MagicMock())
    monkeypatch.setattr(lighthouse, "measure", lambda *_: [measured(performance)])
    monkeypatch.setattr(lighthouse, "walk", lambda *_: Way([Step("Sign up")]))
    monkeypatch.setattr(lighthouse, "BUILD", tmp_path)
    monkeypatch.setattr(lighthouse, "CHROMIUM", __file__)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["lighthouse"])
    assert lighthouse.main() == code
    assert f"| a page | {performance} | 100 | 100 |" in capsys.readouterr().out
