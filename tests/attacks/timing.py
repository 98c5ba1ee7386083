"""
Does time tell who has an account? `python -m tests.attacks.timing` asks about 1,000 names that have one and 1,000 that
have none, three times over: each name as often as any other, since a request that was repeated costs more.

It runs against gunicorn and PostgreSQL; the test of attack 2 asks about fewer.
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

MAKE_ACCOUNTS = """
from django.contrib.auth.hashers import make_password
from core import clock
from signup.models import User

columns = {{"password": make_password("{password}"), "is_active": True, "activated_at": clock.now()}}
names = [f"known{{each}}" for each in range({number})]
User.objects.bulk_create(
    User(email=f"{{name}}@example.com", username=name, username_key=name, **columns) for name in names
)
"""


def doors(system: System, *, number: int) -> dict[str, Door]:
    """Where a stranger can ask about a name. From `known0` on `number` names have an account, all others none."""
    system.shell(MAKE_ACCOUNTS.format(password=PASSWORD, number=number))
    visitor = Visitor(system.url)
    return {
        "sign-up": lambda name: visitor.fresh().post("/signup/", email=f"{name}@example.com"),
        "reset": lambda name: visitor.post("/password-reset/", email=f"{name}@example.com"),
        "sign-in": lambda name: visitor.post("/login/", username=f"{name}@example.com", password="wrong horse"),
    }


def compare(door: Door, *, number: int) -> float:
    """Ask once about each of `number` known and as many unknown names, in random order; return the p of the two."""
    order = [(kind, f"{kind}{each}") for kind in ("known", "other") for each in range(number)]
    random.shuffle(order)
    times: dict[str, list[float]] = {"known": [], "other": []}
    for kind, name in order:
        start = time.perf_counter()
        door(name)
        times[kind].append(time.perf_counter() - start)
    return p_value(times["known"], times["other"])


def main(number: int = 1_000) -> None:
    with tempfile.TemporaryDirectory() as folder, Redis() as redis, Postgres() as postgres, MailServer() as mail:
        database = postgres.migrated_database()
        given = {"database": database, "redis": redis.url, "WEB_CONCURRENCY": "2"}
        with System(mail=mail, logs=Path(folder), **given).run(worker=False) as system:
            for name, door in doors(system, number=number).items():
                values = [compare(door, number=number) for _ in range(3)]
                print(f"{name}: p = {', '.join(f'{p:.3f}' for p in values)} ({number} each)", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
