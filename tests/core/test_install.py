"""Installation: complete locks with hashes, by one command that resolves nothing, with any pip."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT

LOCKS = ("base", "demo", "dev")  # each holds all of the one before it
SERVICES = ("anymail", "ses")  # base, and what mail services need
OLDEST_PIP = "pip==23.0.1" if sys.version_info < (3, 12) else None  # Debian 12's; else the one that comes with Python
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def lock_text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pins(lock: str) -> dict[str, str]:
    """Name and version of what a lock has for this Python on this system."""
    lines = [Requirement(line) for line in re.findall(r"^(\S+==.*?) \\$", lock_text(lock), re.MULTILINE)]
    here = [pin for pin in lines if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


def wanted(lock: str) -> list[Requirement]:
    """The requirements in pyproject.toml."""
    groups, extras = PROJECT["dependency-groups"], PROJECT["project"]["optional-dependencies"]
    more = resolve_dependency_groups(groups, lock) if lock in groups else extras.get(lock, ())
    if lock == "dev":
        more = (*more, *extras["anymail"])
    return [Requirement(str(line)) for line in (*PROJECT["project"]["dependencies"], *more)]


def needs(package: Requirement) -> Iterable[Requirement]:
    """The requirements of an installed package here, with the wanted extras."""
    for need in map(Requirement, metadata.requires(package.name) or []):
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *package.extras)):
            yield need


def walk(lock: str) -> dict[str, list[Requirement]]:
    """Everything that the wanted packages lead to, by name: each requirement on it."""
    pinned, found, todo = pins(lock), {}, wanted(lock)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        known = found.setdefault(name, [])
        if not any(requirement.extras <= other.extras for other in known) and name in pinned:
            todo += needs(requirement)
        known.append(requirement)
    return found


def run(*command: str | Path, **environment: str) -> str:
    """Run a command at the root; return its output, and fail with it."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("lock", [*LOCKS, *SERVICES])
