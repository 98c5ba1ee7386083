"""An SMTP server that answers by a script."""

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import BinaryIO


class Sink:
    """
    A server on 127.0.0.1 whose answers are `script`: verb -> answers in turn, the last one for ever.

    Verbs: CONNECT, EHLO, MAIL, RCPT, DATA, DOT, RSET, NOOP. The answer "hang" stays silent, "close" hangs up, "late 250 …"
    comes after a second and a half.
    """

    GOOD = {"CONNECT": "220 sink", "DATA": "354 go on", "DOT": "250 taken"}

    def __init__(self, script: Mapping[str, list[str]] | None = None, *, port: int = 0) -> None:
        self.script = {verb: list(answers) for verb, answers in (script or {}).items()}
        self.said: list[str] = []
        self.mails: list[bytes] = []
        self._lock = threading.Lock()
        self.connections = self.open = self.most = 0
        self.times: list[float] = []  # of each mail's final dot, by the monotonic clock
        self._server = socket.create_server(("127.0.0.1", port))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._server.close()

    def parsed(self, address: str) -> list[EmailMessage]:
        """The mails to an address."""
        named = [mail for mail in list(self.mails) if address.encode() in mail]  # to parse one takes milliseconds
        found = (message_from_bytes(mail, _class=EmailMessage, policy=default) for mail in named)
        return [mail for mail in found if mail["To"] == address]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self.connections, self.open = self.connections + 1, self.open + 1
                self.most = max(self.most, self.open)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other side may die at any time
            self._dialogue(connection)
        with self._lock:
            self.open -= 1

    def _dialogue(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            if not self._answer(connection, "CONNECT"):
                return
            for line in lines:
                verb = line.split()[0].decode().upper()
                self.said.append(line.decode().strip())
                answer = None if verb == "QUIT" else self._answer(connection, verb)
                if answer is None:
                    return
                is_mail = verb == "DATA" and answer.startswith("354")
                if is_mail and not (self._take(lines) and self._answer(connection, "DOT")):
                    return

    def _take(self, lines: BinaryIO) -> bool:
        """Read a mail; False where the other side died before the final dot."""
        content = []
        while (part := lines.readline()) != b".\r\n":
            if not part:
                return False
            content.append(part)
        self.mails.append(b"".join(content))
        self.times.append(time.monotonic())
        return True

    def _answer(self, connection: socket.socket, verb: str) -> str | None:
        """Answer by the script; None where the conversation is over."""
        with self._lock:
            answers = self.script.get(verb) or [self.GOOD.get(verb, "250 fine")]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "close":
            return None
        if answer == "hang":
            connection.recv(1)
            return None
        if answer.startswith("late "):
            time.sleep(1.5)
            answer = answer.removeprefix("late ")
        while answer == "trickle":
            connection.sendall(b"250-x\r\n")
            time.sleep(0.05)
        connection.sendall(answer.encode() + b"\r\n")
        return None if answer.startswith("421") else answer
