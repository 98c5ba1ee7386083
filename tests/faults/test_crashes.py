"""A worker dies at a named point: the mail arrives all the same, at most once more than needed."""

import os

import pytest

from tests.faults.conftest import WORKER
from tests.faults.worker import POINTS
from tests.servers import System, Visitor, code_in, wait_until
from tests.worker.sink import Sink

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

BEFORE_THE_DOT = {"after claim", "after MAIL"}


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing(system: System, sink: Sink, point: str) -> None:
    """Before the dot no repeat; after it one, with the same Message-ID and the same code."""
    alice, email = Visitor(system.url), "alice@example.com"
    flag = system.logs / "crashed"
    with system.worker("doomed", *WORKER, TEST_CRASH=point, TEST_FLAG=str(flag)) as doomed:
        alice.post("/signup/", email=email)
        wait_until(lambda: doomed.poll() is not None, "the crash")
    assert doomed.returncode == 9
    with system.worker("healthy", *WORKER) as healthy:
        assert os.getpriority(os.PRIO_PROCESS, healthy.pid) > os.getpriority(os.PRIO_PROCESS, 0)  # it stands back
        wait_until(lambda: system.rows("SELECT state FROM worker_delivery") == [("sent",)], "the settling")
    mails = sink.parsed(email)
    print(f"{point}: lost 0, repeated {len(mails) - 1}")
    assert len(mails) == (1 if point in BEFORE_THE_DOT else 2)
    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len({code_in(mail) for mail in mails}) == 1
    fields = {"email": email, "username": "alice", "password": "correct horse b"}
    assert alice.post("/signup/verify/", captcha=code_in(mails[0]), **fields).status_code == 303
