"""Real servers for tests: Redis, PostgreSQL, an SMTP catcher, and Doorcode's own processes; all on 127.0.0.1."""

import atexit
import os
import pwd
import re
import shutil
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import requests
import yaml
from aiosmtpd.controller import Controller

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
# The same engine without the browser around it, whose own toolbar is a page too: half of the CPU.
HEADLESS = shutil.which("chromium-headless-shell") or CHROMIUM
# Of every process of Doorcode that tests start; nothing else of this process's environment reaches it.
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tests" / "processes")}
PATIENCE = float(os.environ.get("DOORCODE_PATIENCE", "30"))  # seconds until a server must answer
SLOWNESS = PATIENCE / 30  # how many times as long as on a quiet machine anything may take


def free_port() -> int:
    """
    A port for a server that starts soon. A connection to it was closed just now (TIME_WAIT), so for a minute the kernel
    gives it to nobody who asks for any port, only to a server that names it: other tests start servers meanwhile.
    """
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()  # whoever closes first has to wait
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE, pause: float = 0.02) -> Any:
    """
    Return the first true value of `condition`; fail after `patience` seconds. The longer it waits, the longer it pauses
    before it looks again: a look may cost 8 ms of CPU, as a connection to PostgreSQL does.
    """
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < patience:
        value = condition()
        if value:
            return value
        time.sleep(max(pause, waited / 20))
    raise AssertionError(f"{what} did not happen within {patience:.0f} s")


@dataclass(frozen=True)
class Host:
    """Where a server runs and listens: on this machine, or in a network namespace with an address of its own."""

    address: str = "127.0.0.1"
    namespace: str = ""

    def command(self, *command: str | Path) -> list[str | Path]:
        """This command, as it is run there."""
        return ["ip", "netns", "exec", self.namespace, *command] if self.namespace else [*command]


HERE = Host()


def listens(port: int, host: Host = HERE) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host.address, port)) == 0


