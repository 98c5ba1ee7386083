"""A transaction on PostgreSQL begins with its first statement, in one message."""

from collections.abc import Callable, Iterator
from typing import Any

import environ
import pytest
from django.db import DatabaseError, connections, transaction
from psycopg import sql

pytestmark = pytest.mark.postgres


@pytest.fixture
def made(postgres: Any, django_db_blocker: Any) -> Iterator[Any]:
    """A connection to a database of its own, with a table of numbers."""
    settings = connections.databases["default"]
    given = {"ENGINE": "core.postgresql", "OPTIONS": {"options": "-c statement_timeout=5000"}}
    connections.databases["made"] = {**settings, **environ.Env.db_url_config(postgres.new_database()), **given}
    with django_db_blocker.unblock():
        connections["made"].cursor().execute("CREATE TABLE number (n integer PRIMARY KEY)")
        yield connections["made"]
        connections["made"].close()
    del connections["made"]
    del connections.databases["made"]


@pytest.fixture
def sent(made: Any, tmp_path: Any) -> Iterator[Callable[[], list[str]]]:
    """What was sent to the server since, message by message, as libpq tells it."""
    file = tmp_path / "trace"
    with file.open("wb") as trace:
        made.connection.pgconn.trace(trace.fileno())
        yield lambda: [line.split('"')[1] for line in file.read_text().splitlines() if "\tF\t" in line and '"' in line]
        made.connection.pgconn.untrace()


def numbers(made: Any) -> list[int]:
    cursor = made.cursor()
    cursor.execute("SELECT n FROM number ORDER BY n")
    return [n for (n,) in cursor.fetchall()]


def test_begin_goes_with_the_first_statement(made: Any, sent: Callable[[], list[str]]) -> None:
    with transaction.atomic(using="made"), made.cursor() as cursor:
        cursor.execute("INSERT INTO number VALUES (%s) RETURNING n", [7])
        assert (cursor.fetchall(), cursor.rowcount, cursor.description[0].name) == ([(7,)], 1, "n")
        cursor.execute("INSERT INTO number VALUES (8), (9)")
        assert cursor.rowcount == 2
    made.connection.pgconn.untrace()
    assert sent() == [
        "BEGIN; INSERT INTO number VALUES (7) RETURNING n",
        "INSERT INTO number VALUES (8), (9)",
        "COMMIT",
    ]


def test_nothing_is_sent_for_a_transaction_without_statements(made: Any, sent: Callable[[], list[str]]) -> None:
    with transaction.atomic(using="made"):
        pass
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="made"):
        raise ZeroDivisionError
    assert sent() == []


def test_without_a_transaction_a_statement_is_its_own(made: Any, sent: Callable[[], list[str]]) -> None:
    made.cursor().execute("INSERT INTO number VALUES (1)")
    assert sent() == ["INSERT INTO number VALUES (1)"]


def _copy(cursor: Any) -> None:
    with cursor.copy("COPY number FROM STDIN") as copy:
        copy.write_row([1])


@pytest.mark.parametrize(
    "first",
    [
        lambda cursor: cursor.execute("INSERT INTO number VALUES (1)"),
        lambda cursor: cursor.execute("INSERT INTO number VALUES (1); SELECT 1"),
        lambda cursor: cursor.execute(sql.SQL("INSERT INTO number VALUES (1)")),
        lambda cursor: cursor.executemany("INSERT INTO number VALUES (%s)", [[1], [2]]),
        _copy,
    ],
    ids=["text", "two", "composed", "many", "copy"],
)
def test_whatever_comes_first_is_rolled_back(made: Any, first: Callable[[Any], Any]) -> None:
    with transaction.atomic(using="made"), made.cursor() as cursor:
        first(cursor)
        assert 1 in numbers(made)
        transaction.set_rollback(True, using="made")
    assert numbers(made) == []


def test_an_error_of_the_first_statement_ends_its_transaction_alone(made: Any) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(using="made"), made.cursor() as cursor:
        cursor.execute("INSERT INTO number VALUES (1/0)")
    with transaction.atomic(using="made"):
        made.cursor().execute("INSERT INTO number VALUES (1)")
    assert numbers(made) == [1]


def test_a_savepoint_may_come_first(made: Any) -> None:
    with transaction.atomic(using="made"):
        with transaction.atomic(using="made"):
            made.cursor().execute("INSERT INTO number VALUES (1)")
            transaction.set_rollback(True, using="made")
        made.cursor().execute("INSERT INTO number VALUES (2)")
    assert numbers(made) == [2]


def test_a_cursor_of_the_server_lives_in_the_transaction(made: Any) -> None:
    """As `QuerySet.iterator()` has it; only there may it lock rows."""
    made.cursor().execute("INSERT INTO number VALUES (1), (2)")
    with transaction.atomic(using="made"):
        with made.chunked_cursor() as cursor:
            cursor.execute("SELECT n FROM number ORDER BY n FOR UPDATE")
            assert cursor.fetchmany(1) == [(1,)]
            made.cursor().execute("DELETE FROM number")
        transaction.set_rollback(True, using="made")
    with made.chunked_cursor() as cursor:
        cursor.execute("SELECT n FROM number ORDER BY n")
        assert cursor.fetchall() == [(1,), (2,)]
