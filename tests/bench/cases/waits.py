"""The waits of a visitor: for the mail at a steady pace, the answer while SMTP hangs, both while a backlog drains."""

import signal
from contextlib import ExitStack
from typing import Any

from tests.bench.bench import WARM, Bench
from tests.bench.measure import Figure, memory, percentile
from tests.bench.result import Goal, Row, plain, ratio, spread
from tests.bench.systems import Site, freeze
from tests.servers import wait_until

from .mails import fill

PACE = 20.0  # sign-ups a second
SECONDS = 5  # a round
LONGER = 15  # where the hundredth part of a round is looked at, and would else be one request
THREADS = 32


def steady(bench: Bench, site: Site, seconds: int = SECONDS) -> tuple[list[str], dict[str, Any]]:
    """New visitors sign up at PACE; return their names and what the load generator saw."""
    names = bench.names(bench.size(round(PACE * seconds), 40))
    bench.visit(site, names)
    return names, bench.sign_up(site, names, rate=PACE, clients=16)


def mail_waits(bench: Bench, names: list[str], result: dict[str, Any]) -> list[float]:
    """Milliseconds from each request to the acceptance of its mail."""
    taken = bench.rig.sink.state()
    accepted = dict(zip(taken.recipients, taken.times, strict=True))
    return [(accepted[f"{name}@example.com"] - sent) * 1e3 for name, sent in zip(names, result["sent"], strict=True)]


def waits(bench: Bench) -> list[Row]:
    """From the request to the acceptance of its mail, at 20 sign-ups a second; commits wait for the disk."""
    site = bench.rig.doorcode("doorcode-waits", waits=True)
    middle, last = [], []
    with ExitStack() as stack:
        bench.warm(stack, site)
        stack.enter_context(site.worker("worker"))
        bench.rig.sink.wait_for(WARM)
        for _ in range(bench.rounds):
            bench.rig.sink.reset()
            names, result = steady(bench, site)
            bench.rig.sink.wait_for(len(names))
            taken = mail_waits(bench, names, result)
            middle.append(percentile(taken, 0.5))
            last.append(percentile(taken, 0.99))
    return [
        Row("request to acceptance by SMTP, p50 at 20 a second", Figure.of(middle), Goal(most=25), "ms"),
        Row("request to acceptance by SMTP, p99 at 20 a second", Figure.of(last), Goal(most=100), "ms"),
    ]


def hung(bench: Bench) -> list[Row]:
    """The answer's p95 while the mail server hangs, in turn with a healthy one."""
    site = bench.rig.doorcode("doorcode-hung", waits=True)
    figures: dict[bool, list[float]] = {False: [], True: []}
    with ExitStack() as stack:
        bench.warm(stack, site)
        stack.enter_context(site.worker("worker"))
        bench.rig.sink.wait_for(WARM)
        stack.callback(bench.rig.sink.delay, 0)
        for _ in range(bench.rounds):
            for hangs in (False, True):
                bench.rig.sink.delay("hang" if hangs else 0)
                _, result = steady(bench, site)
                figures[hangs].append(percentile(result["took"], 0.95) * 1e3)
    parts = {"hung": spread(figures[True], "ms"), "healthy": spread(figures[False], "ms")}
    return [ratio("sign-up p95 with SMTP hung against healthy", figures[True], figures[False], Goal(most=1.2), **parts)]


def backlog(bench: Bench) -> list[Row]:
    """Sign-ups and their own mails while a backlog drains, and the worker's memory over it."""
    site = bench.rig.doorcode("doorcode-backlog", waits=True)
    busy, own = [], []
    with ExitStack() as stack:
        bench.warm(stack, site)
        worker = stack.enter_context(site.worker("worker", "--concurrency", str(THREADS)))
        bench.rig.sink.wait_for(WARM)
        idle = percentile(steady(bench, site, LONGER)[1]["took"], 0.99) * 1e3
        freeze(worker.pid, signal.SIGSTOP)
        try:
            fill(site, bench.backlog)
            bench.rig.sink.reset()
        finally:
            freeze(worker.pid, signal.SIGCONT)
        bench.rig.sink.wait_for(bench.backlog // 10, 400)
        early = memory(worker.pid, "VmRSS") / 1024
        while len(busy) < bench.rounds and bench.rig.sink.count() < bench.backlog * 0.95:
            names, result = steady(bench, site, LONGER)
            busy.append(percentile(result["took"], 0.99) * 1e3)
            own.append((names, result))
        assert busy, "the backlog had drained before anything could be measured: give it more mails"
        bench.rig.sink.wait_for(bench.backlog // 2, 400)
        people = {f"{name}@example.com" for names, _ in own for name in names}
        wait_until(lambda: people <= set(bench.rig.sink.state().recipients), "the visitors' own mails", pause=1)
        late, peak = memory(worker.pid, "VmRSS") / 1024, memory(worker.pid) / 1024
        sent = bench.rig.sink.count()
        single = [percentile(mail_waits(bench, *each), 0.99) for each in own]  # the newest go first: they are out
    bench.units["worker_peak_mib"] = peak
    parts = {"draining": spread(busy, "ms"), "idle": spread([idle], "ms"), "backlog": f"{bench.backlog:,}"}
    rows = [
        ratio("sign-up p99 while a backlog drains, against idle", busy, [idle] * len(busy), Goal(most=2), **parts),
        Row("peak memory of a worker with 32 threads", Figure(peak, peak, peak), unit="MiB"),
        Row(
            "a worker's memory after half of the backlog against its first tenth",
            Figure.of([late / early]),
            Goal(most=1.1),
            parts={"first tenth": f"{plain(early)} MiB", "half": f"{plain(late)} MiB", "sent": f"{sent:,}"},
        ),
    ]
    return [*rows, Row("wait of a single code while a backlog drains, p99", Figure.of(single), unit="ms")]
