"""A DNS server that answers out of a dictionary."""

import contextlib
import socketserver
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Nameserver:
    """
    A server on 127.0.0.1, by UDP and TCP. `records` is (name, kind) -> records as a zone file has them; other names do
    not exist. `faults` is name -> what happens instead: "frozen", "SERVFAIL", "garbage", or "truncated" by UDP.
    """

    def __init__(self, records: dict[tuple[str, str], list[str]], faults: dict[str, str] | None = None) -> None:
        self.records, self.faults, self.queries = records, faults or {}, list[tuple[str, str, str]]()
        nameserver = self

        class OverTCP(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    length = int.from_bytes(self.rfile.read(2))
                    if answer := nameserver.answer(self.rfile.read(length), "TCP"):
                        self.wfile.write(len(answer).to_bytes(2) + answer)

        class OverUDP(socketserver.DatagramRequestHandler):
            def handle(self) -> None:
                self.wfile.write(nameserver.answer(self.rfile.read(), "UDP"))

            def finish(self) -> None:
                if self.wfile.getvalue():
                    super().finish()

        tcp = socketserver.TCPServer(("127.0.0.1", 0), OverTCP)
        self.port: int = tcp.server_address[1]
        self._servers = [tcp, socketserver.UDPServer(("127.0.0.1", self.port), OverUDP)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def answer(self, wire: bytes, way: str) -> bytes:
        """The answer to a query; nothing from a frozen server."""
        query = dns.message.from_wire(wire)
        [question] = query.question
        name, kind = str(question.name).rstrip("."), dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, way))
        fault, response = self.faults.get(name), dns.message.make_response(query, recursion_available=True)
        if fault == "frozen":
            return b""
        if fault == "garbage":
            return wire[:2] + b"\x81\x80" + b"\xff" * 20
        if fault == "SERVFAIL":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif fault == "truncated" and way == "UDP":
            response.flags |= dns.flags.TC
        elif name not in {owner for owner, _kind in self.records}:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            alias = self.records.get((name, "CNAME"), [])
            for owner, each in [(name, "CNAME"), (alias[0].rstrip(".") if alias else name, kind)]:
                if found := self.records.get((owner, each)):
                    response.answer.append(dns.rrset.from_text_list(f"{owner}.", 60, "IN", each, found))
        return response.to_wire()
