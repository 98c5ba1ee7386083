"""Databases as the settings have them: PostgreSQL by Django's backend with its pool, options of DATABASE_URL, SQLite."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections, transaction

from core.health import checks
from core.health.registry import State
from tests.core.test_settings import GOOD, load, refusal
from tests.faults.proxy import Proxy
from tests.servers import ENVIRONMENT, ROOT, EmptyPostgres, Postgres, wait_until

READ_COMMITTED = "read committed"
Connect = Callable[..., Any]


@pytest.fixture
def connect(django_db_blocker: Any) -> Iterator[Connect]:
    """Django's connection to the database of a URL, with the product's settings."""
    with ExitStack() as stack:

        def connect(url: str) -> Any:
            made = load("DATABASES", **GOOD, DATABASE_URL=url)[0]["default"]
            connections.databases["made"] = {**connections.databases["default"], **made}
            stack.callback(lambda: connections.databases.pop("made"))
            stack.callback(lambda: connections.__delitem__("made"))
            if made["ENGINE"] == "django.db.backends.postgresql":
                stack.callback(connections["made"].close_pool)
            stack.callback(connections["made"].close)
            return connections["made"]

        with django_db_blocker.unblock():
            yield connect


def shown(connection: Any, name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


def end_all_connections(url: str) -> None:
    """As a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_the_journal_of_sqlite_becomes_small_again(tmp_path: Path, connect: Connect) -> None:
    """After a reader, a backup say, that kept it from being written back."""
    path = tmp_path / "db.sqlite3"
    with connect(f"sqlite:///{path}").cursor() as cursor, closing(sqlite3.connect(path)) as reader:
        cursor.execute("CREATE TABLE rows (x)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM rows").fetchall()
        cursor.execute("INSERT INTO rows VALUES (zeroblob(20 << 20))")
        reader.rollback()
        for _number in range(2):
            cursor.execute("INSERT INTO rows VALUES (1)")
    assert path.with_name("db.sqlite3-wal").stat().st_size <= 16 << 20


@pytest.mark.postgres
@pytest.mark.parametrize("locale", ["", "C", "zz_ZZ.UTF-8"])
def test_the_databases_of_tests_are_alike_in_any_shell(monkeypatch: pytest.MonkeyPatch, locale: str) -> None:
    """Whose locale may be unset, or another machine's, as by ssh."""
    for name in ("LANG", "LC_ALL"):
        monkeypatch.setenv(name, locale)
    with EmptyPostgres() as server, psycopg.connect(f"{server.url}/postgres") as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


@pytest.mark.postgres
def test_options_of_the_url_arrive(postgres: Postgres, connect: Connect) -> None:
    """Those of the driver at the server, those of the pool at the pool."""
    url = f"{postgres.new_database()}?application_name=here&pool_max_size=7&pool_max_lifetime=600"
    connection = connect(url)
    assert shown(connection, "application_name") == "here"
    assert (connection.pool.max_size, connection.pool.max_lifetime, connection.pool.timeout) == (7, 600, 5)


@pytest.mark.postgres
def test_another_host_of_the_url_is_used_while_the_first_is_silent(postgres: Postgres, connect: Connect) -> None:
    """As docs/how-to/scale-out.md has it: within the time that a request waits for a connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = postgres.new_database().replace("@", f"@127.0.0.1:{silent.getsockname()[1]},")
        assert shown(connect(f"{url}?connect_timeout=2"), "transaction_read_only") == "off"


@pytest.mark.postgres
def test_a_frozen_server_is_given_up(postgres: Postgres, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what it gets, and never answers: 20 s here half of one. The next connection is another."""
    with Proxy(postgres.port) as proxy:
        connection = connect(postgres.new_database().replace(f":{postgres.port}/", f":{proxy.port}/"))
        shown(connection, "lock_timeout")
        proxy.mode = "blackhole"
        with monkeypatch.context() as soon:
            soon.setattr("core.postgres.ANSWER_TIMEOUT", 0.5)
            with pytest.raises(OperationalError, match="did not answer within"):
                shown(connection, "lock_timeout")
        proxy.mode = "pass"
        connection.close()
        assert shown(connection, "lock_timeout") == "10s"


