"""Settings, their page in the docs, and the deployment files agree."""

import re
import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kombu
import pytest
import redis
import yaml
from django.utils.translation import to_locale

from core import settings
from core.env import SECRETS
from tests.servers import ROOT, Redis

OWN = {"DEBUG", "DEMO", "DEMO_DATA", "CELERY_BROKER_URL"}  # not for this deployment, or following from another
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()

GUNICORN = str(ROOT / "gunicorn.conf.py")


def read_by_settings() -> set[str]:
    return set(re.findall(r'env\.\w+\(\s*"(\w+)"', (ROOT / "core" / "settings.py").read_text()))


def test_the_docs_list_every_variable_with_its_default() -> None:
    """Neither more nor fewer; numbers and booleans as the settings have them."""
    page = (ROOT / "docs" / "reference" / "environment.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE))
    assert set(rows) == read_by_settings()
    source = (ROOT / "core" / "settings.py").read_text()
    plain = re.findall(r'env\.(?:int|bool)\("(\w+)", default=(\w+)\)', source)
    shown = {name: rows[name].strip("` ") for name, _ in plain}
    assert shown == {name: default.lower().replace("_", "") for name, default in plain}


def test_compose_passes_every_variable() -> None:
    """An operator can set each of them in `.env`, and the number of gunicorn's processes."""
    assert set(COMPOSE["x-doorcode"]["environment"]) == read_by_settings() - OWN | {"WEB_CONCURRENCY"}


def test_compose_builds_with_any_lock() -> None:
    """`REQUIREMENTS` in `.env` chooses it, as the image's build argument does; without it both take the same."""
    arguments = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert COMPOSE["x-doorcode"]["build"]["args"] == {name: f"${{{name}:-{lock}}}" for name, lock in arguments}
    assert (ROOT / "requirements" / dict(arguments)["REQUIREMENTS"]).exists()


def test_compose_publishes_nothing_but_the_web() -> None:
    """The web to this machine alone; PostgreSQL and Redis have passwords and no port, and Redis evicts no message."""
    ports = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert set(ports) == {"web", "mailpit"}
    assert all(port.startswith("127.0.0.1:") for each in ports.values() for port in each)
    command = COMPOSE["services"]["redis"]["command"]
    assert command[command.index("--requirepass") + 1].startswith("${REDIS_PASSWORD:?")
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert COMPOSE["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")


class GuardedRedis(Redis):
    """A Redis whose password is "secret"."""

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        command, options = super().command()
        return [*command, "--requirepass", "secret"], options


@pytest.mark.redis
@pytest.mark.parametrize("source", ["docker-compose.yml", "docs/production.env", "docs/how-to/scale-out.md"])
def test_our_clients_and_redis_cli_take_the_same_url(source: str) -> None:
    """The runbook hands REDIS_URL to redis-cli, which sends an empty user where the URL names none."""
    form = re.search(r"REDIS_URL[=:] ?rediss?(://\S*:)(?:secret|\$\{.+\})@", (ROOT / source).read_text())[1]
    with GuardedRedis() as server:
        url = f"redis{form}secret@127.0.0.1:{server.port}/0"
        assert redis.Redis.from_url(url).ping()
        kombu.Connection(url).ensure_connection(max_retries=1, timeout=5)
        done = subprocess.run(["redis-cli", "-u", url, "ping"], capture_output=True, text=True)
        assert done.stdout == "PONG\n"


@pytest.mark.parametrize("name", ["web", "worker", "beat", "migrate"])
def test_our_containers_are_read_only_and_stop_gently(name: str) -> None:
    """Stopping takes longer than a send."""
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert int(service["stop_grace_period"].removesuffix("s")) > 35


def test_a_roll_out_with_compose_replaces_the_web_after_migrate_and_alone() -> None:
    """
    `up` stops all containers that it replaces before it starts one: with `migrate` or a worker in the same command, the
    web would be gone until these have ended.
    """
    page = (ROOT / "docs" / "how-to" / "deploy-compose.md").read_text().partition("## Roll out a new version")[2]
    steps = re.findall(r"^docker compose (run|up) (?:--\S+ )+(.+)$", page, re.MULTILINE)
    assert steps == [("run", "migrate"), ("up", "worker beat"), ("up", "web")]


@pytest.mark.parametrize(
    ("page", "worker", "web"),
    [
        ("deploy", "Restart workers", "Restart the web"),
        ("deploy-systemd", "systemctl restart doorcode-worker@1", "systemctl restart doorcode-web"),
    ],
)
def test_a_roll_out_restarts_the_workers_first(page: str, worker: str, web: str) -> None:
    """They must understand what the new web posts: a worker of 0.2.0 would drop its password resets."""
    steps = (ROOT / "docs" / "how-to" / f"{page}.md").read_text().partition("## Roll out a new version")[2]
    assert 0 < steps.index(worker) < steps.index(web)


def test_every_service_of_ours_is_watched_or_ends() -> None:
    """The web by the image's own check, workers by a ping; beat listens to no port, and migrate ends."""
    services = COMPOSE["services"]
    assert "HEALTHCHECK" in DOCKERFILE
    assert "healthcheck" not in services["web"]
    assert "inspect ping" in services["worker"]["healthcheck"]["test"][1]
    assert services["migrate"]["restart"] == "no"
    assert services["mailpit"]["profiles"] == ["development"]
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_a_secret_may_be_a_file_of_the_image() -> None:
    """The docs' page names the file variable of each secret."""
    page = (ROOT / "docs" / "reference" / "environment.md").read_text()
    assert [name for name in SECRETS if f"`{name}_FILE`" not in page] == []
    assert set(SECRETS) <= read_by_settings()


def test_the_image_has_all_it_needs_and_does_not_run_as_root() -> None:
    """Each folder of the product is copied, and ignored by nothing."""
    copied = {name for line in re.findall(r"^COPY (\w.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    product = {"manage.py", "gunicorn.conf.py", "core", "verification", "worker", "signup", "templates", "locale"}
    assert copied == product | {"requirements/"}
    assert product | {"requirements"} == kept
    assert "\nUSER doorcode\n" in DOCKERFILE


def test_the_docs_production_environment_is_enough() -> None:
    """docs/production.env names known variables, and no deployment check complains (make check runs it)."""
    lines = (ROOT / "docs" / "production.env").read_text().splitlines()
    names = {line.split("=")[0] for line in lines if line and not line.startswith("#")}
    assert names <= read_by_settings()


@pytest.mark.parametrize("source", ["docs/production.env", "docs/examples/kubernetes/secret.yaml"])
def test_no_service_on_another_machine_is_used_without_proof_of_its_name(source: str) -> None:
    """By the examples. The driver's wheel finds no authority by itself: `verify-full` alone, or `system`, fails."""
    text = (ROOT / source).read_text()
    urls = dict(re.findall(r"^ *(DATABASE|REDIS|EMAIL)_URL[=:] ?(\S+)$", text, re.MULTILINE))
    assert urls["DATABASE"].endswith("?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt")
    assert urls["REDIS"].startswith("rediss://")
    assert urls["EMAIL"].startswith("smtp+tls://")


def test_every_language_has_a_catalogue() -> None:
    """Every offered language has its texts."""
    folders = {path.parent.parent.name for path in (ROOT / "locale").glob("*/*/django.mo")}
    assert folders == {to_locale(code) for code, _ in settings.LANGUAGES}


def test_no_file_of_the_repository_is_only_for_one_machine() -> None:
    """No absolute path of a developer's machine in tracked files."""
    in_checkout = (ROOT / ".git").exists()  # an export has no list of tracked files
    command = ["git", "ls-files"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=in_checkout).stdout.split()
    texts = [ROOT / name for name in files if name.endswith((".py", ".toml", ".md", ".txt", ".yml", "Makefile"))]
    assert [path.name for path in texts if re.search(r"/(home|Users|work|root)/\w", path.read_text())] == []


def test_no_hash_is_used_that_fips_leaves_out() -> None:
    """A RHEL in FIPS mode refuses the others, and no mail would be claimed."""
    sources = [path for app in ("core", "verification", "worker", "signup") for path in (ROOT / app).rglob("*.py")]
    assert len(sources) > 100
    assert [path.name for path in sources if re.search(r"\b(md5|blake2[bs])\b", path.read_text())] == []


def test_a_checkout_has_the_line_ends_of_the_repository(tmp_path) -> None:
    """Git for Windows, whose checkouts WSL sees, would write CRLF, and no script would start."""
    git = ["git", "-c", "core.autocrlf=true", "checkout-index", f"--prefix={tmp_path}/", "manage.py", ".ci/run"]
    subprocess.run(git, cwd=ROOT, capture_output=True, check=(ROOT / ".git").exists())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and b"\r" in path.read_bytes()] == []


def test_gunicorn_refuses_to_start_without_a_process(monkeypatch) -> None:
    """By the variable's name: it would listen, and answer nobody."""
    monkeypatch.setenv("WEB_CONCURRENCY", "0")
    with pytest.raises(SystemExit, match="WEB_CONCURRENCY must be a number from 1 on"):
        runpy.run_path(GUNICORN)


def test_a_folder_for_counts_that_cant_be_used_refuses_to_start(monkeypatch, tmp_path) -> None:
    """No request would be counted."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "file"))
    with pytest.raises(SystemExit, match="PROMETHEUS_MULTIPROC_DIR can't be used"):
        runpy.run_path(GUNICORN)


def test_a_machine_without_a_temporary_folder_is_told_so(monkeypatch, tmp_path) -> None:
    """As a container that is read-only and has no /tmp."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="PROMETHEUS_MULTIPROC_DIR can't be used"):
        runpy.run_path(GUNICORN)


def master(shared: str = "", **others: int) -> SimpleNamespace:
    """gunicorn's master; `others`, its parent or child during an upgrade, have the folder `shared` too."""
    environment = SimpleNamespace(env_orig={"PROMETHEUS_MULTIPROC_DIR": shared})
    return SimpleNamespace(**{"master_pid": 0, "reexec_pid": 0, "cfg": environment} | others)


def test_gunicorn_deletes_its_counts_and_nothing_else(monkeypatch, tmp_path) -> None:
    """At its end, of the folder that an operator named, which may be /tmp; its own folder goes, after reloads too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # as if unset, and unset again after the test
    runpy.run_path(GUNICORN)
    runpy.run_path(GUNICORN)["on_exit"](master())
    assert list(tmp_path.iterdir()) == []
    named = tmp_path / "new" / "counts"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(named))
    settings = runpy.run_path(GUNICORN)
    for name in ("counter_7.db", "letter.txt"):
        (named / name).write_text("")
    settings["on_exit"](master())
    assert [path.name for path in named.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("other", ["master_pid", "reexec_pid"])
def test_the_counts_of_an_upgraded_gunicorn_stay(monkeypatch, tmp_path, other: str) -> None:
    """After USR2 the old master ends, or the new one where it can't start. They share a folder that was named."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    settings = runpy.run_path(GUNICORN)
    (tmp_path / "counter_7.db").write_text("")
    settings["on_exit"](master(str(tmp_path), **{other: 7}))
    assert [path.name for path in tmp_path.iterdir()] == ["counter_7.db"]
    settings["on_exit"](master(**{other: 7}))  # the other has a folder of its own
    assert not list(tmp_path.iterdir())
