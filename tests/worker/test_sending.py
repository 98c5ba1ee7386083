"""Claim, build, hand over, settle."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from django.core.mail import EmailMessage
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now

from core import clock
from tests.factories import FrozenClock, make_captcha, make_delivery, make_user
from tests.servers import wait_until
from verification import codes
from verification.models import CaptchaModel
from worker import mailers, outbox, sending, smtp, smtp_pool, suppression, sweeper
from worker.classification import Outcome, Reply
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def sent(monkeypatch) -> list[str]:
    """The recipients of what went out; addresses at `.defer` and `.lost` fail."""
    recipients: list[str] = []

    def deliver(backend: object, message: EmailMessage, *, probe: bool = False) -> Reply:
        [recipient] = message.to
        if not probe:
            recipients.append(recipient)
        if recipient.endswith(".lost"):
            return Reply(Outcome.UNKNOWN, "silence")
        if recipient.endswith(".defer"):
            return Reply(Outcome.DEFERRED, "450 4.2.0 greylisted")
        return Reply(Outcome.ACCEPTED, "250 OK")

    monkeypatch.setattr(smtp.EmailBackend, "submit", deliver)
    return recipients


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


def test_one_message_sends_all_that_is_due(sent: list[str]) -> None:
    """In one claim."""
    for _ in range(3):
        make_delivery(make_captcha(accepted=False))
    assert sending.deliver() == 3
    assert states() == ["sent"] * 3
    assert sending.deliver() == 0


def test_a_slow_mail_server_gets_small_batches() -> None:
    """So that many threads ask it at once; a quick one gets what a claim is worth."""
    pace = sending._Pace()
    assert pace.batch() == 1  # nothing is known yet
    for seconds, most in ((0.002, sending.BATCH), (0.2, 5), (3.0, 1)):
        for _ in range(60):
            pace.note(seconds)
        assert pace.batch() == most


def test_resets_for_nobody_hold_up_no_worker(sent: list[str], monkeypatch) -> None:
    """They only wait where a mail is to be sent behind them: a stranger may ask for any number of them."""
    monkeypatch.setattr(sending._pace, "recent_send", lambda: 1 / 0)
    for number in range(20):
        make_delivery(kind="password_reset", recipient=f"nobody{number}@example.com")
    assert sending.deliver() > 0
    assert sent == []


def test_an_unknown_outcome_keeps_the_lease(sent: list[str]) -> None:
    """It may be on its way: nobody repeats it before the lease ends."""
    make_delivery(make_captcha(accepted=False), recipient="alice@example.lost")
    sending.deliver()
    assert states() == ["sending"]
    assert outbox.claim(limit=1) == []


def test_what_cant_be_built_ends_and_stops_nobody(sent: list[str]) -> None:
    """A code's key left the settings; the next mail goes out."""
    lost = make_captcha(accepted=False)
    CaptchaModel.objects.filter(pk=lost.pk).update(key_id="another")
    make_delivery(lost)
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert states() == ["expired", "sent"]


def test_an_unknown_outcome_is_not_repeated_for_ever(sent: list[str], frozen_clocks: FrozenClock) -> None:
    """The pause after another one is longer, and after two hours it ends."""
    make_delivery(make_captcha(accepted=False), recipient="alice@example.lost")
    for longest in (60, 3_600):
        sending.deliver()
        row = Delivery.objects.get()
        assert (row.lease_until - row.created_at).total_seconds() == longest
        assert row.last_reply.startswith("unanswered: ")
        Delivery.objects.update(lease_until=row.created_at - timedelta(seconds=1))
        outbox.reclaim()
    frozen_clocks.move(hours=2)
    sending.deliver()
    assert states() == ["failed"]


@pytest.mark.parametrize("network", ["0123456789abcdef", None], ids=["within the mail limits", "beside them"])
def test_the_time_before_the_first_try_counts_for_nothing(
    sent: list[str], frozen_clock: FrozenClock, network: str | None
) -> None:
    """Claimed and given back untried, as while the mail server was down: greylisted after that, it is tried again."""
    make_delivery(make_captcha(accepted=False), recipient="alice@example.defer", network=network)
    outbox.release(deliveries=outbox.claim(limit=1))
    frozen_clock.move(hours=3)
    sending.deliver()
    assert states() == ["pending"]
    Delivery.objects.update(next_attempt_at=Delivery.objects.get().created_at)
    frozen_clock.move(hours=2)
    sending.deliver()
    assert states() == ["failed"]


