"""A lease is short, and renewed while its process lives."""

import threading
import time
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from tests.factories import make_captcha, make_delivery
from tests.servers import wait_until
from worker import outbox, sending, smtp, sweeper
from worker.classification import Outcome, Reply
from worker.models import Delivery

pytestmark = pytest.mark.django_db

OVER = timedelta(seconds=-1)


@pytest.fixture
def claimed() -> Delivery:
    make_delivery(make_captcha(accepted=False))
    [delivery] = outbox.claim(limit=1)
    return delivery


def lease(delivery: Delivery, ends: timedelta) -> datetime:
    """Set the end of a lease."""
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=Now() + ends)
    return Delivery.objects.get(pk=delivery.pk).lease_until


def renew(delivery: Delivery) -> datetime | None:
    outbox.renew(deliveries=[delivery])
    return Delivery.objects.get(pk=delivery.pk).lease_until


@pytest.mark.parametrize("ends", [timedelta(seconds=3), OVER], ids=["still holds", "is over"])
def test_a_held_lease_is_put_off(claimed: Delivery, ends: timedelta) -> None:
    """Also one that is over, if nobody has taken the mail."""
    before = lease(claimed, ends)
    after = renew(claimed)
    assert after > before + timedelta(seconds=10)
    assert outbox.reclaim() == 0


def test_the_lease_of_another_worker_is_not_put_off(claimed: Delivery) -> None:
    """A process that was frozen finds its mails taken."""
    lease(claimed, OVER)
    outbox.reclaim()
    [again] = outbox.claim(limit=1)
    ends = lease(again, timedelta(seconds=3))
    assert renew(claimed) == ends


def test_a_mail_that_may_have_been_accepted_keeps_its_longer_lease(claimed: Delivery) -> None:
    """It is tried again after it."""
    outbox.settle(results=[(claimed, Reply(Outcome.UNKNOWN, "silence"))])
    ends = Delivery.objects.get().lease_until
    assert renew(claimed) == ends


def test_a_settled_mail_has_no_lease(claimed: Delivery) -> None:
    """Though the rest of its batch is held."""
    outbox.settle(results=[(claimed, Reply(Outcome.ACCEPTED, "250 OK"))])
    assert renew(claimed) is None


def test_a_process_renews_what_it_holds(claimed: Delivery, monkeypatch, caplog) -> None:
    """And only while it does, whatever becomes of a renewal."""
    seen: list[list[Delivery]] = []

    def renewing(*, deliveries: list[Delivery]) -> None:
        seen.append(deliveries)
        raise OperationalError

    monkeypatch.setattr(sending, "RENEWAL", 0.01)
    monkeypatch.setattr(sending, "_renewer", None)
    monkeypatch.setattr(outbox, "renew", renewing)
    with sending.lease_held([claimed]):
        wait_until(lambda: len(seen) >= 2, "two renewals")
    number = len(seen)
    with sending.lease_held([]):
        pass
    assert sending._held == {}
    assert seen[0] == [claimed]
    assert len(seen) <= number + 1
    assert "leases can't be renewed: OperationalError" in caplog.text


def test_a_worker_renews_the_leases_of_the_mails_that_it_sends(claimed: Delivery, monkeypatch) -> None:
    """Else another worker would send those too whose answer takes longer than a lease."""
    outbox.release(deliveries=[claimed])
    make_delivery(make_captcha(accepted=False))
    renewed: list[list[Delivery]] = []

    def send(*_: object) -> Reply:
        wait_until(lambda: renewed, "a renewal")
        return Reply(Outcome.ACCEPTED, "250 OK")

    monkeypatch.setattr(sending, "RENEWAL", 0.01)
    monkeypatch.setattr(sending, "_renewer", None)
    monkeypatch.setattr(outbox, "renew", lambda *, deliveries: renewed.append(deliveries))
    monkeypatch.setattr(sending, "_build_and_send", send)
    assert sending.deliver() == 2
    assert sorted(each.pk for each in renewed[0]) == sorted(
        Delivery.objects.filter(state="sent").values_list("pk", flat=True)
    )


def test_claims_at_the_same_time_leave_one_thread_that_renews(claimed: Delivery, monkeypatch) -> None:
    """A thread that begins is not alive yet, so each claim starts one. Each would query the database for ever."""
    before = {*threading.enumerate()}
    monkeypatch.setattr(sending, "RENEWAL", 0.01)
    monkeypatch.setattr(sending, "_renewer", None)
    monkeypatch.setattr(outbox, "renew", lambda *, deliveries: None)
    with monkeypatch.context() as beginning:
        beginning.setattr(threading.Thread, "is_alive", lambda self: False)
        for _ in range(3):
            with sending.lease_held([claimed]):
                pass
    wait_until(lambda: len({*threading.enumerate()} - before) == 1, "the end of two", patience=5)


def test_the_lease_of_a_thread_that_hangs_ends(claimed: Delivery, monkeypatch) -> None:
    """Another worker sends its mails."""
    now, looks, renewed = [1_000.0], list[float](), list[float]()

    def look() -> float:
        looks.append(now[0])
        return now[0]

    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=look, sleep=time.sleep))
    monkeypatch.setattr(sending, "RENEWAL", 0.01)
    monkeypatch.setattr(sending, "_renewer", None)
    monkeypatch.setattr(outbox, "renew", lambda *, deliveries: renewed.append(now[0]))
    with sending.lease_held([claimed]):
        wait_until(lambda: renewed, "a renewal")
        now[0] += sending.LONGEST
        wait_until(lambda: looks.count(now[0]) >= 2, "the end of a renewal that was under way")
        number = len(renewed)
        wait_until(lambda: looks.count(now[0]) >= 5, "three more looks")
    assert len(renewed) == number


def test_each_deadline_leaves_time_for_what_it_waits_for() -> None:
    """One renewal may fail; the last send of a batch ends in time; after an outage a live worker renews first."""
    assert 2 * sending.RENEWAL < outbox.LEASE
    assert sending.HOLD + smtp.DEADLINE < sending.LONGEST
    assert sending.RENEWAL < sweeper.GRACE


def test_where_no_thread_can_be_started_no_lease_is_held(claimed: Delivery, monkeypatch) -> None:
    """Else the thread that renews those of other batches would hold up the mails, which nobody sends."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sending, "_renewer", None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError), sending.lease_held([claimed]):
        pass
    assert not sending._held
