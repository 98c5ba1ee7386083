"""
The load generator: visitors in a process of their own, on kept connections, as a browser with cookies and forms.

The parent sends one JSON object a line and reads one back. Threads with plain sockets cost the machine about 0.1 ms a
request, so that what is measured is mostly the server.
"""

import http.client
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from tests.servers import ROOT, process

CLIENTS = 8
PATIENCE = 150.0  # seconds an answer may take
_FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)
_NAME = re.compile(r'<input[^>]*\bname="([^"]+)"')
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"')

Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers with lower-case names, body


class Connection:
    """One kept HTTP/1.1 connection. It understands what our servers say: bodies with a Content-Length."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> Answer:
        """Send a request; once more on a new connection where the server had closed the kept one."""
        kept = self._socket is not None
        try:
            return self._ask(request)
        except (ConnectionError, http.client.HTTPException):
            self._socket = None
            if not kept:
                raise
            return self._ask(request)

    def _ask(self, request: bytes) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        head, body = self._read_head(self._socket)
        lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        fields = dict(headers)
        status = int(lines[0].split()[1])
        length = 0 if status == 204 else int(fields["content-length"])  # a server that sends none is not one of ours
        while len(body) < length:
            body += self._receive(self._socket)
        if fields.get("connection") == "close":
            self._socket.close()
            self._socket = None
        return status, headers, body

    def _read_head(self, server: socket.socket) -> tuple[bytes, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive(server)
        head, _, body = received.partition(b"\r\n\r\n")
        return head, body

    @staticmethod
    def _receive(server: socket.socket) -> bytes:
        part = server.recv(65_536)
        if not part:
            raise http.client.RemoteDisconnected("the server hung up")
        return part

    def close(self) -> None:
        if self._socket:
            self._socket.close()


class Visitor:
    """A browser on its first visit: cookies, the forms of the last page it saw, a network of its own."""

    def __init__(self, number: int) -> None:
        self.cookies: dict[str, str] = {}
        self.forms: list[tuple[set[str], dict[str, str]]] = []  # the names of fields, the hidden ones with values
        self.network = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def request(self, method: str, path: str, fields: dict[str, str]) -> bytes:
        body = urlencode(self._hidden(fields) | fields) if method == "POST" else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nAccept-Language: en\r\n"
            f"X-Forwarded-For: {self.network}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return f"{head}Cookie: {cookie}\r\n\r\n{body}".encode() if cookie else f"{head}\r\n{body}".encode()

    def _hidden(self, fields: dict[str, str]) -> dict[str, str]:
        """
        The hidden fields of the form that most of these belong to: a page may have others, to resend or to leave, and
        a form may be sent with the fields of its next step.
        """
        return max(self.forms, key=lambda form: len(form[0] & fields.keys()), default=(set(), {}))[1]

    def take(self, answer: Answer) -> None:
        """Keep the cookies of an answer, and the forms of its page."""
        for name, value in answer[1]:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                content = rest.partition(";")[0].strip('"')
                self.cookies.pop(key, None)
                if content:
                    self.cookies[key] = content
        if answer[2]:
            found = _FORM.findall(answer[2].decode())
            self.forms = [(set(_NAME.findall(form)), dict(_HIDDEN.findall(form))) for form in found]


class Generator:
    """The child's side: visitors by name, from one command to the next."""

    def __init__(self) -> None:
        self._visitors: dict[str, Visitor] = {}
        self._numbers = itertools.count(1)

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """
        Ask `path` once for each of `visits` (name, fields). Return times and latencies in seconds, and statuses.

        With `rate`, requests begin at that many a second whatever becomes of those before (their latency counts from
        the time at which they were due); without, each of `clients` asks as fast as it is answered.
        """
        visits, rate = command["visits"], command.get("rate")
        position, lock = itertools.count(), threading.Lock()
        sent: list[float] = [0.0] * len(visits)
        took: list[float] = [0.0] * len(visits)
        statuses: Counter[int] = Counter()
        begun = time.monotonic() + 0.01

        def client(port: int) -> None:
            connection = Connection(port)
            while (index := next(position)) < len(visits):
                name, fields = visits[index]
                visitor = self._visitors.get(name) or self._visitors.setdefault(name, Visitor(next(self._numbers)))
                request = visitor.request(command["method"], command["path"], fields)
                due = begun + index / rate if rate else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                answer = connection.ask(request)
                sent[index], took[index] = due, time.monotonic() - due
                visitor.take(answer)
                with lock:
                    statuses[answer[0]] += 1
            connection.close()

        with ThreadPoolExecutor(command["clients"]) as pool:
            ports = itertools.cycle(command["ports"])
            for done in [pool.submit(client, next(ports)) for _ in range(command["clients"])]:
                done.result()
        return {"seconds": time.monotonic() - begun, "sent": sent, "took": took, "statuses": statuses}


class Load:
    """The parent's side."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child

    def run(
        self,
        port: int | Sequence[int],
        method: str,
        path: str,
        visits: Sequence[tuple[str, dict[str, str]]],
        *,
        expect: int,
        clients: int = CLIENTS,
        rate: float | None = None,
    ) -> dict[str, Any]:
        """
        See Generator.obey; several ports share the clients. Raises AssertionError where any answer failed or had another
        status than `expect`.
        """
        command = {
            "ports": [port] if isinstance(port, int) else list(port),
            "method": method,
            "path": path,
            "visits": visits,
            "clients": clients,
            "rate": rate,
        }
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps(command).encode() + b"\n")
        self._child.stdin.flush()
        result = json.loads(self._child.stdout.readline())
        if "error" in result:
            raise AssertionError(f"{method} {path}: {result['error']}")
        if set(result["statuses"]) != {str(expect)}:
            raise AssertionError(f"{method} {path} answered {result['statuses']}, not {expect} alone")
        return result


@contextmanager
def generator() -> Iterator[Load]:
    """Run a load generator."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with process(sys.executable, "-m", "tests.bench.load", cwd=ROOT, **pipes) as child, child.stdin, child.stdout:
        yield Load(child)


def main(obey: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    for line in sys.stdin:
        try:
            result = obey(json.loads(line))
        except Exception as error:  # the parent tells which benchmark it was
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(Generator().obey)
