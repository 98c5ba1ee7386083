"""Logs: one object a line, the request's id in it, and no token, password or address."""

import io
import json
import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import structlog
from django.test import Client, RequestFactory

from core import client_ip, middleware
from core.observability import logs
from core.observability.redaction import pseudonym_of_address, scrub, scrub_all
from signup.models import User
from tests.factories import BOB, PASSWORD, make_user
from tests.servers import ENVIRONMENT, ROOT, System, wait_until
from worker.consumer import Consumer
from worker.tasks import deliver


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("GET /signup/link/abcdefgh.ijklmnop/ 303", "GET /signup/link/…/ 303"),
        ('"GET /signup/link/abcdefgh.ijklmnop?x=1 HTTP/1.1"', '"GET /signup/link/…?x=1 HTTP/1.1"'),
        ("/signup/mute/abcdefgh.ijklmnop/", "/signup/mute/…/"),
        ("/i18n/setlang/?next=%2Fsignup%2Fmute%2Fabcdefgh.ijklmnop%2F", "/i18n/setlang/?next=/signup/mute/…/"),
        ("/password-reset/MQ/abcdef-0123456789/", "/password-reset/MQ/…/"),
        ("POST /api/captchas/abcdefghijklmnopqrstuvwx/resend/ 202", "POST /api/captchas/…/resend/ 202"),
        ("POST /api/captchas/ 202", "POST /api/captchas/ 202"),
        ("/password-reset/done/ /signup/verify/", "/password-reset/done/ /signup/verify/"),
        ("redis://user:hunter2@redis.example.com:6379/0", "redis://…@redis.example.com:6379/0"),
        ("postgres://user:hunter%402@db/x?a=%40", "postgres://…@db/x?a=@"),
        ("amqp://user:hunter%2F2@rabbit/", "amqp://…@rabbit/"),
        ("smtp://127.0.0.1:25 a@b, 5 @ 3.50", "smtp://127.0.0.1:25 a@b, 5 @ 3.50"),
    ],
)
def test_tokens_and_passwords_are_taken_out(line: str, clean: str) -> None:
    """And nothing else."""
    assert scrub(line) == clean


@pytest.mark.parametrize("text", ["550 <{}> unknown", "Key (email)=({}) exists", "?email={}&x=1", "{}.", "'{}'"])
@pytest.mark.parametrize(
    "address", ["alice@example.com", "Alice@Example.COM", "a.b+c@mail.example.co.uk", "我@例子.中国"]
)
def test_a_pseudonym_stands_for_an_address(text: str, address: str) -> None:
    """The same for the same address, so that an operator can follow it; a key is needed to make it."""
    assert scrub(text.format(address)) == text.format(pseudonym_of_address(address))
    assert (
        pseudonym_of_address("alice@example.com")
        == pseudonym_of_address("Alice@Example.com")
        != pseudonym_of_address("bob@example.com")
    )


def test_a_pseudonym_stands_for_an_address_in_a_query() -> None:
    """Browsers escape its at-sign there; gunicorn's access log has the query as it was sent."""
    assert scrub("GET /admin/?q=alice%40example.com") == f"GET /admin/?q={pseudonym_of_address('alice@example.com')}"


def test_the_hash_needs_the_key(settings) -> None:
    """A reader of the log can't try addresses."""
    before = pseudonym_of_address("alice@example.com")
    settings.SECRET_KEY = "another"
    assert pseudonym_of_address("alice@example.com") != before


def line(style: str = "json", **fields: object) -> str:
    """A line as a handler writes it."""
    record = logging.LogRecord("some.where", logging.WARNING, "", 0, "%s said %s", ("bob@example.com", 7), None)
    vars(record).update(fields)
    return logs.formatter(style).format(record)


def test_a_line_is_a_json_object() -> None:
    """With when, where, how bad and what."""
    entry = json.loads(line())
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": f"{pseudonym_of_address('bob@example.com')} said 7",
        "level": "warning",
        "logger": "some.where",
    }


