"""The systems side by side: Doorcode, the floors and the peer, on one PostgreSQL, one Redis and one sink."""

import itertools
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.servers import ROOT, EmptyPostgres, Redis, free_port, listens, process, wait_until

from . import load, sink
from .load import Load
from .measure import tree
from .sink import Sink

BUILD = ROOT / "build" / "bench"
PEER = Path(__file__).parent / "peer"
WEB = ("-m", "gunicorn", "-w", "2", "--threads", "8", "--no-control-socket")
PASSWORD = "correct horse b"
PATIENCE = 180.0  # seconds a process may take to start on a machine that does more
UNLIMITED = "1000000/h"  # counted as any other, and never reached: a bench is a crowd


class Database(EmptyPostgres):
    """A cluster that syncs to disk as a deployment's does, and counts statements."""

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        command, options = super().command()
        settings = {
            "fsync": "on",
            "shared_buffers": "512MB",
            "max_connections": "200",
            "max_wal_size": "4GB",
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.track_utility": "on",
        }
        return [*command, *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))], options

    def make(self, template: str = "template1", *, waits: bool = False) -> str:
        """
        Make a database as the one at the URL `template` is. With `waits`, a commit waits for the disk, as deployments
        have it; without, it does not: figures of processor time and rates must not depend on this machine's disk.
        """
        url = self.new_database(template.rpartition("/")[2])
        if not waits:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
        return url


