"""POST /signup/ without the mail: rates and processor time beside the floors and the peer; known and new addresses."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from tests.bench.bench import Bench
from tests.bench.measure import Figure, memory, using
from tests.bench.result import Goal, Row, ratio, spread
from tests.bench.systems import Site, pids

from .growth import PEER_ROWS

VISITS = 400  # a system and a round
SLOW = 16  # of one that takes 200 ms a visit


def signup(bench: Bench) -> list[Row]:
    doorcode = bench.rig.doorcode()
    bare, full = bench.rig.floor(doorcode, "bare"), bench.rig.floor(doorcode, "full")
    cheap = bench.rig.peer("allauth", hashes=False, mails="celery")
    shipped = bench.rig.peer("allauth-shipped", hashes=True, mails="inline")
    sites = [bare, full, doorcode, cheap, shipped]
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    pages: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        running = bench.warm(stack, *sites)
        for turn in range(-1, bench.rounds):
            for site in sites:
                many = bench.size(SLOW if site is shipped else VISITS)
                names = bench.names(
                    many if turn >= 0 else max(8, many // 4)
                )  # at first, as many connections as clients
                with using(pids(bench.rig, running[site.name])) as page:
                    bench.visit(site, names)
                result, used = bench.sign_up_used(site, names, running[site.name])
                if turn < 0:
                    continue
                pages[site.name].append(page.cpu / len(names) * 1e3)
                rates[site.name].append(len(names) / result["seconds"])
                costs[site.name].append(used.cpu / len(names) * 1e3)
        peak = memory(running["doorcode"].pid) / 1024
    bench.units["signup_cpu_ms"] = median(costs["doorcode"])
    bench.units["page_cpu_ms"] = median(pages["doorcode"])
    bench.units["web_peak_mib"] = peak
    said = {name: f"{spread(rates[name], 'req/s')}, {spread(costs[name], 'CPU-ms')}" for name in rates}

    def against(what: str, other: Site, goal: Goal | None, figures: dict[str, list[float]] = rates) -> Row:
        parts = {"doorcode": said["doorcode"], other.name: said[other.name]}
        return ratio(what, figures["doorcode"], figures[other.name], goal, **parts)

    return [
        against("POST /signup/, req/s against the bare floor", bare, Goal(least=0.4)),
        against("POST /signup/, req/s against the full floor", full, Goal(least=0.65)),
        against("POST /signup/, CPU against allauth without hashing", cheap, Goal(most=0.35), costs),
        against("POST /signup/, req/s against allauth without hashing", cheap, None),
        against("POST /signup/, req/s against allauth as shipped", shipped, None),
        Row("peak memory of a web worker", Figure(peak, peak, peak), unit="MiB"),
    ]


def registered(bench: Bench) -> list[Row]:
    """One visitor after another, in turn with a new address and with one that has an account."""
    doorcode = bench.rig.doorcode("doorcode-registered", DJANGO_SUPERUSER_PASSWORD="correct horse b")
    doorcode.manage("createsuperuser", "--noinput", "--email", "known@example.com", "--username", "known")
    peer = bench.rig.peer("allauth-registered", hashes=True, mails="inline")
    with ExitStack() as stack:
        bench.warm(stack, doorcode, peer)
        few = bench.size(16)
        peer.rows(PEER_ROWS.format(rows=few))
        ours = _pairs(bench, doorcode, ["known@example.com"] * bench.size(150))
        theirs = _pairs(bench, peer, [f"old{number}@example.com" for number in range(1, few + 1)])
    return [
        _known_against_new("time for a registered against a new address", ours, Goal(0.9, 1.1)),
        _known_against_new("… allauth: new against registered", theirs[::-1], None),
    ]


def _pairs(bench: Bench, site: Site, known: Sequence[str]) -> tuple[list[float], list[float]]:
    """Seconds of posts with these known addresses, and of as many with new ones: in turn, and each as often the first."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn, address in enumerate(known):
        names = bench.names(2)
        bench.visit(site, names)
        pair = list(zip(taken, names, ({"email": address}, {}), strict=True))
        for times, name, fixed in pair if turn % 2 else pair[::-1]:
            fields = {key: value.format(name) for key, value in site.fields.items()} | fixed
            result = bench.rig.load.run(site.port, "POST", site.path, [(name, fields)], expect=site.created, clients=1)
            times.append(result["took"][0])
    return taken


def _known_against_new(what: str, pair: tuple[list[float], list[float]], goal: Goal | None) -> Row:
    """Medians of thirds, for a spread: single requests differ by more than what is looked for."""
    first, second = ([values[start::3] for start in range(3)] for values in pair)
    parts = {"one": spread([v * 1e3 for v in pair[0]], "ms"), "other": spread([v * 1e3 for v in pair[1]], "ms")}
    middle = median(pair[0]) / median(pair[1])
    thirds = [median(a) / median(b) for a, b in zip(first, second, strict=True)]
    return Row(what, Figure(middle, min(*thirds, middle), max(*thirds, middle)), goal, parts=parts)
