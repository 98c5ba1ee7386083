"""
Does time tell who has an account? `python -m tests.attacks.timing` asks 1,000 times each, three times over.

It runs against gunicorn and PostgreSQL; the test of attack 2 asks fewer times.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.attacks.statistics import p_value
from tests.servers import MailServer, Postgres, Redis, System, Visitor

PASSWORD = "correct horse b"
Door = Callable[[str], object]


def doors(system: System) -> dict[str, Door]:
    """Where a stranger can ask about a name; that of `owner` has an account, all others have none."""
    visitor = Visitor(system.url)
    visitor.post("/signup/", email="owner@example.com")
    fields = {"email": "owner@example.com", "captcha": system.mail.code("owner@example.com")}
    assert visitor.post("/signup/verify/", username="owner", password=PASSWORD, **fields).status_code == 303
    visitor.post("/logout/")
    return {
        "sign-up": lambda name: visitor.fresh().post("/signup/", email=f"{name}@example.com"),
        "reset": lambda name: visitor.post("/password-reset/", email=f"{name}@example.com"),
        "sign-in": lambda name: visitor.post("/login/", username=name, password="wrong horse"),
    }


def compare(door: Door, *, number: int) -> float:
    """Ask `number` times each about the known and about unknown names, at random turns; return the p of the two."""
    order = ["owner"] * number + [f"n{each:04}" for each in range(number)]
    random.shuffle(order)
    known: list[float] = []
    unknown: list[float] = []
    for name in order:
        start = time.perf_counter()
        door(name)
        (known if name == "owner" else unknown).append(time.perf_counter() - start)
    return p_value(known, unknown)


def main(number: int = 1_000) -> None:
    with tempfile.TemporaryDirectory() as folder, Redis() as redis, Postgres() as postgres, MailServer() as mail:
        database = postgres.migrated_database()
        with System(database=database, redis=redis.url, mail=mail, logs=Path(folder)).run(worker=False) as system:
            with system.worker():  # gone before the clock runs: no stranger shares a processor with it, as we would
                entrances = doors(system)
            for name, door in entrances.items():
                values = [compare(door, number=number) for _ in range(3)]
                print(f"{name}: p = {', '.join(f'{p:.3f}' for p in values)} ({number} each)", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
