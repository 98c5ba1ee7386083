"""Real servers for tests: Redis, PostgreSQL, an SMTP catcher, and Doorcode's own processes; all on 127.0.0.1."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import requests
from aiosmtpd.controller import Controller

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds until a server must answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return the first true value of `condition`; fail after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
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


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis without persistence; gives its URL."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with process("redis-server", *options, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir()):
        wait_until(lambda: listens(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    on_path = shutil.which("postgres")
    return found[0].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL cluster of its own, unsafe and fast; gives its URL without a database. It refuses to run as root."""
    binaries, port = postgres_binaries(), free_port()
    assert binaries, "PostgreSQL is not on this machine"
    folder = Path(tempfile.mkdtemp(prefix="doorcode-pg-"))
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    if os.geteuid() == 0:
        user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
        shutil.chown(folder, user)
        options |= {"user": user, "extra_groups": []}
    try:
        data = folder / "data"
        subprocess.run([binaries / "initdb", "-D", data, "-U", "doorcode", "-A", "trust"], check=True, **options)
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with process(binaries / "postgres", "-D", data, *flags, **options):
            url = f"postgres://doorcode@127.0.0.1:{port}"
            wait_until(lambda: _accepts(url), "PostgreSQL")
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(f"{url}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


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


class System:
    """Doorcode as production runs it: gunicorn and a Celery worker, configured by the environment alone."""

    def __init__(self, *, database: str, redis: str, mail: MailServer, logs: Path, **environment: str) -> None:
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
            **environment,
        }

    @contextmanager
    def run(self, *, worker: bool = True, threads: int = 8) -> Iterator["System"]:
        self.manage("migrate", "--verbosity", "0")
        web = ("-m", "gunicorn", "core.wsgi", "-b", f"127.0.0.1:{self.port}", "-w", "2", "--threads", str(threads))
        with self._start("web", *web):
            wait_until(lambda: listens(self.port), "gunicorn")
            if not worker:
                yield self
                return
            with self._start("worker", "-m", "celery", "-A", "worker", "worker", "--concurrency", "4"):
                wait_until(lambda: "ready." in self.log("worker"), "the worker")
                yield self

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    def _start(self, name: str, *command: str) -> Any:
        log = os.open(self.logs / f"{name}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        return process(sys.executable, *command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)


class Visitor:
    """A browser without a screen: cookies, forms, no redirect followed by itself."""

    def __init__(self, url: str, *, language: str = "en") -> None:
        self.url, self.session = url, requests.Session()
        self.session.headers["Accept-Language"] = language

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