def test_a_hang_up_before_the_mail_was_handed_over_is_no_silence(sent: list[str], frozen_clocks: FrozenClock) -> None:
    """The first silence after one makes the mail wait no longer than any first silence."""
    make_delivery(make_captcha(accepted=False), recipient="alice@example.lost")
    Delivery.objects.update(attempts=1, last_reply="ConnectionResetError: reset by peer")
    sending.deliver()
    row = Delivery.objects.get()
    assert (row.lease_until - row.created_at).total_seconds() == 60


def test_outcomes_are_recorded_before_the_rest_is_released(sent: list[str], monkeypatch) -> None:
    """Or a fault of the release would send them twice."""
    for _ in range(3):
        make_delivery(make_captcha(accepted=False))
    monkeypatch.setattr(outbox, "release", lambda **_: 1 / 0)
    times = iter([0.0, 0.0, 0.0, 0.0, 0.0, 50.0, 50.0])
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: next(times, 50.0)))
    with pytest.raises(ZeroDivisionError):
        sending.deliver()
    assert states().count("sent") == len(sent) > 0


def test_outcomes_are_recorded_whatever_happens_next(sent: list[str], monkeypatch) -> None:
    """A fault that nobody thought of, at the third mail: the first two are out, and on record."""
    for _ in range(3):
        make_delivery(make_captcha(accepted=False))
    real, turns = sending._try, iter([1, 1, 0])
    monkeypatch.setattr(sending, "_try", lambda *args, **kw: real(*args, **kw) if next(turns) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sending.deliver()
    assert sorted(states()) == ["sending", "sent", "sent"]


def test_outcomes_wait_for_the_database(sent: list[str], monkeypatch, caplog) -> None:
    """The mail is out: its acceptance is recorded as soon as the database is back, within the lease."""
    real, failures = outbox.settle, iter([OperationalError("gone"), InterfaceError("gone")])

    def settle(*, results: list) -> list:
        for failure in failures:
            raise failure
        return real(results=results)

    monkeypatch.setattr(outbox, "settle", settle)
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))
    closed: list[bool] = []  # or the next try would meet the broken connection again
    monkeypatch.setattr(sending, "connection", SimpleNamespace(close=lambda: closed.append(True)))
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert (states(), len(sent), len(closed)) == (["sent"], 1, 2)
    assert caplog.text.count("outcomes wait for the database") == 2


def test_a_database_that_stays_away_ends_the_waiting(sent: list[str], monkeypatch) -> None:
    """With the lease: somebody else will repeat the mail."""

    def settle(*, results: list) -> list:
        raise OperationalError("gone")

    monkeypatch.setattr(outbox, "settle", settle)
    monkeypatch.setattr(sending, "RETRY", 1000.0)
    monkeypatch.setattr(sending, "connection", type("Connection", (), {"close": staticmethod(lambda: None)}))
    make_delivery(make_captcha(accepted=False))
    with pytest.raises(OperationalError):
        sending.deliver()


@pytest.mark.parametrize("reason", ["redeemed", "too old to live"])
def test_a_mail_that_helps_nobody_is_not_sent(sent: list[str], frozen_clock: FrozenClock, reason: str) -> None:
    """Its request is over, or the code would be expired on arrival."""
    sign_up = make_captcha()
    make_delivery(sign_up)
    if reason == "redeemed":
        CaptchaModel.objects.update(redeemed_at=frozen_clock.now())
    else:
        frozen_clock.move(seconds=1800)
    assert sending.deliver() == 0
    assert states() == ["expired"]


def test_a_broken_template_waits_for_its_mending(sent: list[str], caplog) -> None:
    """It is logged, kept for later, and stops nobody."""
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up, kind="nonsense")
    make_delivery(sign_up)
    sending.deliver()
    assert states() == ["pending", "sent"]
    assert "can't be built" in caplog.text