def test_every_pin_has_hashes_and_no_line_names_an_index(lock: str) -> None:
    """No line is a URL or an option either."""
    pinned = re.findall(r"^\S+==.*\\\n    --hash=sha256:[0-9a-f]{64}", lock_text(lock), re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[^\s#]", lock_text(lock), re.MULTILINE)) > 30
    assert "://" not in lock_text(lock)
    assert "index" not in lock_text(lock)


@pytest.mark.parametrize("lock", [*LOCKS, "anymail"])
def test_a_lock_has_all_that_its_packages_require_and_nothing_else(lock: str) -> None:
    """It is installed without resolving, so nothing else would bring what it lacks: markers and extras count."""
    pinned, found = pins(lock), walk(lock)
    assert sorted(found) == sorted(pinned)
    refused = [
        f"{requirement} is pinned to {pinned[name]}"
        for name, requirements in found.items()
        for requirement in requirements
        if not requirement.specifier.contains(pinned[name], prereleases=True)
    ]
    assert refused == []
    del pinned["django"]  # `make test-all` puts a newer one in its place
    assert {name: metadata.version(name) for name in pinned} == pinned  # so it was the pins' metadata that we read


def test_the_locks_agree() -> None:
    """The demo has the pins of production, and the tests run on those of the demo: one environment serves all."""
    assert pins("base").items() < pins("demo").items() < pins("dev").items()
    assert pins("base").items() < pins("anymail").items() < pins("dev").items()
    assert pins("anymail").items() < pins("ses").items()


def test_whatever_installs_a_lock_resolves_nothing() -> None:
    """Makefile, image, docs and CI: a resolver of some version would leave a pin sooner or later."""
    files = [ROOT / name for name in ("Makefile", "Dockerfile", ".ci/run")]
    files += [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    lines = [line for path in files for line in path.read_text().splitlines()]
    commands = [line for line in lines if re.search(r"\bpip3? install\b.* -r ", line)]
    assert len(commands) >= 3
    assert [line for line in commands if "--no-deps --require-hashes" not in line] == []


def test_the_readmes_say_which_python_and_nothing_about_pip() -> None:
    """A Python that the project takes, as pyproject.toml has it."""
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    for name in ("README.md", "README.zh-Hans.md"):
        text = (ROOT / name).read_text()
        assert f"Python {oldest}" in text
        assert not re.search(r"\bpip\b", text)


OF_ANOTHER_PROJECT = {
    "DJANGO_SETTINGS_MODULE": "shop.settings",  # which pytest-django would prefer to its setting in pyproject.toml
    "DEBUG": "maybe",
    "BROKER_URL": "amqp://shop",
    "CELERY_LOADER": "shop",
    "PGSERVICE": "shop",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}


def test_what_a_shell_has_set_for_another_project_reaches_no_test(tmp_path: Path) -> None:
    """Nor what the deployment checks of `make check` look at."""
    test = tmp_path / "test_it.py"
    test.write_text(f"import os\n\ndef test_it():\n    assert not {OF_ANOTHER_PROJECT}.items() & os.environ.items()\n")
    run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "pyproject.toml", test, **OF_ANOTHER_PROJECT)
    recipes = run("make", "--no-print-directory", "--dry-run", "check", f"VENV={sys.prefix}")
    run("sh", "-c", recipes[recipes.rindex("env ") :], **OF_ANOTHER_PROJECT)


@pytest.mark.parametrize(("given", "port"), [({}, 8000), ({"PORT": ""}, 8000), ({"PORT": "8080"}, 8080)])
def test_the_demo_has_a_port_by_default(given: dict[str, str], port: int) -> None:
    """Also where the shell has an empty PORT."""
    recipe = run("make", "--no-print-directory", "--dry-run", "demo", f"VENV={sys.prefix}", **given)
    assert f"--port {port} " in recipe


def test_make_reads_files_as_utf_8_in_any_locale(tmp_path: Path) -> None:
    """In zh_CN.GBK or en_US (Latin-1) `make messages` would spoil catalogues, and `make test` fail."""
    rule = tmp_path / "Makefile"
    rule.write_text("mode: ; @$(BIN)/python -c 'import sys; print(sys.flags.utf8_mode)'")
    make = ("make", "--silent", "-f", "Makefile", "-f", rule, "mode", f"VENV={sys.prefix}")
    assert run(*make, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0") == "1\n"


MAKE = ("make", "--silent", f"PYTHON={sys.executable}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment as the Makefile makes it, with the pip that comes with Python."""
    folder = tmp_path_factory.mktemp("environment") / "made"
    run(*MAKE, f"VENV={folder}", folder / "bin" / "pip")
    return folder


@pytest.fixture
def venv(made: Path, tmp_path: Path) -> Path:
    """That of a copied checkout: its scripts name the Python of the place where it was made."""
    return shutil.copytree(made, tmp_path / "copied", symlinks=True)


def upgrade_pip(venv: Path, pip: str) -> None:
    run(venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--upgrade", pip)


@pytest.mark.index
@pytest.mark.xdist_group("install")
@pytest.mark.timeout(900)
def test_each_lock_installs_and_is_enough(made: Path, venv: Path) -> None:
    """
    One after the other into one environment, by the Makefile's own command: each adds its own, and touches no file. By
    the same command the environment of the tests themselves has the third.
    """
    make, python = (*MAKE, f"VENV={venv}"), venv / "bin" / "python"
    if OLDEST_PIP:
        upgrade_pip(venv, OLDEST_PIP)
    settings = {"SECRET_KEY": "", "DEBUG": "true", "DEMO": "true", "DJANGO_SETTINGS_MODULE": "core.settings"}
    written: dict[Path, int] = {}
    for lock in ("base", "demo"):
        run(*make, venv / f".{lock}")
        packages = json.loads(run(python, "-m", "pip", "list", "--format=json"))
        installed = {canonicalize_name(each["name"]): each["version"] for each in packages}
        assert {name: installed[name] for name in installed if name not in {"pip", "setuptools"}} == pins(lock)
        run(python, "-m", "pip", "check")
        run(python, "manage.py", "check", **settings)
        before, written = written, {path: path.stat().st_mtime_ns for path in venv.glob("lib/*/site-packages/*/RECORD")}
        assert before.items() <= written.items()
    assert not [*made.glob("lib/*/site-packages/django")]
    run(python, "-c", "import django; django.setup(); import signup.demo.system", **settings)
    (venv / ".demo").unlink()
    run(*make, venv / ".demo", PIP_NO_INDEX="1", PIP_FIND_LINKS="")  # all is there already


@pytest.mark.index
@pytest.mark.xdist_group("install")
@pytest.mark.timeout(900)
def test_the_newest_pip_takes_every_line(venv: Path, tmp_path: Path) -> None:
    """It reads the largest lock, finds each package and its hash right, and would install just that."""
    upgrade_pip(venv, "pip")
    report = tmp_path / "report.json"
    run(*MAKE, f"VENV={venv}", venv / ".dev", PIP_DRY_RUN="1", PIP_REPORT=str(report))
    found = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    assert {canonicalize_name(each["name"]): each["version"] for each in found} == pins("dev")


@pytest.mark.index
@pytest.mark.xdist_group("install")
@pytest.mark.timeout(900)
def test_the_oldest_releases_that_are_allowed_fit_together_and_have_what_is_called(venv: Path) -> None:
    """Other projects install by the ranges of pyproject.toml, beside packages that hold some of these back."""
    python = venv / "bin" / "python"
    ranges = [
        re.sub(r"(?:>=|==)([\d.]+).*", r"==\1.*", line)
        for line in (*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["anymail"])
    ]
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", *ranges)
    settings = {"SECRET_KEY": "", "DEBUG": "true", "DEMO": "true", "DJANGO_SETTINGS_MODULE": "core.settings"}
    run(python, "manage.py", "check", **settings)
    call = "from core import email_addresses; email_addresses.canonical('jane@gmail.com')"
    run(python, "-c", f"import django; django.setup(); {call}", **settings)
