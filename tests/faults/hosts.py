"""
Many hosts: a proxy, two webs, two workers, PostgreSQL, Redis and a mail server, each in a network namespace of its own.
Visitors sign up through the proxy all the time, while each host in turn is cut off or slowed, and brought back.

`python -m tests.faults.hosts`, as root. What must hold: no mail is lost, and no request fails but those in EXPECTED.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import trustme

from tests.bench.sink import Sink, Taken, sink
from tests.faults.network import Network, can_enter, enter
from tests.faults.web_proxies import Nginx
from tests.servers import Host, Postgres, Redis, System, listens, wait_until

HOSTS = ("proxy", "web-1", "web-2", "worker-1", "worker-2", "postgresql", "redis", "mail")
FAULTS = [f"{name} {what}" for name in HOSTS for what in ("cut off", "slowed")]
WEB_PORTS = {"web-1": 8001, "web-2": 8002}  # not the same: both may be on one host
VISITORS = 4
PATIENCE = 30  # seconds a visitor waits for an answer
TURNS = 3
PAUSE = 0.2  # seconds between two sign-ups of a visitor
AROUND = 0.5, 1.5  # how long the load goes on before and after a fault, as a multiple of the fault
SETTLE = 90  # seconds for the mails to arrive, once all is well again
SLOW, LATE = 2.0, 5.0  # seconds that an answer, and a mail, take at the most while all is well
UNAVAILABLE = "503"  # with Retry-After
# The kinds of failed requests that a fault may cause; another causes none.
EXPECTED = {
    "proxy cut off": {"time-out", "refused"},
    "postgresql cut off": {UNAVAILABLE},
}


@dataclass(frozen=True)
class Request:
    """A visitor's request: when, by the monotonic clock, and how it failed; "" for not at all."""

    begun: float
    ended: float
    failure: str


@dataclass
class Load:
    """The requests of visitors before, during and after a fault."""

    requests: list[Request] = field(default_factory=list)
    posted: dict[str, float] = field(default_factory=dict)  # address -> when its sign-up was answered by 303
    returned: float = 0.0  # when the host was brought back

    @property
    def failures(self) -> Counter[str]:
        return Counter(each.failure for each in self.requests if each.failure)


class Doorcode:
    """All servers, each on the host of its name."""

    def __init__(self, hosts: dict[str, Host], folder: Path) -> None:
        self.hosts, self.folder = hosts, folder

    @contextmanager
    def run(self) -> Generator["Doorcode"]:
        with ExitStack() as stack, ExitStack() as ending:  # all of them end at once
            postgres = stack.enter_context(Postgres(host=self.hosts["postgresql"]))
            redis = stack.enter_context(Redis(host=self.hosts["redis"], password="secret"))
            self.sink: Sink = stack.enter_context(sink(self.hosts["mail"]))
            self.sink.keep(r"^Message-ID:\s*(\S+)")
            webs = {name: f"{self.hosts[name].address}:{port}" for name, port in WEB_PORTS.items()}
            self.proxy = Nginx(
                [], self.folder, trustme.CA(), name=self.hosts["proxy"].address, host=self.hosts["proxy"]
            )
            self.proxy.webs = list(webs.values())
            self.url = f"https://{self.proxy.name}:{self.proxy.port}"
            more = {"SITE_URL": self.url, "TRUSTED_PROXIES": "1"}
            database = postgres.migrated_database()
            self.system = System(database=database, redis=redis.url, mail=self.sink, logs=self.folder, **more)
            self.system.hosts = self.hosts
            commands = {name: ("gunicorn", "core.wsgi", "-b", address) for name, address in webs.items()}
            for name in ("worker-1", "worker-2"):
                commands[name] = ("celery", "-A", "worker", "worker", "--concurrency", "4", "--hostname", f"{name}@%h")
            for name, command in commands.items():
                running = stack.enter_context(self.system.start(name, "-m", *command))
                ending.callback(running.terminate)
            wait_until(
                lambda: all("ready." in self.system.log(name) for name in ("worker-1", "worker-2")), "workers", 90
            )
            wait_until(lambda: all(listens(WEB_PORTS[name], self.hosts[name]) for name in webs), "webs", 90)
            stack.enter_context(self.proxy)
            self.settled(Load())
            yield self

    def sign_up(self, address: str, load: Load) -> None:
        """As a browser would: get the page, and post its form."""
        with requests.Session() as browser:
            browser.trust_env, browser.verify = False, str(self.folder / "authority.pem")
            if self._ask(browser, load, "GET", 200):
                token = browser.cookies["__Host-csrftoken"]
                headers = {"X-CSRFToken": token, "Referer": f"{self.url}/signup/"}
                if self._ask(browser, load, "POST", 303, data={"email": address}, headers=headers):
                    load.posted[address] = time.monotonic()

    def _ask(self, browser: requests.Session, load: Load, method: str, good: int, **options: object) -> bool:
        begun, failure = time.monotonic(), ""
        try:
            answer = browser.request(
                method,
                f"{self.url}/signup/",
                timeout=PATIENCE,
                allow_redirects=False,
                **options,  # type: ignore[arg-type]
            )
        except requests.Timeout:
            failure = "time-out"
        except requests.ConnectionError:
            failure = "refused"
        else:
            if answer.status_code != good:
                bare = answer.status_code == 503 and "Retry-After" not in answer.headers
                failure = f"{answer.status_code}{' without Retry-After' if bare else ''}"
        load.requests.append(Request(begun, time.monotonic(), failure))
        return not failure

    @contextmanager
    def visitors(self, name: str, *, pause: float = PAUSE) -> Generator[Load]:
        """Have visitors sign up meanwhile, whose addresses begin with a name; afterwards wait for their last answers."""
        load, over = Load(), threading.Event()

        def visit(visitor: int) -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                self.sign_up(f"{name.replace(' ', '.')}.{visitor}x{turn}@example.com", load)
                over.wait(pause)

        threads = [threading.Thread(target=visit, args=(number,), daemon=True) for number in range(VISITORS)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            over.set()
        for thread in threads:
            thread.join()

    def settled(self, load: Load) -> bool:
        """Wait until nothing is on its way, and these mails have arrived; False where that does not happen in time."""
        waiting = "SELECT count(*) FROM worker_delivery WHERE state IN ('pending', 'sending')"
        try:
            wait_until(
                lambda: load.posted.keys() <= set(self.sink.state().recipients) and self.system.rows(waiting) == [(0,)],
                "the end of every mail",
                patience=SETTLE,
                pause=0.5,
            )
        except AssertionError:
            return False
        return True


def break_one(network: Network, doorcode: Doorcode, fault: str, seconds: float) -> Load:
    """Let visitors sign up, break the host meanwhile, and wait for their mails."""
    name, _, what = fault.partition(" ")
    with doorcode.visitors(fault) as load:
        time.sleep(seconds * AROUND[0])
        (network.cut_off if what == "cut off" else network.slow_down)(name)
        try:
            time.sleep(seconds)
        finally:
            network.bring_back(name)
        load.returned = time.monotonic()
        time.sleep(seconds * AROUND[1])
    healed = time.monotonic()
    doorcode.settled(load)
    print(f"{fault}: {len(load.posted)} sign-ups, settled after {time.monotonic() - healed:.0f} s", file=sys.stderr)
    return load


@dataclass
class Row:
    """The results of a fault's load."""

    fault: str
    requests: int
    failures: Counter[str]
    slowest: float  # seconds
    lost: int
    repeated: int
    normal_after: float  # seconds from the return of the host until the last answer and mail that were late

    @classmethod
    def of(cls, fault: str, load: Load, taken: Taken) -> "Row":
        arrived: dict[str, float] = {}
        numbers: Counter[str] = Counter()
        for recipient, accepted_at, message_id in zip(taken.recipients, taken.times, taken.codes, strict=True):
            if recipient.startswith(f"{fault.replace(' ', '.')}."):
                arrived.setdefault(recipient, accepted_at)
                numbers[message_id] += 1
        late = [each.ended for each in load.requests if each.failure or each.ended - each.begun > SLOW]
        late += [arrived[each] for each, posted in load.posted.items() if arrived.get(each, 0) > posted + LATE]
        return cls(
            fault=fault,
            requests=len(load.requests),
            failures=load.failures,
            slowest=max(each.ended - each.begun for each in load.requests),
            lost=len(load.posted.keys() - arrived.keys()),
            repeated=sum(numbers.values()) - len(numbers),
            normal_after=max([0.0, *(at - load.returned for at in late)]),
        )

    @property
    def holds(self) -> bool:
        return not self.lost and set(self.failures) <= EXPECTED.get(self.fault, set())

    def __str__(self) -> str:
        failed = ", ".join(f"{number} × {kind}" for kind, number in sorted(self.failures.items())) or "none"
        cells = [self.fault, self.requests, failed, f"{self.slowest:.1f}", self.lost, self.repeated]
        return f"| {' | '.join(map(str, cells))} | {self.normal_after:.1f} |"


HEAD = """| fault | requests | failed | slowest, s | mails lost | repeated | normal after, s |
|---|---|---|---|---|---|---|"""


def throughput(places: dict[str, Doorcode], seconds: float) -> dict[str, float]:
    """Sign-ups a second of each, measured in turns: other programs on this machine slow both."""
    done: Counter[str] = Counter()
    for turn in range(TURNS):
        for place, doorcode in places.items():
            with doorcode.visitors(f"turn-{turn}", pause=0) as load:
                time.sleep(seconds / TURNS)
            doorcode.settled(load)
            done[place] += len(load.posted)
    return {place: number / seconds for place, number in done.items()}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", choices=FAULTS)
    parser.add_argument("--seconds", type=float, default=8, help="that each fault lasts")
    parser.add_argument("--throughput", type=float, default=30, help="seconds to measure it for; 0: not at all")
    options = parser.parse_args()
    if not can_enter():
        print("This needs root, iproute2, network namespaces and /dev/net/tun.")
        return 2
    enter("tests.faults.hosts")
    network = Network(*HOSTS, "alone")
    network.make()
    alone = dict.fromkeys(HOSTS, network.hosts["alone"])
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="doorcode-hosts-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        for name in ("many", "alone"):
            (path / name).mkdir()
        with Doorcode(network.hosts, path / "many").run() as doorcode:
            loads = {fault: break_one(network, doorcode, fault, options.seconds) for fault in options.only or FAULTS}
            taken = doorcode.sink.state()
            if options.throughput:
                with Doorcode(alone, path / "alone").run() as together:
                    speeds = throughput({"eight hosts": doorcode, "one host": together}, options.throughput)
    rows = [Row.of(fault, load, taken) for fault, load in loads.items()]
    print(HEAD, *rows, sep="\n")
    print(*(f"{name}: {speed:.1f} sign-ups a second" for name, speed in speeds.items()), sep="\n")
    return int(not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
