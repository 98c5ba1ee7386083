"""
Hosts that are gone: `python -m tests.faults.gone`, as root, prints how many seconds a query, which PostgreSQL's host took
before it was cut off, waits for its answer; and how many a web that is cut off in a transaction keeps its locks.
Connections are as the settings make them; with the argument `pgbouncer` the query goes through PgBouncer.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time

import django
import psycopg
from django.db import OperationalError, connection, transaction

from tests.faults.network import Network, enter
from tests.faults.test_pgbouncer import PgBouncer
from tests.servers import EmptyPostgres, Postgres, process


def main() -> None:
    enter("tests.faults.gone")
    network = Network("postgresql", "web")
    network.make()
    with EmptyPostgres(host=network.hosts["postgresql"]) as postgres:
        if "pgbouncer" in sys.argv:
            with PgBouncer(postgres) as pgbouncer:
                _set_up(pgbouncer.url)
                print(f"{_unanswered(network):.1f}")
        else:
            _set_up(f"{postgres.url}/postgres")
            print(f"{_unanswered(network):.1f}")
            print(f"{_locked(network, postgres):.1f}")


def _set_up(database: str) -> None:
    os.environ |= {"DATABASE_URL": database, "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "core.settings"}
    django.setup()


def _unanswered(network: Network) -> float:
    cut = threading.Timer(1, network.cut_off, ["postgresql"])
    cut.daemon = True
    with connection.cursor() as cursor:
        begun = time.monotonic()
        cut.start()
        with contextlib.suppress(OperationalError):
            cursor.execute("SELECT pg_sleep(2)")
    network.bring_back("postgresql")
    connection.close()
    return time.monotonic() - begun


def _locked(network: Network, postgres: Postgres) -> float:
    command = network.hosts["web"].command(sys.executable, "-m", "tests.faults.gone", "hold")
    with process(*command, stdout=subprocess.PIPE) as web:
        assert web.stdout
        assert web.stdout.readline() == b"held\n"
        network.cut_off("web")
        begun = time.monotonic()
        with psycopg.connect(f"{postgres.url}/postgres") as other:
            other.execute("SELECT pg_advisory_lock(1)")
        return time.monotonic() - begun


def hold() -> None:
    """Act as a web that is cut off in a transaction."""
    django.setup()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
        print("held", flush=True)
        time.sleep(60)


if __name__ == "__main__":
    hold() if "hold" in sys.argv else main()
