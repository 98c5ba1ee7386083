"""Mails a second: a backlog is laid before workers that stand still; then they are let go."""

import itertools
import os
import signal
import smtplib
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from tests.bench.bench import Bench
from tests.bench.measure import Used, using
from tests.bench.result import Goal, Row, ratio, spread
from tests.bench.systems import Site, freeze, pids
from tests.servers import wait_until

MAILS = 3_000  # a round
FEWER = 1_000  # of one process, and of empty tasks
SLOW = 400  # of what sends 100 a second
PROCESSES = 2  # of one worker machine, one a core
PATIENCE = 300

_tags = (f"fill{n}" for n in itertools.count())


def mails(bench: Bench) -> list[Row]:
    doorcode, one = bench.rig.doorcode("doorcode-mails"), bench.rig.doorcode("doorcode-mails-one")
    floor = bench.rig.floor(doorcode, "bare")
    peer = bench.rig.peer("allauth-mails", hashes=False, mails="celery")
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        doorcode_workers = [stack.enter_context(doorcode.worker("worker", name=f"worker{n}")) for n in range(PROCESSES)]
        one_worker = [stack.enter_context(one.worker("worker"))]
        prefork = ("--pool", "prefork", "--concurrency", str(PROCESSES))
        peer_workers = [stack.enter_context(peer.worker("peer", *prefork, "--queues", "peer"))]
        idle_workers = [stack.enter_context(floor.worker("tests.bench.floor.tasks", *prefork, "--queues", "floor"))]
        many, fewer, few = bench.size(MAILS, 60), bench.size(FEWER, 40), bench.size(SLOW, 20)
        runs: dict[str, tuple[int, Callable[[int], Used]]] = {
            "doorcode": (many, lambda number: drain(bench, doorcode, doorcode_workers, number)),
            "doorcode, one process": (fewer, lambda number: drain(bench, one, one_worker, number)),
            "Celery + Django's backend": (few, lambda number: drain(bench, peer, peer_workers, number, "peer.fill")),
            "empty Celery task": (fewer, lambda number: _empty(bench, floor, idle_workers, number)),
            "smtplib": (many, lambda number: _smtplib(bench, number)),
        }
        for turn in range(-1, bench.rounds):
            for name, (number, run) in runs.items():
                used = run(number if turn >= 0 else number // 3)
                if turn >= 0:
                    rates[name].append(number / used.seconds)
                    costs[name].append(used.cpu / number * 1e3)
    bench.units["mail_cpu_ms"] = median(costs["doorcode"])
    bench.units["mails_a_second_one_process"] = median(rates["doorcode, one process"])
    said = {name: f"{spread(rates[name], 'mails/s')}, {spread(costs[name], 'CPU-ms')}" for name in rates}

    def against(what: str, other: str, goal: Goal | None, ours: str = "doorcode") -> Row:
        return ratio(what, rates[ours], rates[other], goal, **{ours: said[ours], other: said[other]})

    return [
        against("mails/s against Celery + Django's backend", "Celery + Django's backend", Goal(least=6)),
        against("mails/s against smtplib alone", "smtplib", None),
        against("mails/s against an empty Celery task", "empty Celery task", None),
        against("mails/s of one process against smtplib alone", "smtplib", None, ours="doorcode, one process"),
    ]


def fill(site: Site, number: int, module: str = "tests.bench.fill") -> str:
    """Lay mails before a site's workers; return what their recipients begin with."""
    tag = next(_tags)
    command = [str(site.python), "-m", module, str(number), tag]
    subprocess.run(command, cwd=site.folder, env={"PATH": os.environ["PATH"], **site.environment}, check=True)
    return tag


def drain(
    bench: Bench, site: Site, workers: "list[subprocess.Popen[bytes]]", number: int, module: str = "tests.bench.fill"
) -> Used:
    """Fill while the workers stand still, then measure them from the start to the last acceptance."""
    for worker in workers:
        freeze(worker.pid, signal.SIGSTOP)
    try:
        fill(site, number, module)
    finally:
        bench.rig.sink.reset()
        with using(pids(bench.rig, *workers)) as used:
            for worker in workers:
                freeze(worker.pid, signal.SIGCONT)
            begun = time.monotonic()
            bench.rig.sink.wait_for(number, PATIENCE)
    used.seconds = max(bench.rig.sink.state().times) - begun
    return used


def _empty(bench: Bench, site: Site, workers: "list[subprocess.Popen[bytes]]", number: int) -> Used:
    broker = bench.rig.broker(site)
    for worker in workers:
        freeze(worker.pid, signal.SIGSTOP)
    try:
        fill(site, number, "tests.bench.floor.fill")
    finally:
        with using(pids(bench.rig, *workers)) as used:
            for worker in workers:
                freeze(worker.pid, signal.SIGCONT)
            wait_until(lambda: not broker.llen("floor") and not broker.hlen("unacked"), "all tasks", PATIENCE)
    return used


def _smtplib(bench: Bench, number: int) -> Used:
    """The last mail of Doorcode's length again and again, on one connection."""
    message = b"Subject: 1234 is your code\r\nContent-Type: text/plain\r\n\r\n" + b"word " * 500 + b"\r\n"
    begun, before = time.monotonic(), time.process_time()
    with smtplib.SMTP("127.0.0.1", bench.rig.sink.port) as smtp:
        for _ in range(number):
            smtp.sendmail("a@example.com", ["b@example.com"], message)
    return Used(time.monotonic() - begun, time.process_time() - before)