def test_the_error_of_a_broken_template_quotes_no_code(sent: list[str], settings, caplog, tmp_path: Path) -> None:
    """Django's error about a name that a site's own template mistypes quotes every other name's value."""
    (tmp_path / "mail" / "code").mkdir(parents=True)
    (tmp_path / "mail" / "code" / "subject.txt").write_text("{{ site_name|add:mistyped }}")
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    sign_up = make_captcha(accepted=False)
    make_delivery(sign_up)
    sending.deliver()
    assert states() == ["pending"]
    assert "VariableDoesNotExist in mail/code/subject.txt" in caplog.text
    assert f"'{codes.code_of(sign_up)}'" not in caplog.text


@pytest.mark.parametrize("taken", [True, False])
def test_after_a_freeze_a_batch_goes_on_only_if_nobody_took_it(sent: list[str], monkeypatch, taken: bool) -> None:
    """A process may be stopped, and a machine suspended, between two mails: by its own clock no time has passed then."""
    now = [1_000.0]
    for _ in range(2):
        make_delivery(make_captcha(accepted=False))

    def freeze(*args: object, **kwargs: object) -> Reply:
        if not sent:
            now[0] += outbox.LEASE
            Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
            if taken:
                outbox.reclaim()
                outbox.claim(limit=2)
        return real(*args, **kwargs)

    real = sending._try
    monkeypatch.setattr(clock, "uptime", lambda: now[0])
    monkeypatch.setattr(sending, "_try", freeze)
    sending.deliver()
    assert len(sent) == (1 if taken else 2)
    assert states() == (["sending"] * 2 if taken else ["sent"] * 2)


def test_a_batch_whose_lease_cant_be_renewed_is_given_back(sent: list[str], monkeypatch) -> None:
    """The database was away for longer than the lease."""
    times = iter([0.0, *[outbox.LEASE + 0.0] * 9])
    make_delivery(make_captcha(accepted=False))
    monkeypatch.setattr(clock, "uptime", lambda: next(times))
    monkeypatch.setattr(outbox, "renew", Mock(side_effect=OperationalError))
    sending.deliver()
    assert (states(), sent) == (["pending"], [])


def test_other_threads_get_the_rest_of_a_batch_that_takes_long(monkeypatch) -> None:
    """The mail server is slower than it was when they were claimed."""
    now = [0.0]

    def send_slowly(*_: object) -> Reply:
        now[0] += 4.0  # seconds
        return Reply(Outcome.ACCEPTED, "250 OK")

    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(sending, "_build_and_send", send_slowly)
    for _ in range(8):
        make_delivery(make_captcha(accepted=False))
    assert sending.deliver() == 8
    assert sorted(states()) == ["pending"] * 6 + ["sent"] * 2


def test_a_batch_begins_no_send_after_a_while(sent: list[str], monkeypatch) -> None:
    """The rest is free for others at once."""
    monkeypatch.setattr(sending, "HOLD", 0.0)
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert (states(), sent) == (["pending"], [])


@pytest.fixture
def broken(monkeypatch):
    """A mail server that is down, and the monotonic time of its circuit breaker."""
    clock = [1000.0]
    monkeypatch.setattr("core.circuit_breaker.time.monotonic", lambda: clock[0])
    return clock


def test_a_service_fault_spares_the_other_mails(broken, notified: list[int]) -> None:
    """The first finds out; the rest is given back untried."""
    for _ in range(3):
        make_delivery(make_captcha(accepted=False))
    assert sending.deliver() == 3
    assert sending.deliver() == 0
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0, 0, 1]
    assert (sweeper.sweep(), notified) == (0, [])  # no worker is notified meanwhile


def test_after_the_pause_one_mail_finds_out(broken, monkeypatch) -> None:
    """It fails: the pause is longer. It succeeds: everything leaves."""
    for _ in range(3):
        make_delivery(make_captcha(accepted=False))
    sending.deliver()
    broken[0] += 5
    waiting = Delivery.objects.filter(attempts=0)
    Delivery.objects.filter(pk__in=list(waiting.values_list("pk", flat=True))).update(next_attempt_at=LATER)
    assert sending.deliver() == 0  # nothing is due: the probe is left to another
    waiting.update(next_attempt_at=Now())
    assert sending.deliver() == 1
    assert waiting.count() == 1
    assert sending.deliver() == 0
    monkeypatch.setattr(smtp, "_send", lambda *_, **__: Reply(Outcome.ACCEPTED, "250 OK"))
    broken[0] += 10
    Delivery.objects.update(next_attempt_at=Now())
    assert [sending.deliver(), sending.deliver()] == [1, 2]
    assert states() == ["sent"] * 3


