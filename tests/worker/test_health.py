"""The health checks of the way from the commit to the mailbox."""

import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.utils import translation

from core import clock, mail_urls
from core.health import registry
from core.health.registry import Finding, State
from tests.core.test_health import named
from tests.factories import FrozenClock, make_delivery
from tests.worker.sink import Sink
from worker import health, smtp, smtp_pool
from worker.models import UNANSWERED, Delivery, Heartbeat


@pytest.mark.django_db
@pytest.mark.parametrize(("age", "state"), [(None, State.FAILED), (3, State.OK), (300, State.FAILED)])
def test_a_sweeper_that_is_silent_is_seen(age: int | None, state: State) -> None:
    """The newest of all workers' counts."""
    if age is not None:
        Heartbeat.objects.create(name="dead:1", beat_at=clock.now() - timedelta(days=1))
        Heartbeat.objects.create(name="live:2", beat_at=clock.now() - timedelta(seconds=age))
    assert health.sweeper().state is state


@pytest.mark.django_db
def test_late_mails_are_a_note() -> None:
    """After a minute; one that waits for its time is not late."""
    assert health.waiting_mails().text == "no mail is due"
    delivery = make_delivery()
    assert health.waiting_mails().state is State.OK
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=clock.now() - timedelta(minutes=5))
    assert health.waiting_mails().state is State.WARNING
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=clock.now() + timedelta(minutes=5))
    assert health.waiting_mails().text == "no mail is due"


@pytest.mark.django_db
def test_mails_whose_answer_never_came_are_told(frozen_clocks: FrozenClock) -> None:
    """How many, and since when: the mail server is there, and no mail is due."""
    make_delivery()
    make_delivery()
    silent = {"state": "sending", "last_reply": f"{UNANSWERED} timed out"}
    Delivery.objects.update(first_tried_at=clock.now() - timedelta(seconds=400), **silent)
    text = "no mail is due; the mail server took 2 mails and did not answer, the first time 400 s ago"
    assert (health.waiting_mails().state, health.waiting_mails().text) == (State.WARNING, text)


@pytest.mark.django_db
def test_mails_that_are_refused_because_of_us_are_told() -> None:
    """Of the last minutes, with the newest reply; a mailbox that is unknown is nothing to tell."""
    assert (health.blocked_mails().state, health.blocked_mails().text) == (State.OK, "none in the last 10 minutes")
    ours, theirs, old = make_delivery(), make_delivery(), make_delivery()
    Delivery.objects.filter(pk=theirs.pk).update(state="failed", cause="mailbox")
    Delivery.objects.filter(pk=old.pk).update(
        state="failed", cause="policy", created_at=clock.now() - timedelta(minutes=11)
    )
    assert health.blocked_mails().state is State.OK
    Delivery.objects.filter(pk=ours.pk).update(state="failed", cause="policy", last_reply="550 5.7.1 <a@b.cn> blocked")
    text = "1 mail of the last 10 minutes was refused, and not for its recipient: 550 5.7.1 <address-"
    assert (health.blocked_mails().state, health.blocked_mails().text[: len(text)]) == (State.WARNING, text)


@pytest.mark.django_db
def test_mails_that_the_mail_server_puts_off_are_told(frozen_clocks: FrozenClock) -> None:
    """How many, since when, and in its words; no address is printed. A note after a minute, though none is due."""
    make_delivery()
    make_delivery()
    columns = {"attempts": 2, "last_reply": "450 4.2.0 <alice@example.com> greylisted"}
    later = clock.now() + timedelta(minutes=5)
    Delivery.objects.update(next_attempt_at=later, created_at=clock.now() - timedelta(seconds=40), **columns)
    text = (
        "no mail is due; the mail server deferred 2 mails, the oldest of which has waited for 40 s; 450 4.2.0 <address-"
    )
    assert (health.waiting_mails().state, health.waiting_mails().text[: len(text)]) == (State.OK, text)
    Delivery.objects.update(admitted_at=clock.now() - timedelta(seconds=400))
    assert health.waiting_mails().state is State.WARNING
    assert "400 s" in health.waiting_mails().text


