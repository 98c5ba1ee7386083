"""Real servers for tests: Redis, PostgreSQL, an SMTP catcher, and Doorcode's own processes; all on 127.0.0.1."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import requests
from aiosmtpd.controller import Controller

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = float(os.environ.get("DOORCODE_PATIENCE", "30"))  # seconds until a server must answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE, pause: float = 0.02) -> Any:
    """Return the first true value of `condition`; fail after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"{what} did not happen within {patience:.0f} s")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command; end it, and it alone, by its pid."""
    running = subprocess.Popen([str(part) for part in command], **options)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


class Server:
    """A server process on a port of its own, that can be killed, frozen and started again."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.running: subprocess.Popen[bytes] | None = None

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        """What to run, and how."""
        raise NotImplementedError

    def answers(self) -> bool:
        return listens(self.port)

    def start(self) -> None:
        command, options = self.command()
        self.running = subprocess.Popen([str(part) for part in command], **options)
        wait_until(self.answers, type(self).__name__)

    def send(self, number: signal.Signals) -> None:
        assert self.running
        self.running.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.running and self.running.poll() is None:
            self.running.send_signal(signal.SIGCONT)
            self.running.send_signal(number)
            try:
                self.running.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.running.kill()
                self.running.wait()
        self.running = None

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Redis(Server):
    """A Redis without persistence: a restart loses everything in it."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        return ["redis-server", *options], {"stdout": subprocess.DEVNULL, "cwd": tempfile.gettempdir()}


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    on_path = shutil.which("postgres")
    return found[0].parent if found else Path(on_path).parent if on_path else None


class Postgres(Server):
    """A PostgreSQL cluster of its own, unsafe and fast. It refuses to run as root."""

    def __init__(self) -> None:
        super().__init__()
        found = postgres_binaries()
        assert found, "PostgreSQL is not on this machine"
        self.binaries, self.folder = found, Path(tempfile.mkdtemp(prefix="doorcode-pg-"))
        self.options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = next(name for name in ("postgres", "nobody") if name in names)
            shutil.chown(self.folder, user)
            self.options |= {"user": user, "extra_groups": []}
        self._made = 0

    @property
    def url(self) -> str:
        return f"postgres://doorcode@127.0.0.1:{self.port}"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        data = self.folder / "data"
        if not data.exists():
            initdb = [self.binaries / "initdb", "-D", data, "-U", "doorcode", "-A", "trust"]
            subprocess.run(initdb, check=True, **self.options)
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", "-D", data, *flags], self.options

    def answers(self) -> bool:
        try:
            psycopg.connect(f"{self.url}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self) -> str:
        """Make a database; return its URL."""
        self._made += 1
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE doorcode{self._made}")
        return f"{self.url}/doorcode{self._made}"

    def __exit__(self, *exc: object) -> None:
        self.stop(signal.SIGINT)  # fast shutdown: it does not wait for clients
        shutil.rmtree(self.folder, ignore_errors=True)


class MailServer:
    """An SMTP server that keeps every mail."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
        mail.recipients = envelope.rcpt_tos
        self.mails.append(mail)
        return "250 OK"

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if address in mail.recipients]

    def wait_for(self, address: str, *, number: int = 1) -> EmailMessage:
        """Return the `number`-th mail to an address, once it is there."""
        return wait_until(lambda: self.to(address)[number - 1 : number], f"mail {number} to {address}")[0]

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._controller.stop()

    def code(self, address: str, *, number: int = 1) -> str:
        """Return the code in the `number`-th mail to an address, once it is there."""
        return code_in(self.wait_for(address, number=number))


NO_LIMITS = dict.fromkeys(  # all visitors of a test share one network; tests about limits have the defaults back
    [
        "LIMIT_GUESSES_SITE",
        "LIMIT_MAILS_MAILBOX",
        "LIMIT_MAILS_SITE",
        "LIMIT_REQUESTS_NETWORK",
        "LIMIT_VERIFY_NETWORK",
        "LIMIT_LOGIN_NETWORK",
        "LIMIT_LOGIN_PAIR",
        "LIMIT_LOGIN_ACCOUNT",
    ],
    "",
)


class System:
    """Doorcode as production runs it: gunicorn and a Celery worker, configured by the environment alone."""

    def __init__(self, *, database: str, redis: str, mail: Any, logs: Path, **environment: str) -> None:
        self.port, self.mail, self.logs = free_port(), mail, logs
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "DEBUG": "false",
            "SECRET_KEY": "a-key-that-only-this-system-knows-0123456789-abcdef",
            "SITE_URL": self.url,
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "EMAIL_URL": mail.url,
            "DEFAULT_FROM_EMAIL": "Doorcode <noreply@doorcode.test>",
            **NO_LIMITS,
            **environment,
        }

    @contextmanager
    def run(self, *, worker: bool = True) -> Iterator["System"]:
        """Migrate, and start the web and, if wanted, a worker."""
        self.manage("migrate", "--verbosity", "0")
        web = ("-m", "gunicorn", "core.wsgi", "-b", f"127.0.0.1:{self.port}", "-w", "2", "--threads", "8")
        with self.start("web", *web), self.worker() if worker else nullcontext():
            wait_until(lambda: listens(self.port), "gunicorn")
            yield self

    @contextmanager
    def worker(self, name: str = "worker", *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a Celery worker, by `command` if given, and wait until it is ready."""
        options = ("worker", "--concurrency", "4", "--hostname", f"{name}@%h")
        command = command or ("-m", "celery", "-A", "worker")
        with self.start(name, *command, *options, **environment) as running:
            wait_until(lambda: "ready." in self.log(name), f"the worker {name}")
            yield running

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    @contextmanager
    def start(self, name: str, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run Python with these arguments, in this system's environment, its output in a log."""
        with (self.logs / f"{name}.log").open("wb") as log:
            env = self.environment | environment
            with process(sys.executable, *command, cwd=ROOT, env=env, stdout=log, stderr=log) as running:
                yield running

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the PostgreSQL database."""
        with psycopg.connect(self.environment["DATABASE_URL"], connect_timeout=5) as connection:
            return connection.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        """Change the PostgreSQL database."""
        with psycopg.connect(self.environment["DATABASE_URL"], connect_timeout=5) as connection:
            connection.execute(statement)


class Visitor:
    """A browser without a screen: cookies, forms, no redirect followed by itself."""

    def __init__(self, url: str, *, language: str = "en") -> None:
        self.url, self.session = url, requests.Session()
        self.session.headers["Accept-Language"] = language

    def fresh(self) -> "Visitor":
        """Another browser of the same person, over the same kept connection."""
        self.session.cookies.pop("doorcode_signup", None)
        return self

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, allow_redirects=False, timeout=30)

    def post(self, path: str, **fields: str) -> requests.Response:
        if "csrftoken" not in self.session.cookies:
            self.get("/signup/")
        token = {"X-CSRFToken": self.session.cookies["csrftoken"]}
        return self.session.post(self.url + path, data=fields, headers=token, allow_redirects=False, timeout=30)


def code_in(mail: EmailMessage) -> str:
    """The code of a mail: alone on a line of its text."""
    lines = mail.get_body(("plain",)).get_content().splitlines()
    return next(line for line in lines if line.isdigit())


def link_in(mail: EmailMessage) -> str:
    """The link of a mail, as a path."""
    lines = mail.get_body(("plain",)).get_content().splitlines()
    link = next(line for line in lines if "/signup/link/" in line)
    return "/" + link.split("/", 3)[3]
