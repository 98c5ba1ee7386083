"""
Seeded chaos: visitors sign up while the parts are killed, frozen and cut one after the other; then all is counted.

`python -m tests.faults.chaos --seconds 60 --seed 1`. What must hold: every mail ends; each that is recorded as sent was
seen by the mail server; none is repeated but for a worker that died, or a server that fell silent, after the final dot.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path

from tests.servers import Postgres, Redis, System, Visitor, wait_until
from tests.worker.sink import Sink

GROUP = 10  # mails that a dying worker may leave unrecorded: those answered during one transaction
SETTLE = 300.0  # seconds for everything to end, once all is well again: a lease, and what may repeat after it


@dataclass
class Result:
    """The result of a run."""

    asked: int = 0
    slowest: float = 0.0
    times: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    repeated: int = 0
    allowed: int = 0

    def table(self) -> str:
        times = sorted(self.times) or [0.0]
        rows = [
            ("sign-ups asked for", self.asked),
            ("answers by status", dict(self.answers)),
            (
                "answer p50 / p99 / slowest, s",
                f"{times[len(times) // 2]:.3f} / {times[len(times) * 99 // 100]:.3f} / {times[-1]:.3f}",
            ),
            ("faults", dict(sorted(self.faults.items()))),
            ("mails by state at the end", dict(self.states)),
            ("lost", self.lost),
            ("repeated", self.repeated),
            ("repeats allowed: silences after the dot, and groups of workers killed", self.allowed),
        ]
        return "\n".join(f"| {name} | {value} |" for name, value in rows)


class Chaos:
    """One run on real servers of its own."""

    def __init__(self, *, seed: int, seconds: float, folder: Path) -> None:
        self.random, self.seconds, self.result = random.Random(seed), seconds, Result()
        self.redis, self.postgres, self.sink = Redis(), Postgres(), Sink()
        self.folder = folder
        self.over = threading.Event()
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> Result:
        with ExitStack() as stack:
            stack.enter_context(self.postgres)
            stack.enter_context(self.redis)
            environment = {"database": self.postgres.migrated_database(), "redis": self.redis.url}
            self.system = System(mail=self.sink, logs=self.folder, **environment)
            stack.enter_context(self.system.run(worker=False))
            stack.callback(self._stop_workers)
            for name in ("one", "two"):
                self._start_worker(name)
            visitors = [threading.Thread(target=self._visit, args=(n,)) for n in range(4)]
            for visitor in visitors:
                visitor.start()
            self._break_things()
            self.over.set()
            for visitor in visitors:
                visitor.join()
            self._heal()
            self._count()
        return self.result

    def _visit(self, number: int) -> None:
        """One visitor after the other, each with an address of their own."""
        turn = 0
        while not self.over.is_set():
            turn += 1
            visitor = Visitor(self.system.url)
            visitor.get("/signup/")
            begun = time.monotonic()
            status = visitor.post("/signup/", email=f"v{number}x{turn}@example.com").status_code
            self.result.times.append(time.monotonic() - begun)
            self.result.answers[status] += 1
            self.result.asked += status == 303
            self.over.wait(0.2)

    def _break_things(self) -> None:
        faults: list[Callable[[], None]] = [
            self._kill_worker, self._freeze_redis, self._restart_redis, self._freeze_worker, self._mail_server,
        ]  # fmt: skip
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            self.over.wait(self.random.uniform(0.5, 2))
            self._supervise()
            fault = self.random.choice(faults)
            self.result.faults[fault.__name__.strip("_").replace("_", " ")] += 1
            fault()

    def _kill_worker(self) -> None:
        name = self.random.choice(list(self.workers))
        self.workers[name].kill()
        self.workers[name].wait()
        self.result.allowed += GROUP
        self._start_worker(name)

    def _supervise(self) -> None:
        """Start again who ended by themselves, as systemd or Compose does, and count them: nobody should."""
        for name, worker in list(self.workers.items()):
            if worker.poll() is not None:
                self.result.faults["worker gave up"] += 1
                self.result.allowed += GROUP
                self._start_worker(name)

    def _freeze_worker(self) -> None:
        worker = self.workers[self.random.choice(list(self.workers))]
        worker.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 3))
        worker.send_signal(signal.SIGCONT)

    def _freeze_redis(self) -> None:
        self.redis.send(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 3))
        self.redis.send(signal.SIGCONT)

    def _restart_redis(self) -> None:
        self.redis.stop(signal.SIGKILL)
        time.sleep(self.random.uniform(0, 2))
        self.redis.start()

    def _mail_server(self) -> None:
        verb, answer, good = self.random.choice(
            [
                ("RCPT", "450 later", "250 fine"),
                ("DOT", "451 later", "250 taken"),
                ("CONNECT", "421 busy", "220 sink"),
                ("CONNECT", "close", "220 sink"),
                ("MAIL", "close", "250 fine"),
                ("DOT", "close", "250 taken"),
            ]
        )
        if (verb, answer[:3]) in (("DOT", "clo"), ("DOT", "451")):
            self.result.allowed += 1  # the sink counts what it took before it answered
        self.sink.script = {verb: [answer, good]}

    def _start_worker(self, name: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--concurrency", "4", "-n", f"{name}@%h"]
        env = self.system.environment
        self.workers[name] = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        log.close()

    def _stop_workers(self) -> None:
        for worker in self.workers.values():
            worker.terminate()
        for worker in self.workers.values():
            try:
                worker.wait(timeout=20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _heal(self) -> None:
        self.sink.script = {}
        waiting = "SELECT count(*) FROM worker_delivery WHERE state IN ('pending', 'sending')"
        # A mail that met a passing failure late in the run would wait for its backoff; its time has come.
        wait_until(
            lambda: self._hurry() and self.system.rows(waiting) == [(0,)], "the end of every mail", patience=SETTLE
        )

    def _hurry(self) -> bool:
        self._supervise()
        self.system.execute("UPDATE worker_delivery SET next_attempt_at = now() WHERE state = 'pending'")
        # A lease longer than a minute belongs to nobody at work: its mail met silence after the dot, again and again.
        self.system.execute(
            "UPDATE worker_delivery SET lease_until = now() + interval '60 s'"
            " WHERE state = 'sending' AND lease_until > now() + interval '61 s'"
        )
        time.sleep(0.5)
        return True

    def _count(self) -> None:
        seen = Counter(str(message_from_bytes(mail)["Message-ID"]) for mail in self.sink.mails)
        rows = self.system.rows("SELECT state, message_id FROM worker_delivery")
        self.result.states = Counter(state for state, _ in rows)
        self.result.lost = sum(state == "sent" and message_id not in seen for state, message_id in rows)
        self.result.lost += self.result.asked - len(rows) if self.result.asked > len(rows) else 0
        self.result.lost += self.result.states["failed"] + self.result.states["expired"]
        self.result.repeated = sum(number - 1 for number in seen.values())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="doorcode-chaos-") as folder:
        result = Chaos(seed=options.seed, seconds=options.seconds, folder=Path(folder)).run()
    print(result.table())
    return int(bool(result.lost) or result.repeated > result.allowed)


if __name__ == "__main__":
    sys.exit(main())