@contextmanager
def process(*command: str | Path, **options: Any) -> Generator[subprocess.Popen[bytes]]:
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

    def __init__(self, port: int | None = None, *, host: Host = HERE) -> None:
        self.port, self.host = port or free_port(), host
        self.running: subprocess.Popen[bytes] | None = None

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        """The command to run, and its options."""
        raise NotImplementedError

    def answers(self) -> bool:
        return listens(self.port, self.host)

    def start(self) -> None:
        command, options = self.command()
        self.running = subprocess.Popen([str(part) for part in self.host.command(*command)], **options)
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
        try:
            self.start()
        except AssertionError:  # it doesn't answer yet
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Redis(Server):
    """A Redis without persistence: a restart loses everything in it. Without a password it is open to all."""

    def __init__(self, port: int | None = None, *, host: Host = HERE, password: str = "") -> None:
        super().__init__(port, host=host)
        self.password = password

    @property
    def url(self) -> str:
        user = f"default:{self.password}@" if self.password else ""
        return f"redis://{user}{self.host.address}:{self.port}/0"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        options = ["--bind", self.host.address, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        options += ["--requirepass", self.password] if self.password else []
        return ["redis-server", *options], {"stdout": subprocess.DEVNULL, "cwd": tempfile.gettempdir()}


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    on_path = shutil.which("postgres")
    return found[0].parent if found else Path(on_path).parent if on_path else None


class Postgres(Server):
    """A PostgreSQL cluster of its own, unsafe and fast. It refuses to run as root."""

    def __init__(self, *, host: Host = HERE) -> None:
        super().__init__(host=host)
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
        return f"postgres://doorcode@{self.host.address}:{self.port}"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        data = self.folder / "data"
        if not data.exists():
            self.make_files(data)
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self.host.address}/24 trust\n")
        settings = {
            "port": self.port,
            "listen_addresses": self.host.address,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self.binaries / "postgres", "-D", data, *flags]
        if not self.host.namespace:
            return command, self.options
        # Root alone may enter a namespace, so it becomes the other user there.
        user = self.options["user"]
        options = {name: value for name, value in self.options.items() if name not in ("user", "extra_groups")}
        return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", *command], options

    def make_files(self, data: Path) -> None:
        subprocess.run(["cp", "-Rp", migrated_cluster(), data], check=True, **self.options)

    def answers(self) -> bool:
        try:
            psycopg.connect(f"{self.url}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self, template: str = "template1") -> str:
        """Make a database; return its URL."""
        self._made += 1
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE doorcode{self._made} TEMPLATE {template}")
        return f"{self.url}/doorcode{self._made}"

    def migrated_database(self) -> str:
        """Make a database with all tables; return its URL."""
        return self.new_database("migrated")

    def __exit__(self, *exc: object) -> None:
        self.stop(signal.SIGINT)  # fast shutdown: it does not wait for clients
        shutil.rmtree(self.folder, ignore_errors=True)


class EmptyPostgres(Postgres):
    """The same without the tables, for those who do not need them."""

    def make_files(self, data: Path) -> None:
        initdb = [self.binaries / "initdb", "-D", data, "-U", "doorcode", "-A", "trust"]
        # The shell's may be none that this machine has, or "C", which keeps text as SQL_ASCII.
        locale = ["--locale", "C.UTF-8"] if sys.platform == "linux" else []
        subprocess.run([*initdb, *locale], check=True, env=ENVIRONMENT, **self.options)


@cache
def migrated_cluster() -> Path:
    """The files of a stopped PostgreSQL that has the database `migrated`, with all tables; made once in a process."""
    server = EmptyPostgres()
    atexit.register(shutil.rmtree, server.folder, ignore_errors=True)
    server.start()
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    environment = {**ENVIRONMENT, "DEBUG": "true", "DATABASE_URL": f"{server.url}/migrated"}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
    server.stop(signal.SIGINT)
    return server.folder / "data"


POSTFIX = Path("/usr/lib/postfix/sbin")  # of Debian; the master process is no command

MASTER = """
127.0.0.1:{port} inet n - n - 100 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
script unix - n n - - pipe user=nobody argv={folder}/script
"""


class Postfix(Server):
    """
    A Postfix that relays all mail to a sink, with queues and settings of its own; `settings` are those of main.cf. A
    mail whose transport is "script:" goes to the program `script` in its folder, which nobody runs (the user).

    It limits this machine as it would any client (by default it exempts those that it relays for).
    """

    def __init__(self, sink: int, **settings: str) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="doorcode-postfix-"))
        self.folder.chmod(0o755)  # its processes are of another user
        for name in ("data", "queue", "settings"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        self.log = self.folder / "log"
        main = {
            "compatibility_level": "3.6",
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "maillog_file": self.log,
            "maillog_file_prefixes": self.folder,
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": "mx.doorcode.test",
            "mydestination": "",
            "mynetworks": "127.0.0.1/32",
            "relayhost": f"[127.0.0.1]:{sink}",
            "disable_dns_lookups": "yes",
            "smtpd_peername_lookup": "no",
            "smtpd_client_event_limit_exceptions": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            **settings,
        }
        lines = "".join(f"{name} = {value}\n" for name, value in main.items())
        (self.folder / "settings" / "main.cf").write_text(lines)
        (self.folder / "settings" / "master.cf").write_text(MASTER.format(port=self.port, folder=self.folder))

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["postfix", "-c", self.folder / "settings", "check"], check=True, **quiet)  # makes its queues
        # A session of its own: at the end the master process signals its group.
        command = [POSTFIX / "master", "-c", self.folder / "settings", "-d"]
        return command, {**quiet, "start_new_session": True}

    def said(self, words: str) -> int:
        """How many lines of its log have these words."""
        return sum(words in line for line in self.log.read_text().splitlines()) if self.log.exists() else 0

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Greylist:
    """
    A policy service for Postfix: a recipient's first mail is put off, and so is each that comes less than `seconds`
    later. While `closed` is set, every mail is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.closed = seconds, False
        self.first: dict[str, float] = {}
        self.asked = 0
        self._lock = threading.Lock()
        answer = self._answer

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked: dict[str, str] = {}
                for line in self.rfile:
                    name, _, value = line.decode().strip().partition("=")
                    asked[name] = value
                    if not name:
                        self.wfile.write(f"action={answer(asked['recipient'])}\n\n".encode())
                        asked = {}

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self.port: int = self._server.server_address[1]

    def _answer(self, recipient: str) -> str:
        with self._lock:
            now = time.monotonic()
            self.asked += 1
            waits = now - self.first.setdefault(recipient, now) < self.seconds
        return "defer_if_permit greylisted" if waits or self.closed else "dunno"

    def __enter__(self) -> "Greylist":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Prometheus(Server):
    """
    A Prometheus with our rules, that asks every two seconds, looks back for twenty at the most, and waits for nothing:
    `for` is none.
    """

    def __init__(self, target: int, folder: Path, *, token: str) -> None:
        super().__init__()
        self.folder = folder
        rules = (ROOT / "docs" / "operations" / "alerts.yml").read_text()
        rules = re.sub(r"\bfor: \w+", "for: 0s", re.sub(r"\[\d+[mh]\]", "[20s]", rules))
        (folder / "alerts.yml").write_text(rules)
        job = {
            "job_name": "doorcode",
            "authorization": {"credentials": token},
            "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
        }
        often = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
        config = {"global": often, "rule_files": ["alerts.yml"], "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        options = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        return ["prometheus", *options], {"stderr": subprocess.DEVNULL, "cwd": self.folder}

    def answers(self) -> bool:
        return listens(self.port) and requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=10).ok

    def ask(self, path: str, **query: str) -> Any:
        return requests.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=query, timeout=10).json()["data"]

    def value(self, query: str) -> float | None:
        """The only value of an expression."""
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        return {each["labels"]["alertname"] for each in self.ask("alerts")["alerts"] if each["state"] == "firing"}


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
        "LIMIT_PASSWORD_CHANGES",
    ],
    "",
)


def copy_image(folder: Path) -> None:
    """Fill a folder as the image's: what the Dockerfile copies into it, and its own collectstatic run there."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (\w.*) \S+$", dockerfile.partition("WORKDIR /app")[2], re.MULTILINE):
        for name in line.split():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
    [command] = re.findall(r"^RUN (.*collectstatic.*)$", dockerfile, re.MULTILINE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**ENVIRONMENT, "PATH": path}
    subprocess.run(["sh", "-c", command], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)