@pytest.fixture
def sink(settings, request: pytest.FixtureRequest):
    server = Sink(getattr(request, "param", None))
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", server.url)]
    yield server
    server.close()


def verbs(sink: Sink) -> list[str]:
    return [line.split()[0].upper() for line in sink.said]


def test_the_mail_server_is_asked_for_the_sender_and_sent_nothing(sink: Sink) -> None:
    """MAIL and RSET, and no RCPT."""
    assert health.mail_server() == Finding(State.OK, f"127.0.0.1:{sink.port}, without TLS")
    assert verbs(sink) == ["EHLO", "MAIL", "RSET", "QUIT"]
    assert sink.said[1].lower() == "mail from:<noreply@doorcode.test>"


def test_each_sender_is_asked_for_once(sink: Sink, settings) -> None:
    """Languages may share an address, under another name."""
    senders = {"en": "School <a@example.com>", "zh-hans": "学校 <a@example.com>", "zh-hant": "學校 <b@example.com>"}
    settings.FROM_EMAILS, settings.DEFAULT_FROM_EMAIL = senders, senders["en"]
    assert health.mail_server().state is State.OK
    assert [line[len("mail from:") :] for line in sink.said if line.startswith("mail")] == [
        "<a@example.com>",
        "<b@example.com>",
    ]


@pytest.mark.parametrize(
    ("sink", "state"),
    [
        ({"MAIL": ["553 Mail from must equal authorized user"]}, State.FAILED),
        ({"MAIL": ["501 mail from address must be same as authorization user"], "RSET": ["close"]}, State.FAILED),
        ({"MAIL": ["451 4.3.0 try again later"]}, State.WARNING),
        ({"MAIL": ["421 4.7.0 try again later"]}, State.WARNING),
        ({"MAIL": ["close"]}, State.FAILED),
    ],
    indirect=["sink"],
)
def test_a_refused_sender_is_told(sink: Sink, state: State) -> None:
    """In the mail server's words; it may hang up at once."""
    found = health.mail_server()
    words = sink.script["MAIL"][0].replace("close", "SMTPServerDisconnected")
    assert (found.state, f"it refuses the sender noreply@doorcode.test: {words}" in found.text) == (state, True)


@pytest.mark.parametrize(
    ("host", "user", "sender", "is_told"),
    [
        ("smtp.qq.com", "10001@qq.com", "noreply@school.example", True),
        ("smtp.exmail.qq.com", "noreply@school.example", "School <NoReply@school.example>", False),
        ("smtp.163.com", "school@163.com", "学校 <school@163.com>", False),
        ("smtpdm-ap-southeast-1.aliyuncs.com", "code@mail.school.example", "noreply@school.example", True),
        ("smtp-relay.gmail.com", "ann@school.example", "noreply@school.example", False),
        ("mail.notqq.com", "ann@school.example", "noreply@school.example", False),
        ("email-smtp.eu-west-1.amazonaws.com", "AKIA0123", "noreply@school.example", False),
    ],
)
def test_a_sender_that_is_not_the_login_is_told(
    sink: Sink, settings, monkeypatch, host: str, user: str, sender: str, is_told: bool
) -> None:
    """Where the provider wants them equal, before any mail is refused; it says what to set."""
    connection = smtp_pool.Connection(smtp.EmailBackend().server, time.monotonic() + 5)
    monkeypatch.setattr(health.Pool, "take", lambda self, until: connection)
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", f"smtp://{quote(user)}@{host}")]
    settings.FROM_EMAILS, settings.DEFAULT_FROM_EMAIL = {}, sender
    text = f"{host} sends only as the address that signs in: set DEFAULT_FROM_EMAIL to the user of EMAIL_URL"
    assert (text in health.mail_server().text) is is_told


