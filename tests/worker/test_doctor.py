"""The doctor: each question answered or late on its own, none hidden by another."""

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.test import Client, RequestFactory
from django.utils import translation
from django.utils.translation import gettext as _

from core import clock, doctor, examinations, proxies
from core.doctor import Finding, State
from tests.core.test_settings import GOOD, load
from tests.factories import make_delivery
from tests.worker.sink import Sink
from worker import checks
from worker import examinations as post
from worker.management.commands import doctor as command
from worker.models import Delivery, Heartbeat


def hang() -> Finding:
    threading.Event().wait(30)
    return doctor.ok("")


def broken() -> Finding:
    raise ConnectionError("redis://:hunter2@10.0.0.1 of alice@example.com")


def test_none_waits_for_or_hides_another() -> None:
    """One hangs, one raises, the others answer, in their order; what is raised is told without a secret."""
    probes = {"a": hang, "b": broken, "c": lambda: doctor.ok("fine"), "d": hang, "e": lambda: doctor.warning("hm")}
    found = dict(doctor.examine(probes, late="late", limit=0.3))
    assert list(found) == list(probes)
    assert [each.state.value for each in found.values()] == ["failed", "failed", "ok", "failed", "warning"]
    assert (found["a"].text, found["c"].text) == ("late", "fine")
    assert found["b"].text.startswith("ConnectionError: redis://…@10.0.0.1 of address-")


def test_findings_are_in_the_operators_language() -> None:
    """The threads' own language is nobody's."""
    with translation.override("zh-hans"):
        found = dict(doctor.examine({"a": lambda: doctor.ok(_("all applied"))}, late=""))
    assert found["a"].text == "已全部执行"


@pytest.mark.parametrize(
    ("setting", "forwarded", "client", "secure", "state", "words"),
    [
        (0, ["192.0.2.1"], "127.0.0.1", True, "ok", "0, as"),
        (1, ["192.0.2.1", "203.0.113.9"], "203.0.113.9", True, "ok", "1, as"),
        (1, ["203.0.113.9"], "203.0.113.9", True, "ok", "1, as"),  # a proxy that replaces what it was sent
        (2, ["192.0.2.1", "203.0.113.9"], "192.0.2.1", True, "failed", "choose their address"),
        (1, ["192.0.2.1"], "192.0.2.1", True, "failed", "choose their address"),
        (0, ["192.0.2.1", "203.0.113.9"], "10.0.0.1", True, "failed", "count as one"),
        (1, ["192.0.2.1", "203.0.113.9", "10.0.0.2"], "10.0.0.2", True, "failed", "count as one"),
        (1, ["192.0.2.1", "203.0.113.9"], "203.0.113.9", False, "failed", "X-Forwarded-Proto"),
    ],
)
def test_proxies_are_held_against_the_setting(settings, setting, forwarded, client, secure, state, words) -> None:
    """As many as the request came through."""
    settings.TRUSTED_PROXIES = setting
    found = proxies.judge("https://x.test", {"client": client, "forwarded": forwarded, "secure": secure})
    assert found.state.value == state
    assert words in found.text


def test_the_site_tells_what_it_saw_to_the_doctor_alone(client: Client, settings) -> None:
    """To a question signed with its key, of the last minute."""
    header, forwarded = proxies._signer().sign("seen"), "192.0.2.1, 203.0.113.9"
    settings.TRUSTED_PROXIES = 1
    answer = client.get("/healthz", headers={proxies.HEADER: header, "X-Forwarded-For": forwarded}).json()
    assert answer["seen"] == {"client": "203.0.113.9", "forwarded": forwarded.split(", "), "secure": False}
    with_port = "192.0.2.1, 203.0.113.9:49152"
    assert client.get("/healthz", headers={proxies.HEADER: header, "X-Forwarded-For": with_port}).json() == answer
    for strange in ("", "seen", header[:-1], header + "x"):
        assert client.get("/healthz", headers={proxies.HEADER: strange}).json() == {"status": "ok"}
    settings.SECRET_KEY = "another"
    assert client.get("/healthz", headers={proxies.HEADER: header}).json() == {"status": "ok"}