class System:
    """
    Doorcode as production runs it: gunicorn and a Celery worker, configured by the environment alone; out of the
    checkout, or out of another `folder`. Without Redis or a mail server unless they are given. The web has one process,
    so that each request meets the one that met a fault, and half as much is started; tests of several have two.
    """

    def __init__(
        self,
        *,
        database: str,
        redis: str = "memory://",
        mail: Any = None,
        logs: Path,
        folder: Path = ROOT,
        **environment: str,
    ) -> None:
        self.port, self.mail, self.logs, self.folder = free_port(), mail, logs, folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.hosts: dict[str, Host] = {}  # of its processes, by their names; others run here
        self.environment = {
            **ENVIRONMENT,
            "DEBUG": "false",
            "SECRET_KEY": "a-key-that-only-this-system-knows-0123456789-abcdef",
            "SITE_URL": self.url,
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "EMAIL_URL": mail.url if mail else "smtp://127.0.0.1:1",
            "DEFAULT_FROM_EMAIL": "Doorcode <noreply@doorcode.test>",
            "WEB_CONCURRENCY": "1",
            **NO_LIMITS,
            **environment,
        }

    @contextmanager
    def run(self, *, worker: bool = True) -> Generator["System"]:
        """Migrate, and start the web and, if wanted, a worker."""
        if not self._is_migrated():
            self.manage("migrate", "--verbosity", "0")
        web = ("-m", "gunicorn", "core.wsgi", "-b", f"127.0.0.1:{self.port}")
        with self.start("web", *web), self.worker() if worker else nullcontext():
            wait_until(lambda: listens(self.port), "gunicorn")
            yield self

    def _is_migrated(self) -> bool:
        """Whether the database is a copy that has all tables."""
        is_postgres = self.environment["DATABASE_URL"].startswith("postgres")
        return is_postgres and self.rows("SELECT to_regclass('django_migrations')") != [(None,)]

    @contextmanager
    def worker(
        self, name: str = "worker", *command: str, threads: int = 4, **environment: str
    ) -> Generator[subprocess.Popen[bytes]]:
        """Start a Celery worker, by `command` if given, and wait until it is ready."""
        options = ("worker", "--concurrency", str(threads), "--hostname", f"{name}@%h")
        command = command or ("-m", "celery", "-A", "worker")
        with self.start(name, *command, *options, **environment) as running:
            wait_until(lambda: "ready." in self.log(name), f"the worker {name}")
            yield running

    def empty(self, mail: Any) -> None:
        """Forget everything, as a new system; workers that start from now on send to another mail server."""
        kept = "'django_migrations', 'django_content_type', 'auth_permission'"  # what `migrate` fills
        tables = f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ({kept})"
        self.execute(f"TRUNCATE {', '.join(name for (name,) in self.rows(tables))} RESTART IDENTITY")
        self.mail, self.environment["EMAIL_URL"] = mail, mail.url

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, code: str) -> str:
        """Run code with the project loaded; return what it prints."""
        return self.manage("shell", "--verbosity", "0", "--command", code)

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    @contextmanager
    def start(self, name: str, *command: str | Path, **environment: str) -> Generator[subprocess.Popen[bytes]]:
        """Run Python with these arguments, in this system's environment, its output in a log."""
        with (self.logs / f"{name}.log").open("wb") as log:
            env = self.environment | environment
            command = self.hosts.get(name, HERE).command(sys.executable, *command)
            with process(*command, cwd=self.folder, env=env, stdout=log, stderr=log) as running:
                yield running

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        scheme, _, path = self.environment["DATABASE_URL"].partition(":///")
        if scheme == "sqlite":
            with closing(sqlite3.connect(path)) as connection:
                return connection.execute(query).fetchall()
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


def link_in(mail: EmailMessage, path: str = "/signup/link/") -> str:
    """The link of a mail that has `path`, as a path, without the language that it chooses on the way."""
    lines = mail.get_body(("plain",)).get_content().splitlines()
    link = next(line for line in lines if path in line)
    return "/" + link.split("/", 3)[3].partition("?")[0]
