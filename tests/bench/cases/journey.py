"""A whole registration: the request, its mail, the verify and the hash."""

from collections import defaultdict
from contextlib import ExitStack
from statistics import median
from typing import Any

from tests.bench.bench import WARM, Bench
from tests.bench.measure import using
from tests.bench.result import Goal, Row, ratio, spread
from tests.bench.systems import Site, pids

PEOPLE = 100  # a system and a round
SLOW = 20

Figures = dict[str, list[float]]


def journey(bench: Bench) -> list[Row]:
    shipped, cheap = (bench.rig.doorcode(f"doorcode-{name}") for name in ("whole", "unhashed"))
    cheap.environment["DJANGO_SETTINGS_MODULE"] = "tests.bench.unhashed"
    peer_shipped = bench.rig.peer("allauth-whole", hashes=True, mails="inline")
    peer_cheap = bench.rig.peer("allauth-unhashed", hashes=False, mails="inline")
    sites = [shipped, cheap, peer_shipped, peer_cheap]
    whole, verified, rates, written = (defaultdict(list) for _ in range(4))
    with ExitStack() as stack:
        running = {name: [web] for name, web in bench.warm(stack, *sites).items()}
        for site in (shipped, cheap):
            running[site.name].append(stack.enter_context(site.worker("worker")))
        bench.rig.sink.wait_for(WARM * len(sites))
        for turn in range(-1, bench.rounds):
            for site in sites:
                many = bench.size(SLOW if site is peer_shipped else PEOPLE)
                number = many if turn >= 0 else max(8, many // 3)
                before = _wal(site)
                costs = register(bench, site, number, running[site.name])
                written[site.name].append((_wal(site) - before) / number)
                if turn >= 0:
                    whole[site.name].append(costs["request"] + costs["verify"])
                    verified[site.name].append(costs["verify"])
                    rates[site.name].append(costs["verify_rate"])
    bench.units["verify_cpu_ms"] = median(verified["doorcode-whole"])
    bench.units["wal_bytes_a_signup"] = median(written["doorcode-whole"])
    said = {name: spread(values, "CPU-ms") for name, values in whole.items()}
    pace = {name: f"{spread(rates[name], 'req/s')}, {spread(verified[name], 'CPU-ms')}" for name in rates}
    return [
        ratio(
            "a whole registration, CPU against allauth's, both as shipped",
            whole["doorcode-whole"],
            whole["allauth-whole"],
            Goal(most=0.15),
            **{name: said[name] for name in ("doorcode-whole", "allauth-whole")},
        ),
        ratio(
            "POST /signup/verify/ less its hash, req/s against allauth's verify",
            rates["doorcode-unhashed"],
            rates["allauth-unhashed"],
            Goal(least=1.5),
            **{name: pace[name] for name in ("doorcode-unhashed", "allauth-unhashed")},
        ),
        ratio(
            "a whole registration less hashes, CPU against allauth's",
            whole["doorcode-unhashed"],
            whole["allauth-unhashed"],
            **{name: said[name] for name in ("doorcode-unhashed", "allauth-unhashed")},
        ),
    ]


def register(bench: Bench, site: Site, number: int, running: list[Any]) -> dict[str, float]:
    """Let people register; return CPU-ms of request with mail, and of verify, and verifies a second."""
    names = bench.names(number)
    bench.rig.sink.reset()
    bench.rig.sink.keep(site.code)
    bench.visit(site, names)
    with using(pids(bench.rig, *running)) as request:
        bench.sign_up(site, names)
        bench.rig.sink.wait_for(number)
    taken = bench.rig.sink.state()
    codes = dict(zip(taken.recipients, taken.codes, strict=True))
    bench.rig.sink.keep("")
    bench.open_verify(site, names)
    with using(pids(bench.rig, *running)) as verify:
        result = bench.verify(site, codes, names)
    return {
        "request": request.cpu / number * 1e3,
        "verify": verify.cpu / number * 1e3,
        "verify_rate": number / result["seconds"],
    }


def _wal(site: Site) -> int:
    """Bytes that the cluster wrote ahead until now."""
    return int(site.rows("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])
