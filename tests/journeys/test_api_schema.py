"""schemathesis at the running API: whatever the schema allows, and whatever it does not."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, MailServer, Postgres, Redis, System

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

ERIN = """
from signup.models import User
User.objects.create_user(email="erin-schema@example.com", username="erin", password="correct horse b")
"""
# No schema can describe valid codes, names and passwords, so data that fits it may be refused.
NOT_FOR_US = "positive_data_acceptance"


@pytest.fixture
def system(postgres: Postgres, tmp_path: Path) -> Iterator[System]:
    """A system of its own, as other tests use the addresses of the examples."""
    with Redis() as redis, MailServer() as mail:
        system = System(database=postgres.migrated_database(), redis=redis.url, mail=mail, logs=tmp_path)
        with system.run() as running:
            yield running


def test_the_api_keeps_to_its_schema(system: System, tmp_path: Path) -> None:
    """By examples, edges, random data and walks along its links: only answers that the schema has, and no 500."""
    system.shell(ERIN)
    command = ["run", f"{system.url}/api/schema/", "--checks", "all", "--exclude-checks", NOT_FOR_US, "--no-color"]
    bounds = ["--max-examples", "15", "--seed", "1", "--generation-deterministic"]
    done = subprocess.run(
        [Path(sys.executable).parent / "st", *command, *bounds],
        cwd=tmp_path,  # no configuration of a developer's own
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DOORCODE": system.url}
        | {"SCHEMATHESIS_HOOKS": "tests.journeys.hooks"},
        capture_output=True,
        text=True,
    )
    assert re.search(r"API Links:\s+[4-7] covered", done.stdout), done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in system.log("web")
