"""
A query whose database's host is gone after it took the query: `python -m tests.faults.gone`, as root, prints how many
seconds it waits for the answer that never comes. The connection is as the settings make it.
"""

import os
import threading
import time

import django
from django.db import OperationalError, connection

from tests.faults.network import Network, enter
from tests.servers import Postgres


def main() -> None:
    enter("tests.faults.gone")
    network = Network("postgresql")
    network.make()
    with Postgres(host=network.hosts["postgresql"]) as postgres:
        os.environ |= {
            "DATABASE_URL": f"{postgres.url}/postgres",
            "DEBUG": "true",
            "DJANGO_SETTINGS_MODULE": "core.settings",
        }
        django.setup()
        cut = threading.Timer(1, network.cut_off, ["postgresql"])
        cut.daemon = True
        with connection.cursor() as cursor:
            begun = time.monotonic()
            cut.start()
            try:
                cursor.execute("SELECT pg_sleep(2)")
            except OperationalError:
                print(f"{time.monotonic() - begun:.1f}")


if __name__ == "__main__":
    main()
