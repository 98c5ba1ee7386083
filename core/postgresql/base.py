"""
Django's PostgreSQL backend, with fewer round trips and moments read in C.

BEGIN travels with a transaction's first statement (docs/decisions/0069), and a look at a pooled connection asks nobody
(0061).
"""

import select
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import Buffer
from psycopg.pq import TransactionStatus
from psycopg.types.datetime import TimestamptzLoader
from psycopg_pool import ConnectionPool


class MomentLoader(TimestamptzLoader):
    """Django's own reads a moment by a regular expression, which is a tenth of what a claim of mails costs."""

    timezone = UTC  # Django looks here whether a cursor needs another

    def load(self, data: Buffer) -> datetime:
        try:
            return datetime.fromisoformat(bytes(data).decode())
        except ValueError:
            return super().load(data).replace(tzinfo=UTC)


class Cursor(base.Cursor):  # type: ignore[misc, name-defined] # the stubs know none of Django's cursors
    """Begins Django's transaction in the message of its first statement."""

    database: "DatabaseWrapper | None" = None  # the pool's own looks at a connection have none, and no transaction

    def execute(self, query: Any, params: Any = None, **options: Any) -> "Cursor":
        if not self._is_to_begin() or not isinstance(query, str):
            self._begin()
            super().execute(query, params, **options)
        else:
            super().execute(f"BEGIN; {query}", params, **options)
            self.nextset()  # from BEGIN's answer to the statement's
        return self

    def executemany(self, *args: Any, **options: Any) -> None:
        self._begin()
        super().executemany(*args, **options)

    def copy(self, *args: Any, **options: Any) -> Any:
        self._begin()
        return super().copy(*args, **options)

    def _is_to_begin(self) -> bool:
        return self.database is not None and self.database.is_to_begin()

    def _begin(self) -> None:
        if self.database is not None:
            self.database.begin()


class KeptCursor(Cursor):
    """
    Stays with its connection, for `core.statements`: a new one would look up anew how each type is written and read,
    which takes half as long as the statement. Whoever uses it fetches what it wants before the next statement.
    """

    def close(self) -> None:
        """Not until the connection is."""


class DatabaseWrapper(base.DatabaseWrapper):
    """
    A connection from the pool is asked only where its socket has something to say: an idle one is silent, unless the
    server closed it. CONN_HEALTH_CHECKS would ask the server each time.

    psycopg stays in autocommit, in which it sends no BEGIN of its own: whether Django means a transaction is
    `self.autocommit`. COMMIT and ROLLBACK are psycopg's, which sends them where the server is in one.
    """

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        params["cursor_factory"] = Cursor
        if self.timezone == UTC:
            params["context"].adapters.register_loader("timestamptz", MomentLoader)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        pool: ConnectionPool[Any] | None = self.pool  # type: ignore[attr-defined]
        while pool and is_broken(connection):
            connection.close()
            pool.putconn(connection)  # which replaces it
            connection = super().get_new_connection(conn_params)
        return connection

    def is_to_begin(self) -> bool:
        """Whether Django is in a transaction of which the server doesn't know yet."""
        return not self.autocommit and self.connection.pgconn.transaction_status == TransactionStatus.IDLE

    def begin(self) -> None:
        """Tell the server at once, by a message of its own."""
        if self.is_to_begin():
            self.connection.execute("BEGIN")

    def create_cursor(self, name: str | None = None) -> Any:
        if name is None:
            cursor = super().create_cursor()
            cursor.database = self
            return cursor
        self.begin()
        server_side: Any = base.ServerSideCursor  # type: ignore[attr-defined]
        return server_side(self.connection, name=name, scrollable=False, withhold=self.autocommit)

    def kept_cursor(self) -> Any:
        """The connection's KeptCursor, as `cursor()` would give one."""
        self.close_if_health_check_failed()
        self.ensure_connection()
        held = vars(self.connection)
        kept = held.get("kept_cursor") or held.setdefault("kept_cursor", KeptCursor(self.connection))
        kept.database = self
        return self._prepare_cursor(kept)  # type: ignore[attr-defined]

    def _set_autocommit(self, autocommit: bool) -> None:
        super()._set_autocommit(True)  # type: ignore[misc]


def is_broken(connection: "psycopg.Connection[Any]") -> bool:
    """Whether the server has left an idle connection."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        ConnectionPool.check_connection(connection)
    except psycopg.Error:
        return True
    return False
