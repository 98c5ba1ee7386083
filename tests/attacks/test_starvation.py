"""Nobody is starved of mail, nor gets one twice: attacks 71 to 73 and 76 to 79."""

import base64
import importlib.util
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings as product
from django.db.models.functions import Now
from django.test import Client

from core import clock, mail_urls
from tests.attacks.attacker import Siege, SiegeOfResets
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery, make_muted, make_user
from tests.servers import ROOT
from tests.steps import deliver
from worker import bounces, mail_reports, mailers, outbox, sending, smtp, sweeper
from worker.classification import Cause, Outcome, Reply
from worker.models import Delivery, SiteMails, Suppression

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("defaults")]

HOUR = 60  # minutes


@pytest.mark.parametrize("spoils", [False, True], ids=["asks", "spoils"])
@pytest.mark.parametrize(("networks", "bound"), [(1, HOUR), (2, HOUR), (None, 3 * HOUR)], ids=["one", "two", "any"])
def test_71_a_besieged_owner_gets_in(
    frozen_clocks: FrozenClock, networks: int | None, bound: int, spoils: bool
) -> None:
    """Whenever they come, by their own mail or by the link of one that the stranger asked for."""
    siege = Siege(frozen_clocks, ALICE, networks, spoils=spoils)
    waits = siege.waits(hours=28, every=3)
    assert len(waits) == 9
    assert max(waits) <= bound
    assert siege.mails_in_a_day() <= 10


@pytest.mark.parametrize("networks", [0, 2], ids=["sign-ups alone", "two"])
def test_72_a_reset_comes_within_two_minutes(frozen_clocks: FrozenClock, networks: int) -> None:
    """Sign-up mails take no place of a reset's; and a reset's link works for an hour, whoever asked for it."""
    make_user(email=ALICE)
    siege = SiegeOfResets(frozen_clocks, ALICE, networks)
    if not networks:
        for _ in range(40):
            Siege.want(siege, network="stranger")
        while deliver():
            pass
    assert max(siege.waits(hours=28, every=4)) <= 2


def test_73_a_mail_that_is_held_back_takes_no_place(frozen_clocks: FrozenClock) -> None:
    """The owner, who undoes the mute, has all places."""
    make_muted(ALICE)
    for _ in range(6):
        make_delivery(make_captcha(accepted=False), network="stranger")
    assert len(deliver()) == 6
    assert not Delivery.objects.filter(admitted_at__isnull=False).exists()
    assert not SiteMails.objects.filter(mails__gt=0).exists()


def test_76_a_stranger_fills_only_part_of_the_sites_mails(frozen_clocks: FrozenClock, settings) -> None:
    """Its last places are for networks that asked for few; and it never sends all of an hour at once."""
    settings.LIMIT_MAILS_SITE = [(200, 3_600)]
    for number in range(300):
        make_delivery(recipient=f"victim{number}@example.com", network=f"stranger{number % 3}")
    while deliver():
        pass
    sent = Delivery.objects.filter(state=Delivery.State.SENT)
    assert 0 < sent.count() <= 100
    mine = make_delivery(recipient=BOB, network="home")
    assert [each.pk for each in deliver()] == [mine.pk]


def accepted() -> Delivery:
    """A mail that the mail server, and a mail service, took."""
    delivery = make_delivery(make_captcha())
    Delivery.objects.filter(pk=delivery.pk).update(state="sent", provider_id="id-1")
    return delivery


@pytest.mark.parametrize("password", ["", "mail:a-password-of-others"])
def test_77_a_forged_report_stops_nobodys_mail(client: Client, password: str) -> None:
    """Somebody who never had the mail can't name it by mail; a mail service signs in, or signs."""
    accepted()
    forged = (ROOT / "tests/worker/data/gmail.eml").read_bytes().replace(b"MESSAGE-ID", b"<1@doorcode.test>")
    assert [bounces.record(each) for each in mail_reports.read(forged)] == [bounces.Effect.UNKNOWN]
    headers = {"authorization": f"Basic {base64.b64encode(password.encode()).decode()}"} if password else {}
    body = {"RecordType": "Bounce", "Type": "HardBounce", "MessageID": "id-1", "Details": "550 5.1.1 unknown"}
    client.post("/anymail/postmark/tracking/", json.dumps(body), "application/json", headers=headers)
    assert (Delivery.objects.get().state, Suppression.objects.count()) == ("sent", 0)