@pytest.fixture
def crowded(monkeypatch) -> None:
    """A mail server that takes two mails, and then no more connections."""
    replies = iter([Reply(Outcome.ACCEPTED, "250 OK")] * 2)
    busy = Reply(Outcome.BUSY, "421 too many connections")
    monkeypatch.setattr(smtp.EmailBackend, "submit", lambda *_, **__: next(replies, busy))


def test_mails_that_get_no_connection_are_given_back_untried(crowded) -> None:
    """For whoever has one; the try is not counted."""
    for _ in range(5):
        make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert sorted(states()) == ["pending"] * 3 + ["sent"] * 2
    assert set(Delivery.objects.filter(state="pending").values_list("attempts", flat=True)) == {0}
    assert not mailers.every()[0].breaker.is_open


def test_nothing_is_claimed_while_no_connection_can_be_had(sent: list[str], monkeypatch) -> None:
    """Another process has them; it sends the mails."""
    make_delivery(make_captcha(accepted=False))
    monkeypatch.setattr(smtp_pool.Pool, "can_send", lambda _: False)
    assert (sending.deliver(), states()) == (0, ["pending"])
    monkeypatch.setattr(smtp_pool.Pool, "can_send", lambda _: True)
    assert (sending.deliver(), states()) == (1, ["sent"])


def test_a_probe_that_got_no_connection_is_for_the_next(broken, crowded) -> None:
    """The circuit breaker allows another try at once, and one alone: nobody knows whether the server is back."""
    for _ in range(3):
        mailers.every()[0].submit(EmailMessage())
    mailers.every()[0].breaker.failed()
    broken[0] += 5
    make_delivery(make_captcha(accepted=False))
    assert (sending.deliver(), states()) == (1, ["pending"])
    assert [mailers.every()[0].breaker.allow() for _ in range(2)] == [True, False]


@pytest.mark.parametrize("first", ["a reset for nobody", "a suppressed mail", "a code that can't be derived"])
def test_a_probe_that_sent_nothing_is_for_the_next(broken, sent: list[str], first: str) -> None:
    """Or a stranger's resets for nobody, which are claimed first, would keep a server alone that is back."""
    probe = make_delivery(make_captcha(accepted=False), recipient="probe@example.com")
    if first == "a reset for nobody":
        Delivery.objects.update(kind="password_reset", sign_up=None)
    elif first == "a suppressed mail":
        suppression.suppress(address=probe.recipient, reason=Suppression.Reason.BOUNCED)
    else:
        CaptchaModel.objects.update(key_id="another")
    mailers.every()[0].breaker.failed()
    broken[0] += 5
    assert (sending.deliver(), states(), sent) == (1, ["expired"], [])
    make_delivery(make_captcha(accepted=False))
    assert (sending.deliver(), states()) == (1, ["expired", "sent"])


def test_an_acceptance_shortens_the_wait_of_deferred_mails(sent: list[str]) -> None:
    """The mail server takes mails again: two others are due now."""
    for _ in range(4):
        make_delivery(make_captcha(accepted=False))
    hour = timedelta(hours=1)
    later = {"attempts": 3, "next_attempt_at": Now() + hour, "last_reply": "450 later"}
    Delivery.objects.update(created_at=Now() - hour, **later)
    Delivery.objects.filter(pk=Delivery.objects.earliest("pk").pk).update(next_attempt_at=Now())
    assert [sending.deliver() for _ in range(3)] == [1, 2, 1]


def test_an_acceptance_of_a_mail_about_an_account_shortens_no_wait(sent: list[str]) -> None:
    """Whoever waits for a deferred mail would see that somebody else's address has an account."""
    make_delivery(make_captcha(accepted=False))
    hour = timedelta(hours=1)
    Delivery.objects.update(created_at=Now() - hour, attempts=3, next_attempt_at=Now() + hour, last_reply="450 later")
    make_delivery(kind=Delivery.Kind.PASSWORD_RESET, user_id=make_user().pk)
    assert [sending.deliver() for _ in range(2)] == [1, 0]


