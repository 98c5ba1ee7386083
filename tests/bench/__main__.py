"""
`make bench`: Doorcode beside the floor and beside a peer, in one run, as ratios.

It starts its own PostgreSQL, Redis, webs, workers and mail server on 127.0.0.1. `make bench ONLY="signup mails"` runs
some; SCALE=0.2 runs all with a fifth of the requests; PUBLISH=1 puts tables and chart into docs/.
"""

import argparse
import sys
import time
from pathlib import Path

from . import report
from .bench import Bench
from .cases import CASES
from .result import Row
from .systems import BUILD, rig


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *CASES], help="names of benchmarks; all, unless given")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of requests, mails and rows")
    parser.add_argument("--rounds", type=int, default=3, help="of each interleaved measurement")
    parser.add_argument("--backlog", type=int, default=None, help="mails that drain (100,000 × scale)")
    parser.add_argument("--folder", type=Path, default=BUILD, help="where results.json, table.md and chart.svg go")
    parser.add_argument("--publish", action="store_true", help="put the tables and the chart into docs/")
    given = parser.parse_args()
    names = given.only or list(CASES)
    backlog = given.backlog or max(500, round(100_000 * given.scale))
    results: dict[str, list[Row]] = {}
    failed = []
    with rig() as running:
        bench = Bench(running, scale=given.scale, rounds=given.rounds, backlog=backlog)
        for name in names:
            begun = time.monotonic()
            print(f"{name} …", end=" ", flush=True)
            running.sink.reset()
            try:
                results[name] = CASES[name](bench)
            except Exception as error:  # the other benchmarks can still tell something
                failed.append(name)
                print(f"failed: {error}", end=", ")
            print(f"{time.monotonic() - begun:.0f} s", flush=True)
        units = bench.units
    if results:
        settings = {"scale": given.scale, "rounds": given.rounds, "backlog": backlog}
        report.write(given.folder, results, units, settings)
        if given.publish:
            report.publish(given.folder)
        print(f"\n{report.table(results)}\n\nJSON, Markdown and a chart are in {given.folder}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
