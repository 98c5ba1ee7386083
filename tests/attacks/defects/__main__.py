"""`make defects`: plant each defect in a copy of the project, and see its tests turn red."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from tests.servers import ROOT

from . import DEFECTS
from .model import TESTS, Defect
from .page import PAGE, render

LIMIT = 600  # seconds that the tests of one defect may take
LEFT_OUT = (".*", "build", "staticfiles", "*.sqlite3*")  # of the copy; .venv and .git among them
# The plugins that these tests need, and tables without migrations: most of a run is its start.
OPTIONS = ("-p", "pytest_django.plugin", "-p", "pytest_timeout", "--no-migrations", "--timeout", "400")
BROKEN = ("NameError", "ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "Failed: Timeout")
NOT_READY = "did not happen within"  # a server was too slow: the machine's fault, not the defect's


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, nargs="+", metavar="ATTACK", help="the numbers of some attacks")
    parser.add_argument(
        "--jobs", type=int, default=1, help="defects at once; the test of attack 2 wants a quiet machine"
    )
    options = parser.parse_args()
    chosen = [each for each in DEFECTS if not options.only or each.attack in options.only]
    with ThreadPoolExecutor(max_workers=options.jobs) as pool:
        survived = sum(not caught for caught in pool.map(_report, chosen))
    print(f"{len(chosen) - survived} of {len(chosen)} defects were caught")
    if not survived:
        PAGE.write_text(render(DEFECTS))
    return 1 if survived else 0


def _report(defect: Defect) -> bool:
    """Plant one defect, print what came of it; return whether all of its tests turned red."""
    begun = time.monotonic()
    trouble = _plant(defect)
    took = time.monotonic() - begun
    print(f"{defect.attack:2} {'SURVIVED' if trouble else 'caught  '} {took:4.0f} s  {defect.mistake}", flush=True)
    for line in trouble:
        print(f"     {line}", flush=True)
    return not trouble


def _plant(defect: Defect) -> list[str]:
    """Run the tests of a defect in a copy that has it; return what speaks against its having been caught."""
    with tempfile.TemporaryDirectory(prefix="doorcode-defect-") as folder:
        root = Path(folder) / "doorcode"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for edit in defect.edits:
            (root / edit.file).write_text(edit.apply(root))
        results = Path(folder) / "results.xml"
        names = [str(TESTS / name) for name in defect.caught_by]
        code, output = _run_pytest(root, results, names)
        if code != 1 or not results.exists():  # 1: tests were collected and run, and some failed
            return [f"pytest ended with {code}", *output.splitlines()[-15:]]
        return _judge(ElementTree.parse(results), names)


def _run_pytest(root: Path, results: Path, names: list[str]) -> tuple[int | None, str]:
    """Return pytest's exit code and output; None where it took too long."""
    command = [sys.executable, "-m", "pytest", "-q", *OPTIONS, f"--junitxml={results}", *names]
    # More patience than usual, as a time-out would look like a mistake that was caught. But a bound on a time grows with
    # it, and must stay below what a mistake takes.
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "DOORCODE_ALL": "1", "DOORCODE_PATIENCE": "60"}
    process = subprocess.Popen(
        command, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its servers too
        output, _ = process.communicate()
        return None, output
    return process.returncode, output


def _judge(results: ElementTree.ElementTree, names: list[str]) -> list[str]:
    """The fault of these results: a test that passed, or that failed for another reason than the defect."""
    failed: dict[str, str] = {}
    trouble = []
    for case in results.iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        errors = [error.get("message", "") for error in case.iter("error")]
        trouble += [f"{name}: {error}" for error in errors if "on teardown" not in error]
        for failure in case.iter("failure"):
            failed[name] = failure.get("message", "").splitlines()[0]
            if failed[name].startswith(BROKEN) or NOT_READY in failed[name]:
                trouble.append(f"{name}: {failed[name]}")
    green = [name for name in names if not any(each == name or each.startswith(f"{name}[") for each in failed)]
    return trouble + [f"{name} is green" for name in green]


if __name__ == "__main__":
    sys.exit(main())
