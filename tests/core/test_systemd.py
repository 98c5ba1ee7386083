"""The units of docs/examples/systemd: systemd takes them, they may do little, and stop in time. No systemd has to run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gunicorn.config import GracefulTimeout

from tests.core.test_deployment import COMPOSE, DOCKERFILE
from tests.servers import ROOT
from worker import smtp

FOLDER = ROOT / "docs" / "examples" / "systemd"
COMMON = (FOLDER / "doorcode-.service.d" / "common.conf").read_text()
UNITS = {name: (FOLDER / f"doorcode-{name}.service").read_text() for name in ("web", "worker@", "beat")}


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units, as `systemctl enable` finds them, but for the folder of the programs."""
    folder = shutil.copytree(FOLDER, tmp_path / "units")
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace("/srv/doorcode/venv/bin", str(Path(sys.executable).parent)))
    (folder / "doorcode-worker@1.service").symlink_to("doorcode-worker@.service")
    return [folder / f"doorcode-{name}.service" for name in ("web", "worker@1", "beat")]


def analyze(*arguments: str | Path) -> str:
    """systemd-analyze's output, or its complaints."""
    done = subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.systemd
def test_systemd_has_no_complaint(installed: list[Path]) -> None:
    """Neither about a unit, nor about what they have in common, nor about a program that is not there."""
    said = analyze("verify", "--man=no", *installed).splitlines()  # perhaps about units of the machine too
    assert [line for line in said if "doorcode-" in line] == []


@pytest.mark.systemd
def test_systemd_rates_the_units_as_barely_exposed(installed: list[Path]) -> None:
    """Below 2 of 10; a service without any of the options has 9.6."""
    for unit in installed:
        assert "OK" in analyze("security", "--offline=true", "--threshold=20", unit)


def test_a_unit_runs_the_command_of_its_container() -> None:
    """Of the image, and of docker-compose.yml. A worker has a name too, as two of them run on one machine."""
    commands = {
        name: re.search(r"^ExecStart=/srv/doorcode/venv/bin/(.+)$", text, re.MULTILINE)[1]
        for name, text in UNITS.items()
    }
    [image] = re.findall(r"^CMD \[(.+)\]$", DOCKERFILE, re.MULTILINE)
    assert commands["web"].split()[:3] == re.findall(r'"([^"]+)"', image)[:3]
    for name in ("worker@", "beat"):
        service = COMPOSE["services"][name.rstrip("@")]
        assert commands[name].split()[:5] == service["command"]


def test_a_unit_says_only_what_is_its_own() -> None:
    """All else is in one file for all of them."""
    said = {line.partition("=")[0] for text in UNITS.values() for line in text.splitlines() if "=" in line}
    counts = {"RuntimeDirectory", "Environment"}  # of the web: a folder in which its processes count together
    assert said == {"Description", "Requires", "ExecStart", "WantedBy", *counts}


def test_the_web_restarts_while_systemd_holds_its_port() -> None:
    """It is the port of the container and of the proxies' examples. A reload would mix two releases in one process."""
    socket = (FOLDER / "doorcode-web.socket").read_text()
    assert "ListenStream=127.0.0.1:8000\n" in socket
    assert "--bind 127.0.0.1:8000" in UNITS["web"]
    assert "ExecReload" not in "".join(UNITS.values())


def test_the_lines_that_install_a_release_leave_the_environment_alone() -> None:
    """They are run again for each release, by then with an environment that has secrets."""
    page = (ROOT / "docs" / "how-to" / "deploy-systemd.md").read_text()
    [block] = [each for each in re.findall(r"^```sh\n(.+?)^```", page, re.MULTILINE | re.DOTALL) if "git clone" in each]
    assert "/etc/" not in block


def test_the_port_may_be_on_an_address_that_comes_up_later() -> None:
    """deploy.md binds it to a private network for a proxy elsewhere; at the boot sockets come before the network."""
    assert "\nFreeBind=yes\n" in (FOLDER / "doorcode-web.socket").read_text()


def test_stopping_takes_longer_than_a_request_or_a_mail() -> None:
    """The web ends the requests that it has, a worker its mails."""
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", COMMON, re.MULTILINE)
    assert int(seconds) > max(GracefulTimeout.default, smtp.DEADLINE) + 10
    assert "\nKillMode=mixed\n" in COMMON