def test_a_line_for_people_says_the_same() -> None:
    """LOG_FORMAT=text."""
    text = line("text")
    assert f"{pseudonym_of_address('bob@example.com')} said 7" in text
    assert "some.where" in text


def test_a_traceback_is_scrubbed() -> None:
    """The text of an exception may contain anything."""
    try:
        int("carol@example.com /signup/link/abcdefgh.ijklmnop/")
    except ValueError as error:
        entry = json.loads(line(exc_info=(type(error), error, error.__traceback__)))
    assert "ValueError" in entry["exception"]
    assert "carol" not in entry["exception"]
    assert "abcdefgh" not in entry["exception"]


@pytest.mark.parametrize("host", ["evil.example", "a" * 8_000])
def test_a_request_for_another_host_is_a_short_warning(capsys, host: str) -> None:
    """Django would log an error with a traceback: at any scan of the network, and four times as long as what was sent."""
    handler = logging.StreamHandler()
    handler.addFilter(logs.SuspiciousOperationFilter())
    handler.setFormatter(logs.formatter("json"))
    logger = logging.getLogger("django.security")
    logger.addHandler(handler)
    try:
        assert Client(headers={"host": host}).get("/login/").status_code == 400
    finally:
        logger.removeHandler(handler)
    [entry] = map(json.loads, capsys.readouterr().err.splitlines())
    assert (entry["level"], "exception" in entry) == ("warning", False)
    assert len(entry["event"]) <= 200


def test_structured_values_are_scrubbed_to_the_bottom() -> None:
    """Names and numbers stay."""
    found = scrub_all({"a": ["carol@example.com", 1, None, True], "b": {"c": ValueError("dave@example.com")}})
    assert found == {
        "a": [pseudonym_of_address("carol@example.com"), 1, None, True],
        "b": {"c": pseudonym_of_address("dave@example.com")},
    }


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "has space in", 'quo"te-and-more', "new\nline-and-more"])
def test_a_strange_request_id_is_replaced(given: str) -> None:
    """It goes into every line: only letters, digits, - and _, 8 to 64 of them."""
    request = RequestFactory().get("/", headers={"x-request-id": given})
    answer = middleware.record_requests(lambda request: Client().get("/healthz"))(request)
    assert answer.headers["X-Request-ID"] != given
    assert len(answer.headers["X-Request-ID"]) == 32


def test_a_well_formed_request_id_is_kept(client: Client) -> None:
    """The proxy's own."""
    assert client.get("/login/", headers={"x-request-id": "edge-7_0042"}).headers["X-Request-ID"] == "edge-7_0042"


def test_each_line_of_a_request_has_its_id() -> None:
    """Of any logger; and no line of the next request."""
    entries = []

    def view(request: object) -> object:
        entries.append(json.loads(line()))
        return Client().get("/healthz")

    request = RequestFactory().get("/", headers={"x-request-id": "edge-7_0042"})
    middleware.record_requests(view)(request)
    assert entries[0]["request_id"] == "edge-7_0042"
    assert "request_id" not in json.loads(line())


def test_a_request_is_logged_by_its_route(db, client: Client, caplog) -> None:
    """One line, without its query and its token; the code that was answered; no session is looked up for it."""
    caplog.set_level(logging.INFO)
    client.get("/signup/link/abcdefghijklmnop.qrstuvwxyz/?email=alice@example.com")
    [record] = [each for each in caplog.records if each.name == "doorcode.requests"]
    assert record.msg["request"] == "GET /signup/link/<str:token>/"
    assert (record.msg["code"], record.msg["level"]) == (303, "info")
    assert record.msg["network"] == client_ip.pseudonym(RequestFactory().get("/"))
    assert "user_id" not in record.msg


