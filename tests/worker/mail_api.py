"""Postmark's API on this machine."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

Answer = tuple[int, Any]  # an HTTP status, 0 to hang up, and a body


class MailApi:
    """A mail service. `answer` is what it says to a mail, or a function of the mail; the mails are in `taken`."""

    def __init__(self, answer: Answer | Callable[[dict[str, Any]], Answer]) -> None:
        self.answer, self.delay, self.taken = answer, 0.0, list[dict[str, Any]]()
        self.headers: dict[str, str] = {}  # of its answers
        self.connections: set[object] = set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()
        self.url = "anymail+postmark://token@?api_url=" + quote(f"http://127.0.0.1:{self.server.server_port}/", safe="")

    def handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer is one packet: the second of two would wait 40 ms for a delayed ACK

            def setup(self) -> None:
                super().setup()
                api.connections.add(self.client_address)

            def do_POST(self) -> None:
                mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.taken.append(mail)
                time.sleep(api.delay)
                status, body = api.answer(mail) if callable(api.answer) else api.answer
                if not status:
                    self.close_connection = True
                    return
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **api.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def accepted(mail: dict[str, Any], provider_id: str) -> Answer:
    """How it takes a mail."""
    return 200, {"ErrorCode": 0, "MessageID": provider_id, "To": mail["To"], "Message": "OK"}