def test_an_old_question_is_not_answered(monkeypatch) -> None:
    """Nobody keeps one for later."""
    header = proxies._signer().sign("seen")
    monkeypatch.setattr(proxies, "AGE", -1)
    assert proxies.seen(RequestFactory().get("/healthz", headers={proxies.HEADER: header})) == {}


@pytest.mark.parametrize(("asked", "state"), [(True, State.FAILED), (False, State.WARNING)])
def test_a_site_that_is_not_reached_from_here(asked: bool, state: State) -> None:
    """It fails where the operator named the URL; else it may be the network of containers."""
    assert proxies.examine("http://127.0.0.1:1", asked=asked).state is state


def test_only_http_is_asked() -> None:
    """A file is no site."""
    assert proxies.examine("file:///etc/passwd", asked=True).state is State.FAILED


@pytest.mark.parametrize(
    ("key", "fallbacks", "state"),
    [
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP", [], State.OK),
        ("short", [], State.FAILED),
        ("a" * 60, [], State.FAILED),
        ("replace-me-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEF", [], State.FAILED),
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP", ["short"], State.FAILED),
        ("0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP", ["9876543210-" + "zyxwvutsrq" * 5], State.WARNING),
    ],
)
def test_weak_and_former_keys_are_seen(settings, key: str, fallbacks: list[str], state: State) -> None:
    """A former one is worth a note; none is printed."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = key, fallbacks
    found = examinations.keys()
    assert found.state is state
    assert key not in found.text


def test_a_catalogue_that_lacks_texts_is_seen(settings, tmp_path: Path) -> None:
    """By its compiled form, as babel is not on a production machine."""
    assert examinations.catalogues().state is State.OK
    target = tmp_path / "en" / "LC_MESSAGES"
    target.mkdir(parents=True)
    (target / "django.mo").write_bytes((Path(settings.LOCALE_PATHS[0]) / "en/LC_MESSAGES/django.mo").read_bytes())
    settings.LOCALE_PATHS = [tmp_path]
    found = examinations.catalogues()
    assert found.state is State.FAILED
    assert "zh-hans" in found.text


@pytest.mark.django_db
def test_migrations_and_the_database_are_asked() -> None:
    """All is applied in a test."""
    assert examinations.database().text.startswith("SQLite 3")
    assert examinations.migrations().state is State.OK


@pytest.mark.django_db
@pytest.mark.parametrize(("age", "state"), [(None, State.FAILED), (3, State.OK), (300, State.FAILED)])
def test_a_sweeper_that_is_silent_is_seen(age: int | None, state: State) -> None:
    """The newest of all workers' counts."""
    if age is not None:
        Heartbeat.objects.create(name="dead:1", beat_at=clock.now() - timedelta(days=1))
        Heartbeat.objects.create(name="live:2", beat_at=clock.now() - timedelta(seconds=age))
    assert post.sweeper().state is state


@pytest.mark.django_db
def test_late_mails_are_a_note() -> None:
    """After a minute; one that waits for its time is not late."""
    assert post.waiting_mails().text == "none is due"
    delivery = make_delivery()
    assert post.waiting_mails().state is State.OK
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=clock.now() - timedelta(minutes=5))
    assert post.waiting_mails().state is State.WARNING
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=clock.now() + timedelta(minutes=5))
    assert post.waiting_mails().text == "none is due"


@pytest.mark.django_db
def test_mails_that_the_mail_server_puts_off_are_told() -> None:
    """How many, since when, and in its words; no address is printed. A note after a minute, though none is due."""
    make_delivery()
    make_delivery()
    columns = {"attempts": 2, "last_reply": "450 4.2.0 <alice@example.com> greylisted"}
    later = clock.now() + timedelta(minutes=5)
    Delivery.objects.update(next_attempt_at=later, created_at=clock.now() - timedelta(seconds=40), **columns)
    text = "none is due; the mail server deferred 2, the oldest of which has waited for 40 s; 450 4.2.0 <address-"
    assert (post.waiting_mails().state, post.waiting_mails().text[: len(text)]) == (State.OK, text)
    Delivery.objects.update(admitted_at=clock.now() - timedelta(seconds=400))
    assert post.waiting_mails().state is State.WARNING
    assert "400 s" in post.waiting_mails().text