@dataclass
class Site:
    """One system: how to run its processes, and what a visitor does there."""

    name: str
    python: str | Path
    folder: Path
    environment: dict[str, str]
    app: str  # for gunicorn
    port: int = field(default_factory=free_port)
    page: str = ""  # where the form is; empty: none is needed
    path: str = ""
    created: int = 303
    fields: dict[str, str] = field(default_factory=lambda: {"email": "{}@example.com"})
    verify_page: str = ""
    verify: dict[str, str] = field(default_factory=dict)
    verified: int = 303
    code: str = r"^(\d{4,10})\r?$"  # how a mail's code looks
    logs: Path = BUILD / "logs"

    @contextmanager
    def start(self, name: str, *command: str, **environment: str) -> Generator["subprocess.Popen[bytes]"]:
        """Run Python with these arguments, in this system's environment, its output in a log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{self.name}-{name}.log").open("wb") as log:
            env = {"PATH": os.environ["PATH"], **self.environment, **environment}
            with process(self.python, *command, cwd=self.folder, env=env, stdout=log, stderr=log) as running:
                yield running

    @contextmanager
    def web(self, *options: str, **environment: str) -> Generator["subprocess.Popen[bytes]"]:
        command = (*WEB, *options, "-b", f"127.0.0.1:{self.port}", self.app)
        with self.start("web", *command, **environment) as running:
            wait_until(lambda: listens(self.port), f"the web of {self.name}", PATIENCE)
            yield running

    @contextmanager
    def worker(self, app: str, *options: str, name: str = "worker", **env: str) -> Generator["subprocess.Popen[bytes]"]:
        command = ("-m", "celery", "-A", app, "worker", "--loglevel", "INFO", "--hostname", f"{name}@%h", *options)
        with self.start(name, *command, **env) as running:
            log = self.logs / f"{self.name}-{name}.log"
            wait_until(lambda: "ready." in log.read_text(), f"the worker of {self.name}", PATIENCE)
            yield running

    def manage(self, *command: str) -> str:
        admin = ["manage.py"] if self.python == sys.executable else ["-m", "django"]
        env = {"PATH": os.environ["PATH"], **self.environment}
        run = [str(self.python), *admin, *command]
        done = subprocess.run(run, cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []


class Cache(Redis):
    """A Redis with a database for each system."""

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        command, options = super().command()
        return [*command, "--databases", "64"], options


class Rig:
    """The servers of a benchmark. All of them end with it."""

    def __init__(self, stack: ExitStack) -> None:
        self.postgres: Database = stack.enter_context(Database())
        self.redis: Redis = stack.enter_context(Cache())
        self.sink: Sink = stack.enter_context(sink.sink())
        self.load: Load = stack.enter_context(load.generator())
        self._redis_databases = itertools.count(1)
        self._migrated: dict[str, str] = {}  # by kind: an empty database to copy

    def servers(self) -> list[int]:
        """The processes that every system shares and that work for it: PostgreSQL and Redis."""
        return [server.running.pid for server in (self.postgres, self.redis) if server.running]

    def _servers(self) -> dict[str, str]:
        """The environment that names the servers; the database follows."""
        number = next(self._redis_databases)
        return {"REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/{number}", "SINK_PORT": str(self.sink.port)}

    def _migrate(self, site: Site, kind: str, *, waits: bool = False) -> Site:
        """Give a site its own copy of a database that was migrated once."""
        if kind not in self._migrated:
            self._migrated[kind] = site.environment["DATABASE_URL"] = self.postgres.make()
            site.manage("migrate", "--verbosity", "0")
        site.environment["DATABASE_URL"] = self.postgres.make(self._migrated[kind], waits=waits)
        return site

    def doorcode(self, name: str = "doorcode", *, waits: bool = False, **environment: str) -> Site:
        """Doorcode as it is shipped, with limits that count and are not reached, migrated."""
        port = free_port()
        shared = {
            "SECRET_KEY": "a-key-that-only-this-system-knows-0123456789-abcdef",
            "SITE_URL": f"http://127.0.0.1:{port}",
            "EMAIL_URL": self.sink.url,
            "DEFAULT_FROM_EMAIL": "Doorcode <noreply@doorcode.test>",
            "LIMIT_MAILS_SITE": UNLIMITED,
            "TRUSTED_PROXIES": "1",
            **self._servers(),
            **environment,
        }
        site = Site(
            name,
            sys.executable,
            ROOT,
            shared,
            "core.wsgi",
            port,
            page="/signup/",
            path="/signup/",
            verify_page="/signup/verify/",
            verify={"email": "{}@example.com", "username": "{}", "password": PASSWORD, "captcha": "{code}"},
        )
        return self._migrate(site, "doorcode", waits=waits)

    def floor(self, site: Site, kind: str) -> Site:
        """The `bare` or the `full` floor, on the database of a Doorcode."""
        environment = site.environment | {"DJANGO_SETTINGS_MODULE": "tests.bench.floor.settings", "FLOOR": kind}
        page = "/full/" if kind == "full" else ""
        return Site(
            f"floor-{kind}", sys.executable, ROOT, environment, "core.wsgi", page=page, path=f"/{kind}/", created=204
        )

    def peer(self, name: str, *, hashes: bool, mails: str) -> Site:
        """django-allauth; `mails` are sent `inline` or by `celery`."""
        environment = {
            **self._servers(),
            "DJANGO_SETTINGS_MODULE": "peer.settings",
            "PEER_HASHES": "yes" if hashes else "no",
            "PEER_MAILS": mails,
        }
        page = "/accounts/signup/"
        wsgi = "django.core.wsgi:get_wsgi_application()"
        site = Site(
            name,
            peer_python(),
            PEER.parent,
            environment,
            wsgi,
            page=page,
            path=page,
            created=302,
            fields={"email": "{}@example.com", "username": "{}", "password1": PASSWORD},
            verify_page="/accounts/confirm-email/",
            verify={"code": "{code}"},
            verified=302,
            code=r"^([A-Z0-9]{3,5}-[A-Z0-9]{3,5}|[A-Z0-9]{6,8})\r?$",
        )
        return self._migrate(site, "peer")

    def broker(self, site: Site) -> "redis.Redis":
        return redis.Redis.from_url(site.environment["REDIS_URL"])


@contextmanager
def rig() -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack)


def peer_python() -> Path:
    """The Python of the peer's own venv, made once under build/."""
    folder, wanted = BUILD / "peer-venv", (PEER / "requirements.txt").read_text()
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("making the peer's virtual environment …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PEER / "requirements.txt"]
        subprocess.run([folder / "bin" / "python", *install], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def pids(rig: Rig, *running: "subprocess.Popen[bytes]") -> list[int]:
    """The roots of all processes that work for a system."""
    return [*rig.servers(), *(each.pid for each in running)]


def freeze(root: int, signal: int) -> None:
    """Send SIGSTOP or SIGCONT to a process and all its descendants."""
    for pid in tree([root]):
        os.kill(pid, signal)


def visits(names: Sequence[str], **fields: str) -> list[tuple[str, dict[str, str]]]:
    """One visit for each name; "{}" in a field stands for the name."""
    return [(name, {key: value.replace("{}", name) for key, value in fields.items()}) for name in names]