@pytest.mark.postgres
def test_whoever_allows_a_statement_more_time_waits_for_it(
    postgres: Postgres, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a migration of a large table."""
    monkeypatch.setattr("core.postgres.ANSWER_TIMEOUT", 0.1)
    connection = connect(f"{postgres.new_database()}?options=-c%20statement_timeout%3D0")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.3)")


@pytest.mark.postgres
def test_each_thread_of_a_large_worker_has_a_connection(postgres: Postgres, connect: Connect) -> None:
    """It holds it while it sends; the thread that renews the leases needs one meanwhile."""
    connection = connect(postgres.new_database())
    connection.ensure_connection()
    busy = [connection.pool.getconn() for _ in range(40)]
    for each in busy:
        connection.pool.putconn(each)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?isolation_level=read%20committed",
        "?isolation_level=READ_COMMITTED",
        "?options=-c%20search_path%3Dpublic",
    ],
)
def test_every_statement_runs_under_read_committed(postgres: Postgres, connect: Connect, query: str) -> None:
    """Within a transaction and without one, whatever the server's default is."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as other:
        name = url.rpartition("/")[2]
        other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    connection = connect(url + query)
    assert shown(connection, "transaction_isolation") == READ_COMMITTED
    with transaction.atomic(using="made"):
        assert shown(connection, "transaction_isolation") == READ_COMMITTED


@pytest.mark.postgres
@pytest.mark.parametrize(("setting", "state"), [("off", State.OK), ("on", State.FAILED)])
def test_a_database_that_takes_no_changes_is_down(
    postgres: Postgres, connect: Connect, monkeypatch, setting: str, state: State
) -> None:
    """
    A replica, or one that its operator made read-only as its disk is full: it answers, and no sign-up works. No new
    connection is made to it then, unless DATABASE_URL allows that.
    """
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = {setting}")
    monkeypatch.setattr(checks, "connection", connect(url + "?target_session_attrs=any"))
    found = checks.database()
    assert found.state is state
    assert found.text.startswith("PostgreSQL 1")
    assert ("is read-only" in found.text) is (setting == "on")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("template", "options", "words"),
    [
        ("template0 ENCODING 'LATIN1' LOCALE 'C'", "", "keeps text as LATIN1"),
        ("template0 ENCODING 'SQL_ASCII' LOCALE 'C'", "", "keeps text as SQL_ASCII"),
        ("template1", "?options=-c%20default_transaction_isolation%3Dserializable", "transactions are serializable"),
        ("template1", "?options=-c%20statement_timeout%3D0", "statement_timeout is 0"),
    ],
)
def test_a_database_that_would_fail_some_visitors_is_told(
    postgres: Postgres, connect: Connect, monkeypatch, template: str, options: str, words: str
) -> None:
    """One that can't hold all names; and sessions without our settings, as PgBouncer makes them for another role."""
    monkeypatch.setattr(checks, "connection", connect(postgres.new_database(template) + options))
    found = checks.database()
    assert found.state is State.WARNING
    assert words in found.text


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("setting", "style", "statement"),
    [
        ("DateStyle", "German", "SELECT CLOCK_TIMESTAMP()"),
        ("IntervalStyle", "iso_8601", "SELECT CLOCK_TIMESTAMP() - NOW()"),
    ],
)
def test_dates_and_durations_are_read_whatever_the_roles_style(
    postgres: Postgres, connect: Connect, setting: str, style: str, statement: str
) -> None:
    """Psycopg reads one style of each alone."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting} = '{style}'")
    with connect(url).cursor() as cursor:
        cursor.execute(statement)
        assert cursor.fetchone()


@pytest.mark.postgres
def test_plans_are_for_the_values_whatever_the_servers_default(postgres: Postgres, connect: Connect) -> None:
    """A generic one of a claim reads all mails."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET plan_cache_mode = 'force_generic_plan'")
    assert shown(connect(url), "plan_cache_mode") == "auto"


@pytest.mark.postgres
def test_dates_are_read_whatever_the_shells_style(postgres: Postgres) -> None:
    """libpq reads it from the environment."""
    env = {**ENVIRONMENT, **GOOD, "DATABASE_URL": postgres.new_database(), "PGDATESTYLE": "German"}
    env |= {"DJANGO_SETTINGS_MODULE": "core.settings"}
    read = "import django; django.setup(); from django.db import connection as c; cursor = c.cursor();"
    read += "cursor.execute('SELECT CLOCK_TIMESTAMP()'); cursor.fetchone()"
    done = subprocess.run([sys.executable, "-c", read], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("level", ["serializable", "repeatable%20read", "REPEATABLE_READ", "read%20uncommitted", "4"])
def test_another_isolation_level_refuses_to_start(level: str) -> None:
    """It says what to do, in both languages."""
    said = refusal(**GOOD, DATABASE_URL=f"postgres://db.example.com/d?isolation_level={level}")
    assert "read committed only: remove it from DATABASE_URL" in said
    assert "请将其从 DATABASE_URL 中去掉" in said


@pytest.mark.parametrize("option", ["pool=true", "pool_max_size=many", "pool_size=5"])
def test_an_option_that_the_pool_does_not_have_refuses_to_start(option: str) -> None:
    """Rather than fail at the first request."""
    said = refusal(**GOOD, DATABASE_URL=f"postgres://db.example.com/d?{option}")
    assert f"{option.partition('=')[0]} in DATABASE_URL must be an option of psycopg's pool" in said


@pytest.mark.parametrize("option", ["sslmod=require", "ssl=true", "Sslmode=require"])
def test_an_option_that_the_driver_does_not_have_refuses_to_start(option: str) -> None:
    """Rather than fail at each connection, for a reason that is in the log alone."""
    said = refusal(**GOOD, DATABASE_URL=f"postgres://db.example.com/d?{option}")
    assert f"{option.partition('=')[0]} in DATABASE_URL must be an option of libpq" in said


@pytest.mark.postgres
def test_a_restart_of_the_server_costs_no_query(postgres: Postgres, connect: Connect) -> None:
    """The pool meets broken connections one by one and pauses between them: so it keeps few after a burst."""
    url = postgres.new_database()
    connection = connect(url)
    connection.ensure_connection()
    pool = connection.pool
    burst = [pool.getconn() for _ in range(4)]
    for each in burst:
        pool.putconn(each)
    connection.close()
    wait_until(lambda: pool.get_stats()["pool_size"] <= 3, "the pool's shrinking")
    end_all_connections(url)
    assert shown(connection, "application_name") == ""
