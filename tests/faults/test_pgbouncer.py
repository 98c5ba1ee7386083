"""PgBouncer with the files of docs/examples, as they are but for ports and paths."""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.servers import ROOT, Postgres, Server, System, Visitor, code_in, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres, pytest.mark.pgbouncer]

FOLDER = ROOT / "docs" / "examples" / "pgbouncer"
PASSWORD = "of-the-role"


class PgBouncer(Server):
    """Before one database of a PostgreSQL, whose role gets a password and what role.sql sets."""

    def __init__(self, postgres: Postgres) -> None:
        super().__init__()
        self.folder, self.options = Path(tempfile.mkdtemp(prefix="doorcode-pgbouncer-")), postgres.options
        self.direct = postgres.new_database()
        with psycopg.connect(self.direct, autocommit=True) as connection:
            connection.execute((FOLDER / "role.sql").read_text())
            connection.execute(f"ALTER ROLE doorcode PASSWORD '{PASSWORD}'")
        text = (FOLDER / "pgbouncer.ini").read_text().replace("6432", str(self.port))
        where = f"host={postgres.host.address} port={postgres.port} dbname={self.direct.rpartition('/')[2]}"
        text = text.replace("host=127.0.0.1 port=5432 dbname=doorcode", where)
        (self.folder / "pgbouncer.ini").write_text(text.replace("/etc/pgbouncer", str(self.folder)))
        (self.folder / "userlist.txt").write_text(f'"doorcode" "{PASSWORD}"\n')
        self.folder.chmod(0o755)  # as root it refuses to start, so it runs as PostgreSQL does

    @property
    def url(self) -> str:
        return f"postgres://doorcode:{PASSWORD}@127.0.0.1:{self.port}/doorcode?target_session_attrs=any"

    def command(self) -> tuple[list[str | Path], dict[str, Any]]:
        return ["pgbouncer", self.folder / "pgbouncer.ini"], self.options

    def __exit__(self, *exc: object) -> None:
        self.stop(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def pgbouncer(own_postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(own_postgres) as server:
        yield server


@pytest.fixture(scope="module")
def system(pgbouncer: PgBouncer, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Web and worker that know PgBouncer alone; only `migrate` connects to PostgreSQL."""
    sink, logs = Sink(), tmp_path_factory.mktemp("system")
    System(database=pgbouncer.direct, redis=redis_url, mail=sink, logs=logs).manage("migrate", "--verbosity", "0")
    with System(database=pgbouncer.url, redis=redis_url, mail=sink, logs=logs).run() as system:
        yield system
    sink.close()


def sign_up(system: System, name: str) -> int:
    """Go the whole way; return the status of the account's page."""
    visitor, address = Visitor(system.url), f"{name}@example.com"
    visitor.post("/signup/", email=address)
    code = code_in(wait_until(lambda: system.mail.parsed(address), f"the mail to {address}")[0])
    fields = {"email": address, "username": name, "password": "correct horse b"}
    assert visitor.post("/signup/verify/", captcha=code, **fields).status_code == 303
    return visitor.get("/account/").status_code


def test_people_sign_up_at_the_same_time(system: System) -> None:
    """Eight at once, whose transactions share connections: nothing leaks from one session to another."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: sign_up(system, f"person{number}"), range(8)))
    assert statuses == [200] * 8


def test_connections_have_the_time_outs_of_the_settings(pgbouncer: PgBouncer) -> None:
    """By the role, as PgBouncer takes no options."""
    [options] = re.findall(r'"options": "(.+?)",', (ROOT / "core" / "settings.py").read_text(), re.DOTALL)
    sent = dict(re.findall(r"-c (\w+)=((?:\\ |[a-z0-9])+)", options))
    with psycopg.connect(pgbouncer.url) as connection:
        for name, value in sent.items():
            assert connection.execute(f"SHOW {name}").fetchone() == (value.replace("\\ ", " "),)
    assert len(sent) == 9


def test_a_database_that_was_read_only_at_first_is_used(own_postgres: Postgres, tmp_path: Path) -> None:
    """PgBouncer goes on to say so to all who connect, as of a standby: without the option all would turn away."""
    with PgBouncer(own_postgres) as pgbouncer:
        name = pgbouncer.direct.rpartition("/")[2]
        system = System(database=pgbouncer.url, logs=tmp_path)
        check = "from core.health.checks import database; print(database().state)"
        with psycopg.connect(f"{own_postgres.url}/postgres", autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            assert system.shell(check) == "State.FAILED\n"
            connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        assert system.shell(check) == "State.OK\n"


@pytest.mark.netns
def test_a_host_of_postgresql_that_is_gone_is_noticed() -> None:
    """As soon as without PgBouncer: what waits for its answer holds a thread of a web or a worker."""
    command = [sys.executable, "-m", "tests.faults.gone", "pgbouncer"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert 5 < float(done.stdout) < 20


def test_a_restart_of_postgresql_is_over_when_it_is_back(system: System, own_postgres: Postgres) -> None:
    """Errors end about when it is back; without `server_login_retry` they would go on for 15 s."""
    over, refused, answered = threading.Event(), list[float](), list[float]()

    def ask(visitor: int) -> None:
        for number in range(2000):
            if over.is_set():
                return
            status = Visitor(system.url).post("/signup/", email=f"v{visitor}-{number}@example.com").status_code
            (answered if status == 303 else refused).append(time.monotonic())
            time.sleep(0.05)

    with ThreadPoolExecutor(4) as pool, ExitStack() as stack:
        stack.callback(over.set)
        visitors = [pool.submit(ask, number) for number in range(4)]
        wait_until(lambda: len(answered) > 20, "answers before")
        own_postgres.stop(signal.SIGINT)
        own_postgres.start()
        back = time.monotonic()
        time.sleep(8)
    for visitor in visitors:
        visitor.result()
    print(f"{len(refused)} refused, the last {max(refused, default=back) - back:.1f} s after PostgreSQL was back")
    assert max(refused, default=back) < back + 5  # on a busy machine; else one
    assert max(answered) > back + 5
    assert sign_up(system, "afterwards") == 200
