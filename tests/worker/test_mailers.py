"""The second way of mails, while the first can't be used."""

from collections.abc import Iterator

import pytest

from core import mail_urls
from core.health import registry
from core.observability import counters
from tests.factories import FrozenClock, make_captcha, make_delivery
from tests.worker.sink import Sink
from worker import health, mailers, outbox, sending, sweeper
from worker.classification import Reply
from worker.models import Delivery, Heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def sinks(settings) -> Iterator[tuple[Sink, Sink]]:
    """The mail servers of both ways."""
    first, second = Sink({}), Sink({})
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", sink.url) for sink in (first, second)]
    yield first, second
    for each in (first, second):
        each.close()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The monotonic time of the circuit breakers."""
    times = [1_000.0]
    monkeypatch.setattr("core.circuit_breaker.time.monotonic", lambda: times[0])
    return times


def mails(number: int) -> None:
    for _ in range(number):
        make_delivery(make_captcha(accepted=False))


def deliver() -> list[int]:
    """The sizes of the batches until none is left."""
    return list(iter(sending.deliver, 0))


def test_mails_leave_by_the_first_way(sinks: tuple[Sink, Sink]) -> None:
    """While it works, the second is left alone."""
    mails(3)
    deliver()
    assert [len(sink.mails) for sink in sinks] == [3, 0]
    assert sinks[1].connections == 0


def test_a_refused_sender_of_one_language_stops_no_other(
    sinks: tuple[Sink, Sink], clock: list[float], frozen_clocks: FrozenClock, settings
) -> None:
    """A domain that isn't verified at the mail server yet. The others' mails leave, and its own wait."""
    settings.MAIL_ROUTES = settings.MAIL_ROUTES[:1]
    settings.FROM_EMAILS = {"en": "noreply@doorcode.test", "de": "noreply@doorcode.invalid"}
    mails(1)
    deliver()
    for _ in range(3):
        sinks[0].script["MAIL"] = ["553 not this sender", "250 fine"]
        make_delivery(make_captcha(accepted=False), language="de")
        deliver()
        assert not mailers.every()[0].breaker.is_open
        mails(1)
        deliver()
    assert len(sinks[0].mails) == 4


@pytest.mark.parametrize(
    "how",
    [
        "refused",
        "554 at the greeting",
        "close",
        "421 going down",
        "451 4.3.0 Temporary lookup failure",
        "452 Insufficient system storage",
        "530 5.7.0 Authentication required",
    ],
)
def test_an_outage_is_one_for_the_senders_of_all_languages(
    sinks: tuple[Sink, Sink], clock: list[float], settings, monkeypatch, how: str
) -> None:
    """Although it took no mail of this one yet, it is not this sender that it refuses: the second way is used."""
    monkeypatch.setattr(outbox, "SERVICE_PAUSE", 3_600)
    settings.FROM_EMAILS = {"en": "noreply@doorcode.test", "de": "noreply@doorcode.invalid"}
    first, second = sinks
    mails(1)
    deliver()
    mailers.every()[0].backend.close()
    if how == "refused":
        first.close()
    else:
        first.script |= {"CONNECT": ["554 no service"]} if "greeting" in how else {"MAIL": [how]}
    for _ in range(5):
        make_delivery(make_captcha(accepted=False), language="de")
    deliver()
    assert (mailers.every()[0].breaker.is_open, len(second.mails)) == (True, 5)


def test_no_mail_leaves_while_djangos_tests_run(sinks: tuple[Sink, Sink], django_sends_by, mailoutbox) -> None:
    """Django sets a backend in memory then; a project's tests find our mails in it, as they do Django's own."""
    django_sends_by("django.core.mail.backends.locmem.EmailBackend")
    mails(2)
    deliver()
    assert [each.state for each in Delivery.objects.all()] == ["sent"] * 2
    assert len(mailoutbox) == 2
    assert [sink.connections for sink in sinks] == [0, 0]


def test_mails_leave_by_email_url_where_a_sites_own_leave_by_djangos_smtp(
    sinks: tuple[Sink, Sink], django_sends_by
) -> None:
    """By EMAIL_HOST, as in most sites' settings. It knows no circuit breaker, no second server and no final refusal."""
    django_sends_by("django.core.mail.backends.smtp.EmailBackend")
    mails(2)
    deliver()
    assert [each.state for each in Delivery.objects.all()] == ["sent"] * 2
    assert len(sinks[0].mails) == 2


def test_the_doctor_names_a_backend_that_sends_nothing(django_sends_by) -> None:
    """As a developer's console."""
    django_sends_by("django.core.mail.backends.console.EmailBackend")
    assert health.mail_server() == registry.ok("django.core.mail.backends.console")


@pytest.mark.parametrize("script", [{"MAIL": ["550 not this sender"] * 9}, {"MAIL": ["450 too many mails"] * 9}])
def test_the_second_takes_over_while_the_first_is_broken_or_throttles(
    sinks: tuple[Sink, Sink], clock: list[float], script: dict[str, list[str]]
) -> None:
    """All leave at once, each of them once; the try of the mail that found out does not count."""
    first, second = sinks
    first.script.update(script)
    mails(5)
    deliver()
    assert (len(first.mails), len(second.mails)) == (0, 5)
    assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}