def test_a_request_names_its_account_whatever_it_signed_in_by(db, client: Client, caplog) -> None:
    """A session or a token, and also where the request ends it: who deleted an account or signed in is on record."""
    caplog.set_level(logging.INFO)
    alice, bob = make_user(), make_user("bob", BOB)
    fields = {"username": "alice", "password": PASSWORD}
    token = client.post("/api/login/", fields, content_type="application/json").json()["token"]
    headers = {"authorization": f"Token {token}"}
    client.get("/api/users/me/", headers=headers)
    client.delete("/api/users/me/", {"password": PASSWORD}, content_type="application/json", headers=headers)
    client.post("/login/", {"username": "bob", "password": PASSWORD})
    client.post("/account/delete/", {"old_password": PASSWORD})
    client.get("/login/")
    named = [record.msg.get("user_id") for record in caplog.records if record.name == "doorcode.requests"]
    assert named == [alice.pk] * 3 + [bob.pk] * 2 + [None]
    assert not User.objects.exists()


def test_the_publisher_takes_the_request_id_alone() -> None:
    """The broker gets no network and no user."""
    from celery.signals import before_task_publish

    headers: dict[str, object] = {}
    with structlog.contextvars.bound_contextvars(request_id="edge-7_0042", network="abc", user_id=7):
        before_task_publish.send("worker.tasks.deliver", headers=headers, properties={}, body={})
    assert headers == {"__django_structlog__": {"request_id": "edge-7_0042"}}


def test_a_failed_task_is_logged_once(monkeypatch, caplog) -> None:
    """Celery's line has all: the name, the ids of task and request, and the traceback. It is long."""
    monkeypatch.setattr("worker.sending.deliver", lambda: 1 / 0)
    deliver.apply(args=[7], throw=False)
    [failed] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Task worker.tasks.deliver[" in failed.getMessage()
    assert failed.exc_info


def test_a_worker_that_is_asked_where_it_is_logs_no_variable(tmp_path: Path) -> None:
    """By SIGUSR1, as Celery's docs say. The variables of a thread that builds a mail have its code."""
    system = System(database=f"sqlite:///{tmp_path}/empty.sqlite3", logs=tmp_path)
    with system.worker() as worker:
        worker.send_signal(signal.SIGUSR1)
        wait_until(lambda: "worker/sweeper.py" in system.log("worker"), "the place of the sweeper")
    assert "LOCAL VARIABLES" not in system.log("worker")


@pytest.mark.parametrize("stderr", [None, io.StringIO()])
def test_a_worker_starts_where_standard_error_is_no_file(monkeypatch, stderr: io.StringIO | None) -> None:
    """It may be closed; and unittest's --buffer puts a text into its place, beside a worker in the same process."""
    with patch("celery.worker.consumer.Consumer.start") as start:
        monkeypatch.setattr("sys.stderr", stderr)
        object.__new__(Consumer).start()
    start.assert_called_once()


@pytest.mark.parametrize("name", ["django.db.backends", "django.template", "botocore.endpoint"])
def test_no_code_is_logged_at_debug(caplog, name: str) -> None:
    """These loggers would log whole queries, contexts and mails."""
    caplog.set_level(logging.DEBUG)
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize("written", ["json", "JSON"])
def test_gunicorn_writes_the_same(monkeypatch, capsys, written: str) -> None:
    """Its own lines and its access log, which has a hash for the visitor's address."""
    from gunicorn.config import Config

    monkeypatch.setenv("LOG_FORMAT", written)
    config = Config()
    config.set("accesslog", "-")
    logger = logs.GunicornLogger(config)
    request = SimpleNamespace(headers=[("REFERER", "https://x.test/signup/link/abcdefgh.ijklmnop/")])
    response = SimpleNamespace(status="200 OK", sent=5, headers=[])
    environ = {
        "REMOTE_ADDR": "203.0.113.9",
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/signup/mute/abcdefgh.ijklmnop/?a=bob@example.com",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_REFERER": "https://x.test/signup/link/abcdefgh.ijklmnop/",
    }
    from datetime import timedelta

    logger.access(response, request, environ, timedelta(seconds=1))
    entry = json.loads(capsys.readouterr().out)
    assert "GET /signup/mute/…/?a=address-" in entry["event"]
    assert not any(secret in entry["event"] for secret in ("203.0.113.9", "abcdefgh", "bob@"))


def test_gunicorn_repeats_nothing_of_a_request_that_it_cannot_read(capsys) -> None:
    """Behind a Content-Length that is too small the rest of a form is taken for the next request."""
    from gunicorn.config import Config
    from gunicorn.http.errors import InvalidRequestLine, LimitRequestHeaders
    from gunicorn.workers.base import Worker

    worker = SimpleNamespace(log=logs.GunicornLogger(Config()))
    with socket.socket() as client:
        for error in (InvalidRequestLine("password=hunter2&captcha=4821"), LimitRequestHeaders("too many headers")):
            Worker.handle_error(worker, None, client, ("2001:db8::9", 5), error)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "Invalid request: Invalid HTTP request line",
        "Invalid request: too many headers",
    ]


