"""Faults of a mail server, against a real worker."""

import time

import pytest

from tests.faults.conftest import WORKER, emptied
from tests.faults.proxy import Proxy
from tests.servers import SLOWNESS, System, Visitor, code_in, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

NOT_NOW = "We can't send email to alice@example.com right now. Try again later or use another address"
STATES = "SELECT state, attempts FROM worker_delivery ORDER BY id"


system = pytest.fixture(emptied)


def state(visitor: Visitor) -> str:
    return visitor.get("/signup/status/").json()["state"]


@pytest.mark.parametrize(
    ("script", "attempts"),
    [
        ({"RCPT": ["450 4.2.0 greylisted", "250 fine"]}, 2),
        ({"DOT": ["421 going down", "250 taken"]}, 2),
        ({"CONNECT": ["421 too busy", "220 sink"]}, 2),
        ({"CONNECT": ["close", "220 sink"]}, 2),
        ({"CONNECT": ["hang", "220 sink"]}, 2),
        ({"MAIL": ["451 busy", "250 fine"]}, 2),
        ({"RCPT": ["hang", "250 fine"]}, 2),
    ],
)
def test_a_passing_failure_delays_the_mail(system: System, sink: Sink, script: dict, attempts: int) -> None:
    """The visitor sees it delayed, then sent; the code works, and the mail came once."""
    sink.script = script
    alice, email = Visitor(system.url), "alice@example.com"
    with system.worker("worker", *WORKER):
        alice.post("/signup/", email=email)
        wait_until(lambda: state(alice) == "delayed", "the delay")
        assert "Email is slow right now" in alice.get("/signup/verify/").text
        wait_until(lambda: state(alice) == "sent", "the sending")
    assert system.rows(STATES) == [("sent", attempts)]
    assert len(sink.parsed(email)) == (2 if "DOT" in script else 1)
    fields = {"email": email, "username": "alice", "password": "correct horse b"}
    assert alice.post("/signup/verify/", captcha=code_in(sink.parsed(email)[-1]), **fields).status_code == 303


@pytest.mark.parametrize("answer", ["hang", "close"])
def test_silence_after_the_dot_is_repeated_after_the_lease(system: System, sink: Sink, answer: str) -> None:
    """Nobody knows whether it was taken: the same mail again, with the same Message-ID."""
    sink.script = {"DOT": [answer, "250 taken"]}
    alice, email = Visitor(system.url), "alice@example.com"
    with system.worker("worker", *WORKER):
        alice.post("/signup/", email=email)
        wait_until(lambda: state(alice) == "sent", "the sending")
    first, second = sink.parsed(email)
    assert sink.times[1] - sink.times[0] > 1
    assert (first["Message-ID"], code_in(first)) == (second["Message-ID"], code_in(second))


def test_a_refused_mailbox_is_told_at_once(system: System, sink: Sink) -> None:
    """550: no second try, and the page says to check the address; a registered address would read the same."""
    sink.script = {"RCPT": ["550 5.1.1 no such user"]}
    alice = Visitor(system.url)
    with system.worker("worker", *WORKER):
        alice.post("/signup/", email="alice@example.com")
        wait_until(lambda: state(alice) == "failed", "the refusal")
    assert system.rows(STATES) == [("failed", 1)]
    assert "We couldn't email alice@example.com. Check it or use another address" in alice.get("/signup/verify/").text


@pytest.mark.parametrize("script", [{"RCPT": ["550 5.7.1 blocked by policy"]}, {"DOT": ["554 DT:SPM 163 smtp14"]}])
def test_a_refusal_because_of_us_does_not_blame_the_visitor(system: System, sink: Sink, script: dict) -> None:
    """The page says to try again later."""
    sink.script = script
    alice = Visitor(system.url)
    with system.worker("worker", *WORKER):
        alice.post("/signup/", email="alice@example.com")
        wait_until(lambda: state(alice) == "failed", "the refusal")
    assert NOT_NOW in alice.get("/signup/verify/").text


def test_a_refusal_because_of_our_rate_is_tried_again(system: System, sink: Sink) -> None:
    """Though the mail server calls it permanent: the mail is delayed, and then sent."""
    sink.script = {"RCPT": ["550 Connection frequency limited", "250 fine"]}
    alice = Visitor(system.url)
    with system.worker("worker", *WORKER):
        alice.post("/signup/", email="alice@example.com")
        wait_until(lambda: state(alice) == "delayed", "the refusal")
        assert NOT_NOW in alice.get("/signup/verify/").text
        wait_until(lambda: state(alice) == "sent", "the sending")
    assert system.rows(STATES) == [("sent", 2)]


def test_a_hanging_server_holds_its_own_thread_alone(system: System, sink: Sink) -> None:
    """Other mails leave while one recipient's server says nothing; sign-up stays quick."""
    sink.script = {"RCPT": ["hang", "250 fine"]}
    with system.worker("worker", *WORKER):
        Visitor(system.url).post("/signup/", email="alice@example.com")
        wait_until(lambda: any("alice" in line for line in list(sink.said)), "the hang")
        begun = time.monotonic()
        Visitor(system.url).post("/signup/", email="bob@example.com")
        assert time.monotonic() - begun < SLOWNESS
        wait_until(lambda: sink.parsed("bob@example.com"), "Bob's mail")
        assert not sink.parsed("alice@example.com")
        wait_until(lambda: sink.parsed("alice@example.com"), "Alice's mail")


def test_after_an_outage_everything_leaves(system: System, sink: Sink) -> None:
    """While the server is away the circuit breaker spares it; after the next probe all waiting mails leave."""
    port = sink.port
    sink.close()
    people = [f"alice{n}@example.com" for n in range(30)]
    with system.worker("worker", *WORKER):
        for email in people:
            assert Visitor(system.url).post("/signup/", email=email).status_code == 303
        time.sleep(4)
        tries = sum(attempts for _, attempts in system.rows(STATES))
        assert tries < 20  # 30 mails in 4 s: most were never tried
        back = Sink(port=port)
        begun = time.monotonic()
        wait_until(lambda: all(back.parsed(email) for email in people), "the backlog", patience=60)
        print(f"mail server back: 30 mails after {time.monotonic() - begun:.1f} s, {tries} tries while it was away")
        back.close()


@pytest.mark.parametrize("mode", ["refuse", "blackhole", "reset", "trickle"])
def test_a_strange_network_before_the_mail_server(system: System, sink: Sink, mode: str) -> None:
    """Whatever the network does, sign-up is quick, no thread hangs for ever, and the mail leaves when it is well."""
    alice = Visitor(system.url)
    with Proxy(sink.port) as proxy, system.worker("worker", *WORKER, EMAIL_URL=f"smtp://127.0.0.1:{proxy.port}"):
        proxy.mode = mode
        alice.get("/signup/")
        begun = time.monotonic()
        assert alice.post("/signup/", email="alice@example.com").status_code == 303
        assert time.monotonic() - begun < SLOWNESS
        wait_until(lambda: state(alice) == "delayed", "the delay")
        proxy.mode = "pass"
        wait_until(lambda: state(alice) == "sent", "the sending")
    assert len(sink.parsed("alice@example.com")) == 1