def test_a_reset_for_nobody_leaves_a_connection_open_as_another_does(sent: list[str], monkeypatch) -> None:
    """The mail after it would take longer else, and show that the address has no account."""
    opened = Mock()
    monkeypatch.setattr(smtp.EmailBackend, "leave_open", opened)
    make_delivery(kind=Delivery.Kind.PASSWORD_RESET)
    assert (sending.deliver(), states(), sent, opened.call_count) == (1, ["expired"], [], 1)


def test_a_lost_lease_is_logged(sent: list[str], monkeypatch, caplog) -> None:
    """Somebody else settled it."""
    monkeypatch.setattr(outbox, "settle", lambda *, results: [delivery for delivery, _ in results])
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert "settled by another worker" in caplog.text


def test_a_sweep_notifies_again(sent: list[str], notified: list[int]) -> None:
    """Of mails whose message was lost; it sends none itself while the broker works."""
    delivery = make_delivery(make_captcha(accepted=False))
    assert sweeper.sweep() == 0
    assert (notified, sent) == ([delivery.pk], [])


def test_a_sweep_notifies_of_no_mail_that_the_sites_limit_holds(sent: list[str], notified: list[int], settings) -> None:
    """The workers would find nothing to claim, every two seconds."""
    settings.LIMIT_MAILS_SITE = [(1, 3_600)]
    for _ in range(2):
        make_delivery(make_captcha(accepted=False), network="here")
    assert sending.deliver() == 1
    assert (sweeper.sweep(), notified, states().count("pending")) == (0, [], 1)


def test_a_sweep_sends_where_no_worker_listens(sent: list[str], notified: list[int]) -> None:
    """A broker that takes messages for workers who are not there."""
    delivery = make_delivery(make_captcha(accepted=False))
    Delivery.objects.update(next_attempt_at=Now() - timedelta(seconds=11))
    assert sweeper.sweep() == 1
    assert (notified, states()) == ([delivery.pk], ["sent"])


def test_a_sweep_sends_where_the_broker_is_down(sent: list[str], monkeypatch) -> None:
    """Without a broker mails arrive all the same."""
    monkeypatch.setattr("worker.notify.notify_workers", lambda delivery_id: False)
    for _ in range(3):
        make_delivery(make_captcha(accepted=False))
    assert sweeper.sweep() == 3
    assert states() == ["sent"] * 3


def test_a_sweep_frees_what_a_worker_left_behind(sent: list[str], notified: list[int]) -> None:
    """Its lease is over; the mail is due again at once."""
    delivery = make_delivery(make_captcha(accepted=False))
    outbox.claim(limit=1)
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))
    sweeper.sweep()
    assert (notified, states()) == ([delivery.pk], ["pending"])


def test_leases_that_ended_while_the_database_was_away_are_renewed_first(sent: list[str], monkeypatch) -> None:
    """Or what live workers were sending would be sent twice. It is the same after a freeze of this process."""
    sweeper.sweep()
    now, paused = [sweeper._answered_at], list[float]()
    for _ in range(2):
        make_delivery(make_captcha(accepted=False))
    [claimed] = outbox.claim(limit=1)
    outbox.claim(limit=1)  # by a worker that is gone
    Delivery.objects.update(lease_until=Now() - timedelta(seconds=1))

    def record(seconds: float) -> None:
        paused.append(seconds)
        assert outbox.settle(results=[(claimed, Reply(Outcome.ACCEPTED, "250 OK"))]) == []

    now[0] += 20
    monkeypatch.setattr(clock, "uptime", lambda: now[0])
    monkeypatch.setattr(sweeper, "time", SimpleNamespace(sleep=record))
    sweeper.sweep()
    assert (sorted(states()), paused) == (["pending", "sent"], [sweeper.GRACE])
    now[0] += sweeper.INTERVAL
    sweeper.sweep()
    assert len(paused) == 1


def test_the_sweep_command_says_what_waited(sent: list[str], capsys, monkeypatch) -> None:
    """In the operator's language."""
    from django.core.management import call_command

    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    make_delivery(make_captcha(accepted=False))
    call_command("sweep", "--once")
    assert "有 1 封邮件待发送" in capsys.readouterr().out


def test_the_task_takes_an_id_alone(sent: list[str]) -> None:
    """And sends it."""
    from worker.tasks import deliver

    delivery = make_delivery(make_captcha(accepted=False))
    assert deliver(delivery.pk) == 1


