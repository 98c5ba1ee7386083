"""MAIL, RCPT and DATA in one packet."""

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worker.envelope import announce

ALL = b"MAIL FROM:<us@example.com>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n"


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[smtplib.SMTP, list[bytes]]]:
    """A client of a server that says PIPELINING, and then answers whole packets in turn; and the packets it got."""
    listener = socket.create_server(("127.0.0.1", 0))
    packets: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 hello\r\n")
            connection.recv(1_000)
            connection.sendall(b"250-hello\r\n250 PIPELINING\r\n")
            for answer in answers:
                packets.append(connection.recv(1_000))
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = smtplib.SMTP("127.0.0.1", listener.getsockname()[1], timeout=5)
    client.ehlo()
    yield client, packets
    client.close()
    thread.join(5)
    listener.close()


def ask(client: smtplib.SMTP, recipient: str = "a@example.com", *, data: bool = True) -> list[tuple[int, bytes]]:
    return announce(client, sender="us@example.com", recipient=recipient, data=data)


def test_three_commands_are_one_packet() -> None:
    """And three answers are read."""
    with server(b"250 fine\r\n250 fine\r\n354 go on\r\n") as (client, packets):
        assert [code for code, _ in ask(client)] == [250, 250, 354]
    assert packets == [ALL]


def test_without_a_mail_there_is_no_data() -> None:
    """The server is asked about the recipient alone."""
    with server(b"250 fine\r\n251 forwarded\r\n") as (client, packets):
        assert [code for code, _ in ask(client, data=False)] == [250, 251]
    assert packets == [ALL.removesuffix(b"DATA\r\n")]


def test_a_refused_recipient_is_the_last_answer_and_the_connection_goes_on() -> None:
    """What comes after it is read, so that the next command gets its own answer."""
    with server(b"250 fine\r\n550 nobody\r\n503 no recipient\r\n", b"250 reset\r\n") as (client, _):
        assert ask(client) == [(250, b"fine"), (550, b"nobody")]
        assert client.rset() == (250, b"reset")


def test_a_server_that_wants_the_mail_all_the_same_gets_none() -> None:
    """Its connection is closed: an empty mail would be one."""
    with server(b"250 fine\r\n550 nobody\r\n354 go on\r\n") as (client, _):
        assert ask(client)[-1] == (550, b"nobody")
        assert client.sock is None


def test_who_hangs_up_after_a_refusal_has_said_why() -> None:
    """As some do with 421."""
    with server(b"421 too many\r\n") as (client, _):
        assert ask(client) == [(421, b"too many")]


def test_who_hangs_up_without_a_word_is_an_error() -> None:
    """As ever."""
    with server(b"250 fine\r\n") as (client, _), pytest.raises(smtplib.SMTPServerDisconnected):
        ask(client)


def test_an_address_is_one_line() -> None:
    """Or it could say commands."""
    with server() as (client, packets), pytest.raises(ValueError, match="line break"):
        ask(client, "a@example.com>\r\nRCPT TO:<b@example.com")
    assert packets == []
