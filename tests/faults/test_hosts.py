"""Hosts that are cut off: two of the faults of `make hosts`, which has them all, and a database that never answers."""

import subprocess
import sys

import pytest

from tests.servers import ROOT

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.netns]


@pytest.mark.nginx
def test_a_host_that_is_cut_off_loses_no_mail() -> None:
    """A worker's costs no request; PostgreSQL's costs 503 with Retry-After, and it is well again by itself."""
    faults = ["--only", "worker-1 cut off", "--only", "postgresql cut off"]
    command = [sys.executable, "-m", "tests.faults.hosts", *faults, "--seconds", "3", "--throughput", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert done.stdout.count(" cut off |") == 2


def test_no_side_waits_for_one_that_is_gone() -> None:
    """
    PostgreSQL's host took the query and acknowledged it, so nothing is left to repeat: TCP has to ask whether it is there.
    So has PostgreSQL's own side about a web that is gone in a transaction, as others wait for its locks.
    """
    command = [sys.executable, "-m", "tests.faults.gone"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    query, locks = map(float, done.stdout.split())
    assert 5 < query < 20
    assert 5 < locks < 20  # by idle_in_transaction_session_timeout alone it would be 30
