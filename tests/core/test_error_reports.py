"""Error reports to Sentry, which patches Django until the process ends: so they are tested in another process."""

import subprocess
import sys

from tests.servers import ROOT


def test_reports_contain_no_values() -> None:
    """tests/core/error_reports.py, whole."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/core/error_reports.py",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout
