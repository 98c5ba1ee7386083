"""Round trips of POST /signup/, counted on the wire: a trip begins where the client speaks after the server did."""

import itertools
import socket
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from tests.bench.bench import Bench
from tests.bench.measure import Figure
from tests.bench.result import Goal, Row
from tests.bench.systems import Site
from tests.servers import free_port


class Counter:
    """A proxy before a server on 127.0.0.1 that counts round trips."""

    def __init__(self, server_port: int) -> None:
        self.port, self.trips = free_port(), 0
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                asking = threading.Event()
                threading.Thread(target=self._pump, args=(client, server, asking, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, asking, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, asking: threading.Event, is_client: bool) -> None:
        with source, suppress(OSError):
            while data := source.recv(65_536):
                if is_client and not asking.is_set():
                    self.trips += 1
                    asking.set()
                elif not is_client:
                    asking.clear()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def counting(port: int) -> Generator[Counter]:
    counter = Counter(port)
    try:
        yield counter
    finally:
        counter.close()


def trips(bench: Bench) -> list[Row]:
    doorcode = bench.rig.doorcode("doorcode-trips")
    sites = [
        (doorcode, Goal(most=10)),
        (bench.rig.floor(doorcode, "full"), None),
        (bench.rig.peer("allauth-trips", hashes=False, mails="celery"), None),
    ]
    rows = []
    for site, goal in sites:
        database, cache = _count(bench, site)
        rows += [Row(f"database round trips of a sign-up: {site.name}", database, goal, unit="trips")]
        rows += [Row(f"Redis round trips of a sign-up: {site.name}", cache, unit="trips")]
    return rows


def _count(bench: Bench, site: Site) -> tuple[Figure, Figure]:
    """Trips of single requests to PostgreSQL and to Redis: median, least and most."""
    with ExitStack() as stack:
        counters = [stack.enter_context(counting(each.port)) for each in (bench.rig.postgres, bench.rig.redis)]
        environment = dict(site.environment)
        for counter, server, name in zip(
            counters, (bench.rig.postgres, bench.rig.redis), ("DATABASE_URL", "REDIS_URL"), strict=True
        ):
            environment[name] = environment[name].replace(f":{server.port}", f":{counter.port}")
        site = replace(site, environment=environment)
        stack.enter_context(site.web("-w", "1"))
        names = bench.names(40)
        bench.visit(site, names)
        counts: list[list[int]] = [[], []]
        for name in names:
            before = [counter.trips for counter in counters]
            bench.sign_up(site, [name], clients=1)
            for each, counter, start in zip(counts, counters, before, strict=True):
                each.append(counter.trips - start)
    database, cache = ([float(n) for n in itertools.islice(each, 20, None)] for each in counts)  # after warming up
    return Figure.of(database), Figure.of(cache)
