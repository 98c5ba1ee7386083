"""Several machines' worth of processes on one PostgreSQL and one Redis: nothing twice, and more is sent by more."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from statistics import median

from tests.bench.bench import Bench
from tests.bench.measure import Figure
from tests.bench.result import Goal, Row, ratio, spread
from tests.bench.systems import visits
from tests.servers import free_port

PEOPLE = 300  # a round


def crowd(bench: Bench) -> list[Row]:
    """1 web and 1 worker process, in turn with 2 and 3; 16 clients, from the first request to the last acceptance."""
    few = bench.rig.doorcode("doorcode-1-1")
    many = bench.rig.doorcode("doorcode-2-3")
    second = replace(many, name="doorcode-2-3b", port=free_port())
    rates: dict[str, list[float]] = {few.name: [], many.name: []}
    repeats, lost = [], []
    with ExitStack() as stack:
        for site in (few, many, second):
            stack.enter_context(site.web("-w", "1"))
        stack.enter_context(few.worker("worker"))
        for number in range(3):
            stack.enter_context(many.worker("worker", name=f"worker{number}"))
        for turn in range(-1, bench.rounds):
            for site in (few, many):
                names = bench.names(24 if turn < 0 else bench.size(PEOPLE, 40))
                bench.rig.sink.reset()
                ports = [site.port] if site is few else [many.port, second.port]
                bench.visit(site, names)
                fields = visits(names, **site.fields)
                result = bench.rig.load.run(ports, "POST", site.path, fields, expect=303, clients=16)
                bench.rig.sink.wait_for(len(names))
                taken = bench.rig.sink.state()
                if turn >= 0:
                    rates[site.name].append(len(names) / (max(taken.times) - min(result["sent"])))
                    repeats.append(sum(Counter(taken.recipients).values()) - len(set(taken.recipients)))
                    lost.append(len(set(names)) - len(set(taken.recipients)))
    bench.units["signups_a_second_two_cores"] = median(rates[many.name])
    said = {name: spread(values, "sign-ups/s with their mails") for name, values in rates.items()}
    return [
        Row("mails sent twice by 2 webs and 3 workers", Figure.of(repeats), Goal(most=0), unit="mails"),
        Row("mails lost", Figure.of(lost), Goal(most=0), unit="mails"),
        ratio("2 webs and 3 workers against 1 and 1, on this machine", rates[many.name], rates[few.name], **said),
    ]