def test_runserver_writes_no_line_of_its_own() -> None:
    """It would have the path, and so the tokens of links; the site's own line has the route."""
    code = "import django, logging; django.setup(); logging.getLogger('django.server').info('GET /signup/link/token/')"
    environment = {**ENVIRONMENT, "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "core.settings"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("", "")


def test_a_warning_of_python_is_one_line_too() -> None:
    """By itself it is two, one of them source, and has its addresses."""
    code = "import django, warnings; django.setup(); warnings.warn('no time zone at bob@example.com', RuntimeWarning)"
    environment = {**ENVIRONMENT, "DEBUG": "true", "LOG_FORMAT": "json", "DJANGO_SETTINGS_MODULE": "core.settings"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    [entry] = map(json.loads, said.stderr.splitlines())
    assert (entry["logger"], entry["level"]) == ("py.warnings", "warning")
    assert "RuntimeWarning: no time zone at address-" in entry["event"]


def test_the_level_holds_for_every_logger() -> None:
    """Also for those to which Django, Celery or these settings give a level of their own."""
    code = (
        "import django, logging; django.setup()\n"
        "logging.getLogger('django.security.DisallowedHost').error('Invalid HTTP_HOST header')\n"
        "for name in ('django', 'django.db.backends', 'celery', 'worker'):\n"
        "    logger = logging.getLogger(name); logger.warning('quiet'); logger.error(name)"
    )
    environment = {**ENVIRONMENT, "DEBUG": "true", "LOG_FORMAT": "json", "DJANGO_SETTINGS_MODULE": "core.settings"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, env={**environment, "LOG_LEVEL": "ERROR"}, capture_output=True, check=True)
    assert [json.loads(line)["event"] for line in said.stderr.splitlines()] == [
        "django",
        "django.db.backends",
        "celery",
        "worker",
    ]


@pytest.mark.parametrize("debug", ["true", "false"])
def test_an_error_of_django_is_one_line_and_no_mail(debug: str) -> None:
    """Django's own handlers would mail it to ADMINS, or with DEBUG log it twice, with the token of its path."""
    code = (
        "import django; from django.conf import settings; django.setup()\n"
        "settings.ADMINS = [('Admin', 'admin@example.com')]\n"
        "settings.EMAIL_BACKEND = backend = 'django.core.mail.backends.console.EmailBackend'\n"
        "settings.MAILERS = {'default': {'BACKEND': backend}}\n"
        "import logging; logging.getLogger('django.request').error('Internal Server Error: /signup/mute/a-token.of-it/')"
    )
    environment = {**ENVIRONMENT, "DEBUG": debug, "LOG_FORMAT": "json", "DJANGO_SETTINGS_MODULE": "core.settings"}
    environment["SECRET_KEY"] = "a-key-that-only-this-test-knows-0123456789-abcdef"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    [entry] = map(json.loads, said.stderr.splitlines())
    assert (said.stdout, entry["event"]) == ("", "Internal Server Error: /signup/mute/…/")
