"""Options of connections to PostgreSQL, and connections that give up a server that does not answer."""

from typing import Any

import psycopg
from psycopg.pq import Conninfo, TransactionStatus

# Of Django, of psycopg, and those that this machine's libpq knows.
OPTIONS = {"assume_role", "server_side_binding", "prepare_threshold"}
OPTIONS |= {option.keyword.decode() for option in Conninfo.get_defaults()}

ANSWER_TIMEOUT = 20.0  # seconds; a server that works ends a statement after 15 s (statement_timeout in the settings)


class Connection(psycopg.Connection[Any]):
    """
    A connection of psycopg with a time limit for each answer. The kernel of a frozen server still acknowledges what it
    gets, so neither tcp_user_timeout nor keepalives notice; and statement_timeout is measured by the frozen server.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises OperationalError, and closes the connection, if the answer does not come."""
        try:
            return super().wait(gen, interval, timeout or ANSWER_TIMEOUT)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()  # the answer may still come, and belongs to no other statement
            raise psycopg.OperationalError(f"PostgreSQL did not answer within {ANSWER_TIMEOUT:.0f} s") from error
