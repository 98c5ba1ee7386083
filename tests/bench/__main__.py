"""
`make bench`: what a sign-up and a mail cost, as ratios of figures measured side by side in one run.

It starts its own PostgreSQL, Redis, gunicorn, worker and mail server on 127.0.0.1, and ends within two minutes.
"""

import smtplib
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from tests.servers import Postgres, Redis, System, Visitor, wait_until
from tests.worker.sink import Sink

ROUNDS = 150  # pairs of requests
MAILS = 400
CLIENTS = 4


def clock(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def ask(system: System, address: str) -> float:
    """Seconds of one POST /signup/ by a new visitor."""
    visitor = Visitor(system.url)
    visitor.get("/signup/")
    return clock(lambda: visitor.post("/signup/", email=address))


def answers(system: System) -> list[tuple[str, str]]:
    """Time of an answer: a registered against a new address, and a sign-up against the bare server, in turn."""
    system.manage("createsuperuser", "--noinput", "--email", "known@example.com", "--username", "known")
    new, known, bare = [], [], []
    probe = Visitor(system.url)
    for n in range(ROUNDS):
        new.append(ask(system, f"new{n}@example.com"))
        known.append(ask(system, "known@example.com"))
        bare.append(clock(lambda: probe.get("/healthz")))
    spread = f"{min(new) * 1e3:.1f} – {median(new) * 1e3:.1f} – {max(new) * 1e3:.1f} ms"
    return [
        ("POST /signup/, new address: min – median – max", spread),
        ("… registered against new address, medians", f"{median(known) / median(new):.2f}"),
        ("… against a page that does nothing, medians", f"{median(new) / median(bare):.1f}"),
    ]


def mails(system: System, sink: Sink) -> list[tuple[str, str]]:
    """Mails a second of one worker with a backlog, against smtplib alone on a kept connection to the same server."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda n: ask(system, f"mail{n}@example.com"), range(MAILS)))
    waiting = system.rows("SELECT count(*) FROM worker_delivery WHERE state = 'pending'")[0][0]
    before = len(sink.mails)
    with system.worker("worker"):
        wait_until(lambda: len(sink.mails) - before >= waiting, "the backlog", patience=60)
    moments = sink.moments[before:]
    worker = (len(moments) - 1) / (moments[-1] - moments[0])
    message = sink.mails[-1]
    with smtplib.SMTP("127.0.0.1", sink.port) as smtp:
        taken = clock(lambda: [smtp.sendmail("a@example.com", ["b@example.com"], message) for _ in range(MAILS)])
    alone = MAILS / taken
    return [
        ("mails a second of one worker, 4 threads", f"{worker:.0f}"),
        ("… against smtplib alone on a kept connection", f"{worker / alone:.2f}"),
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="doorcode-bench-") as folder, Postgres() as postgres, Redis() as redis:
        sink = Sink()
        password = {"DJANGO_SUPERUSER_PASSWORD": "correct horse b"}
        system = System(
            database=postgres.new_database(),
            redis=redis.url,
            mail=sink,
            logs=Path(folder),
            LOG_LEVEL="WARNING",
            **password,
        )
        with system.run(worker=False):
            rows = answers(system)
        system.environment["LOG_LEVEL"] = "INFO"
        with system.run(worker=False):
            rows += mails(system, sink)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {figure}" for name, figure in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