def test_77_a_webhook_that_cant_tell_forged_reports_does_not_exist() -> None:
    """Without a password of ours, or the key by which this service signs."""
    names = [each.module for each in mail_urls.SERVICES.values()]
    others = {f"{name.upper()}_{key}": "x" for name in names for key in ("API_KEY", "INBOUND_SIGNING_KEY")}
    assert [name for name in names if mail_urls.can_report(name, others)] == []
    assert "sparkpost" not in product.MAIL_WEBHOOKS


def test_77_reports_stop_mail_for_no_longer_than_one_does(frozen_clock: FrozenClock) -> None:
    """A mailbox that several mails came back from, each reported again and again, gets mail after a day."""
    mails = [accepted() for _ in range(3)]
    for _ in range(4):
        for each in mails:
            known = {"cause": Cause.MAILBOX, "message_id": each.message_id}
            bounces.record(bounces.Report(Delivery.State.BOUNCED, "550 5.1.1 unknown", **known))
        frozen_clock.move(hours=8)
    assert not Suppression.objects.filter(until__gt=frozen_clock.now()).exists()


def test_78_no_stranger_keeps_a_mail_server_alone(monkeypatch) -> None:
    """Nothing is sent for resets of nobody, which are claimed first: none of them is the mail that finds out."""
    clock = [1_000.0]
    monkeypatch.setattr("core.circuit_breaker.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(smtp, "_send", lambda *_, **__: Reply(Outcome.ACCEPTED, "250 OK"))
    mailers.every()[0].breaker.failed()
    clock[0] += 5
    for number in range(3):
        make_delivery(kind="password_reset", recipient=f"nobody{number}@example.com")
    mine = make_delivery(make_captcha(accepted=False))
    for _ in range(4):
        sending.deliver()
    mine.refresh_from_db()
    assert mine.state == "sent"


def test_79_a_worker_leaves_the_mails_of_another_to_it() -> None:
    """One that was frozen neither keeps what another took over meanwhile, nor records it."""
    make_delivery(make_captcha(accepted=False))
    [old] = outbox.claim(limit=1)
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    outbox.reclaim()
    outbox.claim(limit=1)
    Delivery.objects.update(lease_until=Now() + timedelta(seconds=3))
    before = Delivery.objects.values().get()
    outbox.renew(deliveries=[old])
    assert outbox.settle(results=[(old, Reply(Outcome.DEFERRED, "450 later"))]) == [old]
    assert Delivery.objects.values().get() == before


def test_79_an_outage_of_the_database_gives_no_mail_to_another(monkeypatch) -> None:
    """Its lease ended meanwhile; its worker lives, and records that it was accepted."""
    sweeper.sweep()
    make_delivery(make_captcha(accepted=False))
    [claimed] = outbox.claim(limit=1)
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    later, accepted = sweeper._answered_at + 20, [(claimed, Reply(Outcome.ACCEPTED, "250 OK"))]
    monkeypatch.setattr(clock, "uptime", lambda: later)
    # The sweeper's own, not that of all threads.
    monkeypatch.setattr(sweeper, "time", SimpleNamespace(sleep=lambda _: outbox.settle(results=accepted)))
    sweeper.sweep()
    assert Delivery.objects.get().state == "sent"


def test_79_nor_to_a_process_that_starts_after_it(monkeypatch) -> None:
    """It has not seen the database before, and can't know for how long it was away."""
    spec = importlib.util.find_spec("worker.sweeper")
    started = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(started)
    make_delivery(make_captcha(accepted=False))
    [claimed] = outbox.claim(limit=1)
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    accepted = [(claimed, Reply(Outcome.ACCEPTED, "250 OK"))]
    monkeypatch.setattr(started, "time", SimpleNamespace(sleep=lambda _: outbox.settle(results=accepted)))
    started.sweep()
    assert Delivery.objects.get().state == "sent"