def test_a_mail_that_tests_the_first_in_vain_leaves_by_the_second(sinks: tuple[Sink, Sink], clock: list[float]) -> None:
    """Each time at once, although it failed before; else the same mail might test it again after each pause."""
    first, second = sinks
    first.script["MAIL"] = ["550 not this sender"] * 9
    for number in (1, 2, 3):
        clock[0] += 60
        mails(1)
        Delivery.objects.filter(state="pending").update(attempts=3)
        deliver()
        assert (len(first.mails), len(second.mails)) == (0, number)


@pytest.mark.parametrize("broken", [None, 0, 1], ids=["neither", "the first, until now", "the second"])
def test_a_mail_that_both_refuse_does_not_go_round_between_them(
    sinks: tuple[Sink, Sink], clock: list[float], settings, broken: int | None
) -> None:
    """They take the mails of another sender, so that it is this one that they refuse. The mail waits, as any other."""
    settings.FROM_EMAILS = {"en": "noreply@doorcode.test", "de": "noreply@doorcode.invalid"}
    for mailer, sink in zip(mailers.every(), sinks, strict=True):
        mailer._senders.add("noreply@doorcode.test")
        sink.script["MAIL"] = ["553 not this sender"] * 9 + ["250 fine"]
    if broken is not None:
        mailers.every()[broken].breaker.failed()
        clock[0] += 6 if broken == 0 else 0
    make_delivery(make_captcha(accepted=False), language="de")
    deliver()
    tries = 10 * 2 - sum(len(sink.script["MAIL"]) for sink in sinks)
    assert tries == 1


def test_a_mail_that_was_taken_while_another_met_an_outage_is_not_sent_again(
    sinks: tuple[Sink, Sink], clock: list[float], monkeypatch
) -> None:
    """Another thread's mail opened the circuit breaker meanwhile, and the second way is free."""
    mailer = mailers.every()[0]
    real = mailer.submit

    def submit(*args: object, **options: object) -> Reply:
        reply = real(*args, **options)
        mailer.breaker.failed()
        return reply

    monkeypatch.setattr(mailer, "submit", submit)
    mails(1)
    deliver()
    assert [len(sink.mails) for sink in sinks] == [1, 0]


def test_the_first_is_tried_again_by_one_mail(sinks: tuple[Sink, Sink], clock: list[float]) -> None:
    """After a pause; once it works, all mails leave by it."""
    first, second = sinks
    mailers.every()[0].breaker.failed()
    mails(2)
    deliver()
    clock[0] += 6
    mails(3)
    assert sending.deliver() == 1
    assert (len(first.mails), len(second.mails)) == (1, 2)
    deliver()
    assert (len(first.mails), len(second.mails)) == (3, 2)


def test_a_sweep_sends_by_the_second_while_the_first_is_broken(
    sinks: tuple[Sink, Sink], clock: list[float], monkeypatch
) -> None:
    """Where the broker is down too, nobody else would."""
    monkeypatch.setattr("worker.notify.notify_workers", lambda delivery_id: False)
    mailers.every()[0].breaker.failed()
    mails(1)
    assert (sweeper.sweep(), len(sinks[1].mails)) == (1, 1)


def test_nothing_is_claimed_while_both_are_broken(sinks: tuple[Sink, Sink], clock: list[float]) -> None:
    """Neither by a worker nor by a sweep."""
    mails(1)
    for mailer in mailers.every():
        mailer.breaker.failed()
    assert (sending.deliver(), sweeper.sweep()) == (0, 0)
    clock[0] += 6
    assert sending.deliver() == 1


def test_an_operator_learns_that_the_second_is_used(sinks: tuple[Sink, Sink], monkeypatch) -> None:
    """The heartbeat says that the first way is broken, and an alert counts the mails that leave by the second."""
    monkeypatch.setattr(sweeper, "BEAT", 0.0)
    mails(2)
    deliver()
    sweeper.beat()
    assert not Heartbeat.objects.get().mail_server_broken
    assert ("doorcode_mails_by_fallback", "") not in counters._gathered
    mailers.every()[0].breaker.failed()
    mails(1)
    deliver()
    sweeper.beat()
    assert (len(sinks[1].mails), Heartbeat.objects.get().mail_server_broken) == (1, True)
    assert counters._gathered["doorcode_mails_by_fallback", ""] == 1


def test_a_busy_first_way_is_not_a_broken_one(sinks: tuple[Sink, Sink], monkeypatch) -> None:
    """Another process has all its connections, and sends the mails."""
    monkeypatch.setattr(mailers.every()[0], "can_send", lambda: False)
    mails(1)
    assert sending.deliver() == 0
    assert sinks[1].connections == 0


def test_a_broken_first_way_that_takes_no_connection_stops_no_mail(sinks: tuple[Sink, Sink], monkeypatch) -> None:
    """Its server went down after it had refused further connections."""
    monkeypatch.setattr(mailers.every()[0], "can_send", lambda: False)
    mailers.every()[0].breaker.failed()
    mails(1)
    deliver()
    assert len(sinks[1].mails) == 1


def test_the_doctor_looks_at_both(sinks: tuple[Sink, Sink], settings) -> None:
    """By their own servers."""
    for check, sink in zip((health.mail_server, health.fallback_mail_server), sinks, strict=True):
        assert check().text == f"127.0.0.1:{sink.port}, without TLS"
    health.test_mail("ann@example.com")
    assert [len(sink.mails) for sink in sinks] == [1, 1]
    settings.MAIL_ROUTES = settings.MAIL_ROUTES[:1]
    mailers.every.cache_clear()
    assert health.fallback_mail_server().text == "EMAIL_FALLBACK_URL is not set"