def test_the_sweeper_thread_sweeps_until_stopped(monkeypatch) -> None:
    """It outlives errors."""
    calls: list[int] = []

    def sweep() -> int:
        calls.append(1)
        raise RuntimeError

    monkeypatch.setattr(sweeper, "INTERVAL", 0.01)
    monkeypatch.setattr(sweeper, "sweep", sweep)
    monkeypatch.setattr(sweeper, "stop_beating", lambda: None)
    monkeypatch.setattr(sweeper, "connection", type("None", (), {"close": staticmethod(lambda: None)}))
    thread = sweeper.Sweeper()
    thread.start()
    wait_until(lambda: len(calls) >= 3, "three sweeps")
    thread.stop()
    assert not thread.is_alive()


def test_a_sweeper_that_sent_some_looks_for_more_at_once(monkeypatch) -> None:
    """Where the broker is down a backlog leaves at the mail server's pace, and not a batch every two seconds."""
    batches = [2, 1, 0]
    monkeypatch.setattr(sweeper, "INTERVAL", 0.2)
    monkeypatch.setattr(sweeper, "sweep", lambda: batches.pop(0))
    monkeypatch.setattr(sweeper, "beat", lambda: None)
    monkeypatch.setattr(sweeper, "stop_beating", lambda: None)
    monkeypatch.setattr(sweeper, "connection", SimpleNamespace(close=lambda: None))
    thread = sweeper.Sweeper()
    pauses: list[float] = []
    monkeypatch.setattr(thread, "_stop_now", SimpleNamespace(wait=lambda pause: pauses.append(pause) or not batches))
    thread.run()
    assert pauses == [0.2, 0, 0, 0.2]


def test_answers_of_all_threads_are_recorded_together(sent: list[str], monkeypatch) -> None:
    """What came while another thread wrote is in the next transaction, whoever writes that."""
    groups: list[int] = []
    real = outbox.settle
    monkeypatch.setattr(outbox, "settle", lambda results: groups.append(len(results)) or real(results=results))
    theirs = make_delivery(make_captcha(accepted=False))
    [claimed] = outbox.claim(limit=1)
    sending._answers.append((claimed, Reply(Outcome.ACCEPTED, "250 OK")))  # of a thread that goes on sending
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert groups == [2]
    assert states() == ["sent", "sent"]
    theirs.refresh_from_db()
    assert theirs.lease_token == ""


def test_an_answer_is_recorded_within_a_second(sent: list[str], monkeypatch) -> None:
    """Although its group is not complete: a killed worker repeats hardly more mails, and a page sees the answer soon."""
    monkeypatch.setattr(sending, "GROUP_TIME", 0.0)
    seen: list[list[str]] = []
    real = sending._try
    monkeypatch.setattr(sending, "_try", lambda *args, **kw: seen.append(sorted(states())) or real(*args, **kw))
    for _ in range(2):
        make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert seen == [["sending", "sending"], ["sending", "sent"]]


def test_a_batch_ends_once_its_answers_are_on_record(sent: list[str], monkeypatch) -> None:
    """Also while another thread is recording: the lease of a batch that has ended is not renewed any more."""
    waits: list[bool] = []
    real = sending._record
    monkeypatch.setattr(sending, "_record", lambda *, wait: waits.append(wait) or real(wait=wait))
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert waits[-1] is True


def test_a_group_that_came_meanwhile_is_recorded_too(monkeypatch) -> None:
    """By the thread that was recording: those who brought it went on sending."""
    answers = [(make_delivery(), Reply(Outcome.ACCEPTED, "250 OK")) for _ in range(sending.GROUP)]
    groups: list[int] = []

    def settle(results: list) -> None:
        groups.append(len(results))
        if len(groups) == 1:
            sending._answers.extend(answers)

    monkeypatch.setattr(sending, "_settle", settle)
    sending._record(wait=False)
    assert groups == [0, sending.GROUP]


def test_the_next_batch_is_as_large_as_the_last_sends_were_quick(sent: list[str], monkeypatch) -> None:
    """What a send took is measured, so a mail server that gets slow gets smaller batches."""
    before = sending._pace.batch()
    monkeypatch.setattr(sending, "_build_and_send", lambda *_: time.sleep(0.1) or Reply(Outcome.ACCEPTED, "250 OK"))
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert sending._pace.batch() < before
