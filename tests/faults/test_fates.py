"""
Mails by a mail service: some are put off, some bounce, some are reported as spam. `MAILS=10000 pytest -s` for more, and
how long they take.
"""

import base64
import json
import os
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
import requests

from tests.faults.conftest import WORKER, post_mails
from tests.servers import Postgres, Redis, System, wait_until
from tests.worker.mail_api import Answer, MailApi, accepted

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

MAILS = int(os.environ.get("MAILS", "2000"))
SECRET = "mail:a-password-of-tests"


class Fates:
    """The service's answer to each mail: by its number, so that each is known beforehand."""

    def __init__(self) -> None:
        self.tries: Counter[int] = Counter()
        self.accepted: Counter[int] = Counter()
        self.reports: Queue[dict[str, Any]] = Queue()

    @staticmethod
    def state(number: int) -> str:
        """3 of 100 bounce, 1 of 200 is reported as spam, and half of the latter bounce as well."""
        if number % 200 in (50, 150) and number % 400 < 200:
            return "complained"
        return "bounced" if number % 100 in (1, 34, 67) else "sent"

    def answer(self, mail: dict[str, Any]) -> Answer:
        number = int(mail["To"].partition("@")[0].strip("<p"))
        self.tries[number] += 1
        if number % 100 == 99 and self.tries[number] == 1:
            return 422, {"ErrorCode": 405, "Message": "too many mails, try later"}
        self.accepted[number] += 1
        for report in self.told(number, f"id-{number}"):
            self.reports.put(report)
        return accepted(mail, f"id-{number}")

    def told(self, number: int, provider_id: str) -> list[dict[str, Any]]:
        """The reports about a mail: some come twice, and before the service's own answer is on record."""
        fate = self.state(number)
        facts = {"ID": number, "MessageID": provider_id, "Email": f"p{number}@example.com"}
        facts["BouncedAt"] = facts["DeliveredAt"] = datetime.now(UTC).isoformat()
        bounce = {"RecordType": "Bounce", "Type": "HardBounce", "Details": "smtp;550 5.1.1 no such user", **facts}
        complaint = {"RecordType": "SpamComplaint", "Type": "SpamComplaint", **facts}
        delivery = [{"RecordType": "Delivery", **facts}] if number % 20 == 0 else []
        if fate == "complained":
            return [complaint, bounce, *delivery] if number % 400 == 50 else [*delivery, complaint]
        return [bounce, bounce] if fate == "bounced" else delivery


def report(fates: Fates, url: str, stop: threading.Event, refused: Counter[int]) -> None:
    """The service posts its reports in any order, and again later where it is asked to."""
    session, waiting, order = requests.Session(), list[dict[str, Any]](), random.Random(7)
    session.headers["Authorization"] = "Basic " + base64.b64encode(SECRET.encode()).decode()
    while waiting or not stop.is_set():
        try:
            while len(waiting) < 500:
                waiting.append(fates.reports.get(timeout=0.05))
        except Empty:
            pass
        order.shuffle(waiting)
        later = []
        for each in waiting[:100]:
            answer = session.post(f"{url}/anymail/postmark/tracking/", json=each, timeout=10)
            refused[answer.status_code] += 1
            if answer.status_code != 200:
                later.append(each)
        waiting = waiting[100:] + later
        if later:
            time.sleep(0.2)


def test_every_mail_ends_in_the_right_state(postgres: Postgres, redis: Redis, tmp_path: Path) -> None:
    """None is lost and none is sent twice, whatever the order of reports; who bounced or complained is left alone."""
    fates, refused, stop = Fates(), Counter[int](), threading.Event()
    api = MailApi(fates.answer)
    patch = json.dumps({"worker.outbox": {"BACKOFF": [2, 2, 5], "EARLY_AGAIN": 2}})
    more = {"EMAIL_WEBHOOK_SECRET": SECRET, "TEST_PATCH": patch, "ALLOWED_HOSTS": "127.0.0.1"}
    system = System(database=postgres.migrated_database(), redis=redis.url, mail=api, logs=tmp_path, **more)
    with ExitStack() as stack:
        stack.callback(api.close)
        stack.enter_context(system.run(worker=False))
        reporter = threading.Thread(target=report, args=(fates, system.url, stop, refused), daemon=True)
        reporter.start()
        stack.callback(reporter.join, 60)
        stack.callback(stop.set)
        begun = time.monotonic()
        post_mails(system, MAILS)
        for name in ("one", "two"):
            stack.enter_context(system.worker(name, *WORKER, threads=8))
        wait_until(lambda: sum(fates.accepted.values()) >= MAILS, "the last mail", patience=240)
        stop.set()
        reporter.join(60)
        assert not reporter.is_alive()
        waits = "SELECT count(*) FROM worker_delivery WHERE state IN ('pending', 'sending')"
        wait_until(lambda: system.rows(waits) == [(0,)], "the last record", patience=30)
        print(f"{MAILS} mails in {time.monotonic() - begun:.0f} s; reports: {dict(refused)}")
        numbered = "SELECT substring(recipient FROM 'p([0-9]+)@')::int, state, provider_id FROM worker_delivery"
        wrong = [row for row in system.rows(numbered) if row[1:] != (fates.state(row[0]), f"id-{row[0]}")]
        assert wrong == []
        assert fates.accepted == Counter(range(1, MAILS + 1))
        suppressed = dict(system.rows("SELECT address, reason FROM worker_suppression"))
    expected = {n for n in range(1, MAILS + 1) if fates.state(n) != "sent"}
    assert {int(address.partition("@")[0][1:]) for address in suppressed} == expected
    assert refused[429] > 0  # some came before their mail was on record
    assert set(refused) <= {200, 429}