@pytest.fixture
def sink(settings, request: pytest.FixtureRequest):
    server = Sink(getattr(request, "param", None))
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    yield server
    server.close()


def test_the_mail_server_is_greeted_and_sent_nothing(sink: Sink) -> None:
    """EHLO and QUIT, and no MAIL."""
    assert post.mail_server() == Finding(State.OK, f"127.0.0.1:{sink.port}, without TLS")
    assert [line.split()[0].upper() for line in sink.said] == ["EHLO", "QUIT"]


@pytest.mark.parametrize("sink", [{"CONNECT": ["hang"]}, {"EHLO": ["trickle"]}], indirect=True)
def test_a_silent_mail_server_is_late(sink: Sink) -> None:
    """And keeps nobody."""
    found = dict(doctor.examine({"mail": post.mail_server, "other": lambda: doctor.ok("")}, late="late", limit=0.5))
    assert found == {"mail": doctor.failed("late"), "other": doctor.ok("")}


@pytest.mark.parametrize("sink", [{"CONNECT": ["554 go away"]}], indirect=True)
def test_a_mail_server_that_refuses_has_failed(sink: Sink) -> None:
    """By its own words."""
    found = dict(doctor.examine({"mail": post.mail_server}, late="late"))
    assert (found["mail"].state, "go away" in found["mail"].text) == (State.FAILED, True)


@pytest.mark.parametrize("sink", [{"CONNECT": ["421 4.7.0 too many connections"]}], indirect=True)
def test_a_mail_server_whose_connections_the_workers_have_is_a_note(sink: Sink) -> None:
    """It is well, and full."""
    found = post.mail_server()
    assert (found.state, "421 4.7.0 too many connections" in found.text) == (State.WARNING, True)


def test_one_test_mail_is_sent_where_it_was_asked_for(sink: Sink) -> None:
    """In the operator's language, past the outbox."""
    with translation.override("zh-hans"):
        assert post.send("ops@example.com").state is State.OK
    [mail] = sink.parsed("ops@example.com")
    assert mail["Subject"] == "来自 Doorcode 的测试邮件"


def test_a_mail_that_cant_be_built_has_failed(settings, tmp_path: Path) -> None:
    """It says which and why, and the check before a deployment does too."""
    assert post.mails().state is State.OK
    (tmp_path / "mail/registered").mkdir(parents=True)
    (tmp_path / "mail/registered/subject.txt").write_text("{% if %}")
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    found = post.mails()
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
    assert [words in fault for fault in checks.faults()] == [True] * 3


def test_mails_are_checked_with_the_configured_names(settings) -> None:
    """Without the database. A sender that can't be written down fails for all."""
    assert list(checks.faults()) == []
    settings.DEFAULT_FROM_EMAIL = "=?utf-8?b?a?= <noreply@example.com>"
    assert len(list(checks.faults())) == 15


def test_the_command_fails_where_something_does(monkeypatch, capsys) -> None:
    """Each line or object has it; notes are no failure."""
    probes = {"redis": lambda: doctor.failed("gone"), "keys": lambda: doctor.warning("hm")}
    monkeypatch.setattr(command, "_probes", lambda url, send_to: probes)
    with pytest.raises(CommandError, match="Not well: Redis"):
        call_command("doctor")
    assert capsys.readouterr().out.splitlines() == ["FAILED\tRedis: gone", "note\tkeys: hm"]
    with pytest.raises(CommandError):
        call_command("doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["findings"][0] == {"name": "redis", "state": "failed", "text": "gone"}
    del probes["redis"]
    call_command("doctor", "--lang", "zh-hans")
    assert capsys.readouterr().out == "注意\t密钥: hm\n"


def test_every_finding_has_a_name_for_people() -> None:
    """In each language."""
    for name in command._probes(None, "ops@example.com"):
        assert command._label(name)


@pytest.mark.parametrize(("value", "ok"), [("json", True), ("text", True), ("xml", False)])
def test_log_format_is_one_of_two(value: str, ok: bool) -> None:
    """Any other is refused at the start."""
    assert (load("LOG_FORMAT", **GOOD, LOG_FORMAT=value).returncode == 0) is ok
