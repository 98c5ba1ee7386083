"""Several processes collect the suite, and must find the same tests."""

import subprocess
import sys
import time

from tests.servers import ROOT

COLLECT = ["-m", "pytest", "--collect-only", "--quiet", "-n0", "-pno:cacheprovider", "-pno:randomly"]


def collect() -> list[str]:
    """The ids of all tests, in their order, as a new process collects them."""
    done = subprocess.run([sys.executable, *COLLECT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_two_processes_collect_the_same_tests() -> None:
    """No id or order depends on time, chance or a hash: pytest-xdist refuses to run different collections."""
    first = collect()
    time.sleep(1)  # signatures hold the time in seconds
    assert len(first) > 1_000
    assert first == collect()