@pytest.mark.parametrize("sink", [{"CONNECT": ["hang"]}, {"EHLO": ["trickle"]}], indirect=True)
def test_a_silent_mail_server_is_late(sink: Sink) -> None:
    """And keeps nobody."""
    found = dict(registry.run(named(mail=health.mail_server, other=lambda: registry.ok("")), limit=0.5))
    assert found["mail"].text.startswith("no answer within")
    assert (found["mail"].state, found["other"]) == (State.FAILED, registry.ok(""))


@pytest.mark.parametrize("sink", [{"CONNECT": ["554 go away"]}], indirect=True)
def test_a_mail_server_that_refuses_has_failed(sink: Sink) -> None:
    """By its own words."""
    found = dict(registry.run(named(mail=health.mail_server)))
    assert (found["mail"].state, "go away" in found["mail"].text) == (State.FAILED, True)


@pytest.mark.parametrize("sink", [{"CONNECT": ["421 4.7.0 too many connections"]}], indirect=True)
def test_a_mail_server_whose_connections_the_workers_have_is_a_note(sink: Sink) -> None:
    """It is well, and full."""
    found = health.mail_server()
    assert (found.state, "421 4.7.0 too many connections" in found.text) == (State.WARNING, True)


def test_one_test_mail_is_sent_where_it_was_asked_for(sink: Sink) -> None:
    """In the operator's language, past the outbox."""
    with translation.override("zh-hans"):
        assert health.test_mail("ops@example.com").state is State.OK
    [mail] = sink.parsed("ops@example.com")
    assert mail["Subject"] == "来自 Doorcode 的测试邮件"


@pytest.mark.parametrize("sink", [{"DOT": ["554 DT:SPM"]}], indirect=True)
def test_a_refused_test_mail_says_whose_the_refusal_is(sink: Sink) -> None:
    """After the mail server's own words."""
    found = health.test_mail("ops@example.com")
    assert (found.state, found.text) == (State.FAILED, "refused: 554 DT:SPM (us: the content of the mail)")


@pytest.mark.django_db  # Django 6.1 asks SQLite for JSON when it checks a model
def test_a_mail_that_cant_be_built_has_failed(settings, tmp_path: Path) -> None:
    """It says which and why, and the check before a deployment does too."""
    assert health.mails().state is State.OK
    (tmp_path / "mail/registered").mkdir(parents=True)
    (tmp_path / "mail/registered/subject.txt").write_text("{% if %}")
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    found = health.mails()
    assert found.state is State.FAILED
    for language in ("en", "zh-hans", "zh-hant"):
        assert f"The mail registered in {language}: TemplateSyntaxError" in found.text
    assert "in mail/registered/subject.txt" in found.text
    with pytest.raises(SystemCheckError, match=r"doorcode\.E020\) The mail registered in zh-hant"):
        call_command("check", deploy=True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("body.txt", "Enter this code: {{ code }}", "no line with the code alone"),
        ("subject.txt", "{% load i18n %}{{ sbuject }}", "its subject is empty"),
        ("body.html", "{% extends 'mail/bsae.html' %}", "TemplateDoesNotExist: mail/bsae.html in mail/code/body.html"),
    ],
)
def test_a_template_that_says_nothing_is_seen(settings, tmp_path: Path, name: str, content: str, words: str) -> None:
    """Of the site's own: nobody could sign up by such a mail."""
    (tmp_path / "mail/code").mkdir(parents=True)
    (tmp_path / "mail/code" / name).write_text(content)
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    assert [words in fault for fault in health.faults()] == [True] * len(settings.LANGUAGES)


def test_mails_are_checked_with_the_configured_names(settings) -> None:
    """Without the database. A sender that can't be written down fails for all."""
    assert list(health.faults()) == []
    settings.DEFAULT_FROM_EMAIL = "=?utf-8?b?a?= <noreply@example.com>"
    assert len(list(health.faults())) == 5 * len(settings.LANGUAGES)


def test_the_broker_is_reached() -> None:
    """The in-memory one is always there."""
    assert health.broker() == registry.ok("memory")
