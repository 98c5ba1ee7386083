"""Error reports to Sentry, which patches Django until the process ends: so they are tested in another process."""

import subprocess
import sys

from tests.servers import ENVIRONMENT, ROOT


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
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


def test_without_a_dsn_sentry_is_not_loaded() -> None:
    """It would cost every process its memory."""
    check = "import core.wsgi, sys; assert 'sentry_sdk' not in sys.modules"
    environment = {**ENVIRONMENT, "DEBUG": "true"}
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
