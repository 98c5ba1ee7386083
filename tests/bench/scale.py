"""
What 1, 10, 100 and 1,000 sign-ups a second need, computed from unit costs that `make bench` measured.

    python -m tests.bench.scale [build/bench/results.json]

prints the table of docs/reference/scale.md. It is arithmetic, not a measurement: what a unit costs is measured on one
small machine, what many need is multiplied.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .systems import BUILD

RATES = (1, 10, 100, 1_000)  # sign-ups a second, as a mean over a busy hour
PEAK = 3.0  # a busy minute against that mean
USE = 0.6  # of a processor at the peak: queues stay short below it
DAY = 86_400
HOURS = 8  # a day's sign-ups are so many hours of the busy rate
CONVERSION = 0.7  # sign-ups that end in a verify
PAGES = 3  # GET requests around a registration
THREADS = 8  # of a web process; each may hold a connection
WORKER_CONNECTIONS = 4  # of a worker process, at work

# Unit costs that make bench doesn't measure yet stand here; those in results.json replace them.
UNITS = {
    "signup_cpu_ms": 4.0,
    "verify_cpu_ms": 22.0,
    "mail_cpu_ms": 1.0,
    "page_cpu_ms": 2.5,
    "mails_a_second_one_process": 800.0,
    "database_bytes_a_registration": 1_500.0,
    "web_peak_mib": 110.0,
    "worker_peak_mib": 120.0,
    "redis_bytes_a_limit": 155.0,  # seen in Redis 7.0, of 20,000 counters
    "redis_bytes_a_message": 900.0,
    "wal_bytes_a_signup": 4_000.0,
    "writes_a_signup": 12.0,  # rows written until the mail is settled and the account active
}


@dataclass(frozen=True)
class Need:
    """The needs of one rate."""

    rate: float  # sign-ups a second
    web_cores: float
    web_processes: int
    worker_cores: float
    worker_processes: int
    connections: int
    redis_mib: float
    row_writes: float  # a second, at the peak
    wal_mib: float  # a second, at the peak
    daily_gib: float
    kept_gib: float
    mails_an_hour: float


def need(rate: float, units: Mapping[str, float]) -> Need:
    peak = rate * PEAK
    web = peak * (units["signup_cpu_ms"] + CONVERSION * units["verify_cpu_ms"] + PAGES * units["page_cpu_ms"]) / 1e3
    worker = peak * units["mail_cpu_ms"] / 1e3
    web_processes = max(2, math.ceil(web / USE))  # two, so that one may die
    worker_processes = max(2, math.ceil(peak / (units["mails_a_second_one_process"] * USE)))
    a_day = rate * HOURS * 3_600
    daily = a_day * units["database_bytes_a_registration"]
    counted = peak * 3_600 * 2  # a network counts in an hour's and in a minute's window
    waiting = 60  # messages of a minute in which no worker listens: one a second, whatever waits
    redis = counted * units["redis_bytes_a_limit"] + waiting * units["redis_bytes_a_message"]
    return Need(
        rate=rate,
        web_cores=web / USE,
        web_processes=web_processes,
        worker_cores=worker / USE,
        worker_processes=worker_processes,
        connections=web_processes * THREADS + worker_processes * WORKER_CONNECTIONS,
        redis_mib=redis / 2**20,
        row_writes=peak * units["writes_a_signup"],
        wal_mib=peak * units["wal_bytes_a_signup"] / 2**20,
        daily_gib=daily / 2**30,
        kept_gib=daily * 30 / 2**30,  # deliveries stay for 30 days, codes for 7, accounts for ever: an upper bound
        mails_an_hour=rate * 3_600,
    )


def table(units: Mapping[str, float]) -> str:
    needs = [need(rate, units) for rate in RATES]
    lines = ["| sign-ups a second | " + " | ".join(f"{each.rate:,.0f}" for each in needs) + " |"]
    lines.append("|---" * (len(needs) + 1) + "|")
    rows = {
        "processors for the web and its PostgreSQL": [f"{each.web_cores:,.1f}" for each in needs],
        "web processes (8 threads each)": [f"{each.web_processes:,}" for each in needs],
        "memory of the web, GiB": [f"{each.web_processes * units['web_peak_mib'] / 1024:,.1f}" for each in needs],
        "processors for the workers": [f"{each.worker_cores:,.1f}" for each in needs],
        "worker processes": [f"{each.worker_processes:,}" for each in needs],
        "memory of workers, GiB": [f"{each.worker_processes * units['worker_peak_mib'] / 1024:,.1f}" for each in needs],
        "database connections": [f"{each.connections:,}" for each in needs],
        "PgBouncer": ["wanted" if each.connections > 100 else "not needed" for each in needs],
        "Redis, MiB": [f"{each.redis_mib:,.0f}" for each in needs],
        "rows written a second, at the peak": [f"{each.row_writes:,.0f}" for each in needs],
        "WAL, MiB a second at the peak": [f"{each.wal_mib:,.2f}" for each in needs],
        "PostgreSQL grows, GiB a day": [f"{each.daily_gib:,.2f}" for each in needs],
        "kept before the purge, GiB": [f"{each.kept_gib:,.1f}" for each in needs],
        "rows to purge a second": [f"{each.rate * 2 * HOURS / 24:,.1f}" for each in needs],
        "partitions by day": ["wanted" if each.kept_gib > 100 else "not needed" for each in needs],
        "LIMIT_MAILS_SITE at least, mails an hour": [f"{each.mails_an_hour * PEAK:,.0f}" for each in needs],
        "mails a day": [f"{each.mails_an_hour * HOURS:,.0f}" for each in needs],
    }
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]
    return "\n".join(lines)


def report(path: Path) -> str:
    """The table, and which of its inputs the results at `path` measured."""
    measured = json.loads(path.read_text())["units"] if path.exists() else {}
    units = UNITS | measured
    lines = ["| input | value | |", "|---|---|---|"]
    lines += [f"| `{name}` | {units[name]:,.2f} | {'measured' if name in measured else 'assumed'} |" for name in UNITS]
    return table(units) + "\n\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("results", nargs="?", type=Path, default=BUILD / "results.json")
    print(report(parser.parse_args().results))


if __name__ == "__main__":
    main()
