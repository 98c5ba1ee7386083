"""
A fast SMTP server in a process of its own. It accepts everything and notes who got a mail, and when.

Beside SMTP it speaks: XSTATE (what it has, as JSON), XRESET (forget), XDELAY seconds (before each acceptance; "hang"
for never), XKEEP pattern (note the pattern's first group found in each mail, as the code).
"""

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.servers import HERE, ROOT, Host, free_port, listens, process, wait_until


@dataclass
class Taken:
    """The accepted mails: recipients, times by the monotonic clock, and codes found in the mails."""

    recipients: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)


class Session(asyncio.Protocol):
    """One client. Commands may come in one packet (RFC 2920), and are answered in one."""

    taken = Taken()
    delay = 0.0  # seconds
    hangs = False
    pattern: re.Pattern[str] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport, self._buffer, self._in_data = transport, b"", False
        self._recipient = ""
        if not self.hangs:
            transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self.hangs or self._buffer.startswith(b"X"):
            end = self._buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n")
            if end < 0:
                return
            content, self._buffer = self._buffer[:end], self._buffer[end + (5 if self._in_data else 2) :]
            if self._in_data:
                self._in_data = False
                self._accept(content)
            else:
                self._command(content.decode())

    def _accept(self, content: bytes) -> None:
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._accepted, content)
        else:
            self._accepted(content)

    def _accepted(self, content: bytes) -> None:
        found = self.pattern.search(content.decode()) if self.pattern else None
        self.taken.recipients.append(self._recipient)
        self.taken.times.append(time.monotonic())
        self.taken.codes.append(found[1] if found else "")
        self._transport.write(b"250 taken\r\n")

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == "RCPT":
            self._recipient = line.partition("<")[2].partition(">")[0]
        if verb == "EHLO":
            answer = "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000000"
        elif verb == "DATA":
            self._in_data = True
            answer = "354 go on"
        elif verb == "QUIT":
            answer = "221 bye"
        else:
            answer = self._extension(line) if verb[0] == "X" else "250 fine"
        self._transport.write(answer.encode() + b"\r\n")
        if verb == "QUIT":
            self._transport.close()

    def _extension(self, line: str) -> str:
        name, _, argument = line.partition(" ")
        if name == "XCOUNT":
            return str(len(Session.taken.times))
        if name == "XSTATE":
            return json.dumps(vars(Session.taken))
        if name == "XRESET":
            Session.taken = Taken()
        elif name == "XDELAY":
            Session.hangs = argument == "hang"
            Session.delay = 0.0 if Session.hangs else float(argument)
        elif name == "XKEEP":
            pattern = json.loads(argument)
            Session.pattern = re.compile(pattern, re.MULTILINE) if pattern else None
        return "ok"


class Sink:
    """The parent's side."""

    def __init__(self, port: int, host: Host = HERE) -> None:
        self.port, self.host = port, host
        self.url = f"smtp://{host.address}:{port}"

    def say(self, line: str) -> str:
        with (
            socket.create_connection((self.host.address, self.port), timeout=10) as server,
            server.makefile("rb") as lines,
        ):
            server.sendall(line.encode() + b"\r\n")
            answer = lines.readline()
            return (lines.readline() if answer.startswith(b"220") else answer).decode().strip()

    def count(self) -> int:
        return int(self.say("XCOUNT"))

    def state(self) -> Taken:
        return Taken(**json.loads(self.say("XSTATE")))

    def reset(self) -> None:
        self.say("XRESET")

    def keep(self, pattern: str) -> None:
        self.say(f"XKEEP {json.dumps(pattern)}")

    def delay(self, seconds: float | str) -> None:
        """Seconds before each acceptance; "hang" never answers anybody until it is told otherwise."""
        self.say(f"XDELAY {seconds}")

    def wait_for(self, number: int, patience: float = 180) -> None:
        """Asks ten times a second alone: what is measured shares the processors."""
        wait_until(lambda: self.count() >= number, f"{number} mails", patience, pause=0.1)


@contextmanager
def sink(host: Host = HERE) -> Generator[Sink]:
    """Run a sink."""
    port = free_port()
    command = host.command(sys.executable, "-m", "tests.bench.sink", host.address, str(port))
    with process(*command, cwd=ROOT, stdout=subprocess.DEVNULL):
        wait_until(lambda: listens(port, host), "the sink", 180)
        yield Sink(port, host)


async def main(address: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Session, address, port, backlog=200)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
