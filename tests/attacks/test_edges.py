"""Around the flow: networks, caches, logs, the broker, deployment, the web server. Attacks 42 to 58, 65 to 70."""

import base64
import hashlib
import html
import json
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import kombu.exceptions
import pytest
import redis
import requests
import trustme
import yaml
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings
from django.views.debug import ExceptionReporter
from kombu import Connection

from core import mail_urls, ratelimit
from core.wsgi import application
from signup import services
from signup.limits import LOGIN_ACCOUNT, LOGIN_NETWORK, LOGIN_PAIR, MAIL_REQUESTS
from tests.factories import (
    ALICE,
    BOB,
    PASSWORD,
    FrozenClock,
    make_captcha,
    make_delivery,
    make_user,
    other_code,
    right,
    text_of,
    wrong,
)
from tests.servers import ENVIRONMENT, ROOT, SLOWNESS, MailServer, Redis, System, Visitor, link_in, wait_until
from tests.steps import ask, deliver, verify
from tests.worker.sink import Sink
from verification.states import SignUpError
from worker import notify, outbox, sending, smtp
from worker.celery import app
from worker.models import Delivery

pytestmark = pytest.mark.django_db

PUBLIC = [
    "/signup/",
    "/signup/verify/",
    "/login/",
    "/password-reset/",
    "/password-reset/done/",
    "/admin/login/",
    "/nowhere/",
]


def test_42_rotating_forwarded_addresses_is_one_network(client: Client, limited, settings) -> None:
    """An entry that a client itself writes into X-Forwarded-For is never its address, with any number of proxies."""
    for hops in (0, 1):
        settings.TRUSTED_PROXIES = hops
        answers = []
        for number in range(61):
            forged = f"10.1.{hops}.{number}"
            header = f"{forged}, 5.6.7.{hops}" if hops else forged
            headers = {"X-Forwarded-For": header, "X-Real-IP": forged, "Forwarded": f"for={forged}"}
            answers.append(client.post("/signup/", {"email": f"p{number}@example.com"}, headers=headers).status_code)
        assert answers == [303] * 60 + [429]


def test_43_with_redis_gone_sign_up_works(client: Client, limited, monkeypatch) -> None:
    """No limit, no message, no cache: the code is mailed, and opens."""

    def gone(*args: object, **kwargs: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("core.ratelimit.redis_client", gone)
    monkeypatch.setattr("worker.notify.notify_workers", lambda delivery_id: False)
    sign_up = ask(client)
    assert [each.recipient for each in outbox.claim(limit=1)] == [ALICE]
    assert verify(client, sign_up).status_code == 303
    client.post("/logout/")
    assert client.post("/login/", {"username": "alice", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize("page", PUBLIC)
def test_44_pages_are_private(client: Client, page: str) -> None:
    """Each has a language in it, most a flow: no shared cache keeps one, no back button shows one to the next."""
    ask(client)
    assert client.get(page).headers["Cache-Control"] in ("private, no-store, no-transform", PRIVATE_OF_DJANGO)


LIMITS = (MAIL_REQUESTS, LOGIN_NETWORK, LOGIN_PAIR, LOGIN_ACCOUNT)
PRIVATE_OF_DJANGO = "max-age=0, no-cache, no-store, must-revalidate, private, no-transform"


@pytest.mark.redis
def test_45_46_a_secret_is_in_no_log_page_row_or_message(tmp_path: Path) -> None:
    """
    One whole registration, every message to the broker listened to; then look for its code, its link and its password
    in all that was written: logs at DEBUG, the database's dump, each page's HTML and URL, the admin, and Redis.
    """
    database = tmp_path / "db.sqlite3"
    said: list[bytes] = []
    with Redis() as server, redis.Redis.from_url(server.url) as client, MailServer() as mail:
        environment = {"LOG_LEVEL": "DEBUG", "CAPTCHA_LENGTH": "10"}  # ten digits are not in a text by chance
        environment["GUNICORN_CMD_ARGS"] = '--access-logfile - --access-logformat "%(r)s %(f)s"'
        system = System(database=f"sqlite:///{database}", redis=server.url, mail=mail, logs=tmp_path, **environment)
        with system.run(), client.monitor() as monitor:
            alice, pages = Visitor(system.url), []
            pages.append(alice.post("/signup/", email=ALICE))
            code, link = mail.code(ALICE), link_in(mail.wait_for(ALICE))
            elsewhere = Visitor(system.url)
            pages += [alice.get("/signup/verify/"), elsewhere.get(link), elsewhere.get("/signup/verify/")]
            assert alice.post(link).status_code == 405  # which Django logs with its path
            fields = {"email": ALICE, "username": "alice", "password": PASSWORD}
            pages.append(alice.post("/signup/verify/", captcha=other_code(code), **fields))
            final = alice.post("/signup/verify/", captcha=code, **fields)
            assert final.status_code == 303
            pages += [final, alice.get("/account/"), alice.get("/signup/status/")]
            others = _more_secrets(system)
            pages += _admin(system)
            client.set("the end", 1)
            for command in monitor.listen():
                said.append(json.dumps(command, default=str).encode())
                if "the end" in command["command"]:
                    break
            dump = sqlite3.connect(database)
            rows = "\n".join(dump.iterdump())
            nonces = [nonce for (nonce,) in dump.execute("SELECT nonce FROM verification_captchamodel")]
    proof = link.rstrip("/").partition(".")[2]
    written = {
        "logs": "".join(each.read_text() for each in tmp_path.glob("*.log")),
        "database": rows,
        "broker": b"\n".join(said).decode(),
        "pages": "".join(page.text + str(page.headers.get("Location")) + page.url.replace(link, "") for page in pages),
    }
    assert written["logs"].count("/signup/link/…") >= 3  # the access log's two, and Django's
    assert nonces
    assert not [nonce for nonce in nonces if nonce in written["pages"] + written["logs"] + written["broker"]]
    for where, text in written.items():
        assert len(text) > 500, where
        assert proof not in text, where
        assert PASSWORD not in text, where
        assert [secret for secret in [code, *others] if secret in text] == [], where
    assert "worker.tasks.deliver" in written["broker"]
    handle = link.rstrip("/").rpartition("/")[2].partition(".")[0]
    for secret in (handle, ALICE, "bob@example.com", SYSTEM_KEY):
        assert secret not in written["logs"]
    _one_id_from_request_to_task(system, final)


SYSTEM_KEY = "a-key-that-only-this-system-knows-0123456789-abcdef"


def _more_secrets(system: System) -> list[str]:
    """A reset by mail, and a registration over the API with a wrong and a right code: what must be found nowhere."""
    bob, mail, reset = "bob@example.com", system.mail, Visitor(system.url)
    reset.post("/password-reset/", email=ALICE)
    path = link_in(mail.wait_for(ALICE, number=2), "/password-reset/")
    form = reset.get(path).headers["Location"]
    assert reset.post(form, password="another horse b").status_code == 302
    api = f"{system.url}/api"
    handle = requests.post(f"{api}/captchas/", json={"email": bob}, timeout=30).json()["id"]
    code = mail.code(bob)
    fields = {"id": handle, "email": bob, "username": "bobby", "password": "a third horse b"}
    assert requests.post(f"{api}/users/", json=fields | {"captcha": other_code(code)}, timeout=30).status_code == 400
    made = requests.post(f"{api}/users/", json=fields | {"captcha": code}, timeout=30).json()
    requests.get(f"{api}/users/me/", headers={"Authorization": f"Token {made['token']}"}, timeout=30)
    return [path.rstrip("/").rpartition("/")[2], "another horse b", "a third horse b", made["token"]]


def _one_id_from_request_to_task(system: System, answer: requests.Response) -> None:
    """Every line is a JSON object; a request's id is in its own line, and in those of the worker that sent its mail."""
    web = [json.loads(line) for line in system.log("web").splitlines()]
    lines = [line for line in system.log("worker").splitlines() if line.startswith("{")]
    worker = [json.loads(line) for line in lines]
    assert [each["code"] for each in web if each.get("request_id") == answer.headers["X-Request-ID"] and "code" in each]
    asked = next(each for each in web if each.get("request") == "POST /signup/" and "code" in each)
    sent = [each["event"] for each in worker if each.get("request_id") == asked["request_id"]]
    assert any(event.startswith("delivery 1 (code): accepted") for event in sent)


def _admin(system: System) -> list[requests.Response]:
    """The pages of the admin that show the request and its mail."""
    system.environment["DJANGO_SUPERUSER_PASSWORD"] = "correct horse admin"
    system.manage("createsuperuser", "--no-input", "--email", "root@example.com", "--username", "root")
    root = Visitor(system.url)
    root.get("/admin/login/")
    root.post("/login/", username="root", password="correct horse admin")
    paths = ["/admin/worker/delivery/", "/admin/worker/delivery/1/change/", "/admin/signup/user/"]
    paths += ["/admin/verification/captchamodel/", "/admin/verification/captchamodel/1/change/"]
    pages = [root.get(path) for path in paths]
    assert ALICE in pages[0].text
    return pages


def test_46_the_broker_gets_an_id_and_nothing_else(monkeypatch) -> None:
    """Arguments, their printed form and headers of the message."""
    sent: list[tuple] = []
    monkeypatch.undo()  # the replacement of notify_workers, which tells nobody
    sign_up = make_captcha()
    number = make_delivery(sign_up).pk
    with patch.object(app.amqp, "send_task_message", lambda *args, **kwargs: sent.append((args, kwargs))):
        assert notify.notify_workers(number)
    [(args, kwargs)] = sent
    message = next(each for each in args if hasattr(each, "headers"))
    assert tuple(message.body[0]) == (number,)
    assert message.headers["argsrepr"] in (f"[{number}]", f"({number},)")
    assert message.headers["kwargsrepr"] == "{}"
    all_of_it = repr((message.body, message.headers, message.properties, kwargs))
    assert ALICE not in all_of_it
    assert f"'{right(sign_up)}'" not in all_of_it


def test_47_error_reports_hide_what_was_typed(client: Client, settings, monkeypatch) -> None:
    """A crash in the middle of a verification: its report has neither code, password, key nor a service's URL."""
    settings.CELERY_BROKER_URL = f"redis://:{'secret' * 2}@redis.example.com/0"
    sign_up = ask(client)
    code = right(sign_up)
    reports: list[str] = []

    def crash(*args: object) -> bool:
        raise RuntimeError("crash")

    monkeypatch.setattr("verification.codes.same", crash)
    client.raise_request_exception = False

    def note(sender: object, request: HttpRequest, **kwargs: object) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.append(reporter.get_traceback_text() + reporter.get_traceback_html())

    got_request_exception.connect(note)
    try:
        assert verify(client, sign_up).status_code == 500
    finally:
        got_request_exception.disconnect(note)
    [text] = reports
    assert "verify" in text
    assert PASSWORD not in text
    assert settings.SECRET_KEY not in text
    assert f"'{code}'" not in html.unescape(text)
    assert "secretsecret" not in text


def test_48_pickled_tasks_are_refused() -> None:
    """A message that would run code when it is read is not read."""
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    ran: list[int] = []
    with Connection("memory://") as connection:
        queue = connection.SimpleQueue("attack-48", serializer="pickle")
        queue.put({"task": "worker.tasks.deliver", "args": [1]})
        queue.consumer.accept = set(app.conf.accept_content)
        with pytest.raises(kombu.exceptions.ContentDisallowed):
            ran.append(queue.get(timeout=1).payload)
    assert ran == []


def test_49_compose_hides_its_databases() -> None:
    """Passwords that must be given, and no public port."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    open_to_all = [name for name, each in services.items() if "network_mode" in each or not _is_local(each)]
    assert open_to_all == []
    assert "--requirepass" in services["redis"]["command"]
    for word in ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "SECRET_KEY"):
        uses = re.findall(rf"\${{{word}(\W[^}}]*)}}", (ROOT / "docker-compose.yml").read_text())
        assert uses
        assert all(use.startswith(":?") for use in uses)


@pytest.mark.parametrize("weak", ["x", "replace-me-3fJ8kPq2vXw9mTz5bNc7RdLh4YgUs6Ae1Ko0iQxVtWnZy", "1234" * 12])
def test_65_a_key_that_can_be_guessed_starts_no_process(weak: str) -> None:
    """Neither as the key nor as a former one: with it anybody computes codes, links and sessions."""
    former = {"SECRET_KEY": SYSTEM_KEY, "SECRET_KEY_FALLBACKS": weak}
    for environment in ({"SECRET_KEY": weak}, former):
        env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **environment}
        done = subprocess.run(
            [sys.executable, "-c", "import django; django.setup()"], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert "ImproperlyConfigured: SECRET_KEY" in done.stderr


def test_66_compose_publishes_the_web_to_the_proxy_alone() -> None:
    """A client that reached the web past the proxy could name any network as its own in X-Forwarded-For."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert compose["services"]["web"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]


@pytest.mark.parametrize("scheme", ["rediss", "sentinel", "amqps"])
def test_67_a_server_with_a_strange_certificate_gets_no_word(scheme: str) -> None:
    """A server between us and Redis or the broker, with a certificate of its own, sees neither password nor message."""
    with _listener() as (port, heard):
        url = f"{scheme}://:secret@127.0.0.1:{port}/0" + ("?ssl_cert_reqs=required" if scheme == "sentinel" else "")
        cache = {"REDIS_URL": url if scheme == "rediss" else "memory://"}
        given = {"SECRET_KEY": SYSTEM_KEY, "CELERY_BROKER_URL": url, **cache}
        env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **given}
        command = [sys.executable, "-W", "ignore", "-c", _SPEAK]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["publisher", "worker", *(["cache"] if scheme == "rediss" else [])], done.stderr
    assert heard == []


_SPEAK = """
import django; django.setup()
from core.health import checks
from worker import celery_app, health
def worker():
    celery_app.connection_for_read().ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
for name, act in (("publisher", health.broker), ("worker", worker), ("cache", checks.redis_server)):
    try:
        act()
    except Exception:
        print(name)
"""


@contextmanager
def _listener() -> Generator[tuple[int, list[bytes]]]:
    """A TLS server whose certificate nobody trusts; yield its port, and what it gets to read, encrypted or plain."""
    context, heard = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), []
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                if connection.recv(1, socket.MSG_PEEK) != b"\x16":  # which begins TLS
                    heard.append(connection.recv(1_000))
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                    secure.settimeout(1)
                    if data := secure.recv(1_000):
                        heard.append(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_70_a_neighbouring_subdomain_can_set_none_of_our_cookies() -> None:
    """
    With https each cookie of a whole sign-up is __Host- with all that browsers ask of such a name, and a plain cookie,
    which evil.example.com could set for example.com and all below it, is not looked at.
    """
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", "LOG_LEVEL": "ERROR"}
    env |= {"SECRET_KEY": SYSTEM_KEY, "SITE_URL": "https://accounts.example.com", "DATABASE_URL": "sqlite://:memory:"}
    env |= {"REDIS_URL": "memory://", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", _SIGN_UP], cwd=ROOT, env=env, capture_output=True, text=True)
    cookies, lost = json.loads(done.stdout or "[[], false]")
    names = {cookie.partition("=")[0] for cookie in cookies}
    kept = {"doorcode_signup", "doorcode_device", "csrftoken", "sessionid", "messages", "django_language"}
    draft = "__Secure-doorcode_draft-signup"  # of one page, which __Host- does not allow
    assert names == {draft, *(f"__Host-{name}" for name in kept)}, done.stderr
    for cookie in cookies:
        path = "/signup/" if cookie.startswith(draft) else "/"
        assert f"; Path={path};" in f"{cookie};", cookie
        assert "; Secure" in cookie, cookie
        assert "Domain" not in cookie
    assert lost


_SIGN_UP = """
import django, json; django.setup()
from unittest.mock import patch
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
from tests.factories import right
from tests.steps import accept
client, cookies = Client(headers={"Host": "accounts.example.com"}), []
def note(answer):
    cookies.extend(morsel.OutputString() for morsel in answer.cookies.values())
    return answer
with patch("worker.notify.notify_workers", lambda delivery_id: True):
    note(client.get("/signup/", secure=True))
    note(client.post("/i18n/setlang/?next=/signup/", {"language": "en", "email": "alice@"}, secure=True))
    note(client.post("/signup/", {"email": "alice@example.com"}, secure=True))
    sign_up = accept()
    neighbour = Client(headers={"Host": "accounts.example.com"})
    neighbour.cookies["doorcode_signup"] = client.cookies["__Host-doorcode_signup"].value
    lost = b"timed out" in neighbour.get("/signup/verify/", secure=True).content
    fields = {"email": sign_up.address, "captcha": right(sign_up), "username": "alice", "password": "correct horse b"}
    note(client.post("/signup/verify/", fields, secure=True))
    note(client.get("/account/", secure=True))
print(json.dumps([cookies, lost]))
"""


@pytest.mark.parametrize("space", ["\u2000", "\u3000", "\xa0", "\x85", "\u2028", "\x1f"])
def test_70_no_white_space_before_a_name_makes_a_cookie_ours(client: Client, space: str) -> None:
    """
    Browsers let evil.example.com set such a name for example.com, __Host- or not, and Django strips it. So a visitor
    would be signed in to the account of a stranger.
    """
    client.force_login(make_user("mallory", ALICE))
    session = f"sessionid={client.cookies['sessionid'].value}"
    assert _status_with_cookies(f"a=b; {session}") == "200 OK"
    assert _status_with_cookies(f"a=b; {space}{session}") == "302 Found"
    assert _status_with_cookies(f"{space}{session}") == "302 Found"
    assert _status_with_cookies(f"a=b; {session}; {space}sessionid=other") == "200 OK"


def _status_with_cookies(cookies: str) -> str:
    """The status of the account page by the WSGI application, to which a server hands bytes as Latin-1."""
    environ = RequestFactory().get("/account/", headers={"cookie": cookies.encode().decode("latin-1")}).environ
    answers: list[str] = []
    b"".join(application(environ, lambda status, headers, *_: answers.append(status)))
    return answers[0]


def _is_local(service: dict) -> bool:
    """Whether nobody but this machine reaches its ports."""
    return all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_50_a_mailbox_can_not_be_bombed(frozen_clocks: FrozenClock, limited) -> None:
    """
    A thousand requests in a day from many networks, for one mailbox in many spellings, by each form that mails: ten
    sign-up mails arrive, and six resets. Nobody is told, and each request is answered as any other.
    """
    make_user("bob", "bob@gmail.com")
    spellings = ["bob@gmail.com", "b.o.b@gmail.com", "bob+1@gmail.com", "bob@googlemail.com"]
    arrived = []
    for number in range(1_000):
        where = f"10.{number // 250}.0.{number % 250}"
        page = "/password-reset/" if number % 3 == 0 else "/signup/"
        answer = Client().post(page, {"email": spellings[number % 4]}, REMOTE_ADDR=where)
        assert answer.status_code in (302, 303)
        while mails := deliver():
            arrived += [each.kind for each in mails if not each.is_for_nobody]
        frozen_clocks.move(seconds=86)
    resets = arrived.count(Delivery.Kind.PASSWORD_RESET)
    assert 4 <= resets <= 6
    assert 8 <= len(arrived) - resets <= 10
    assert Delivery.objects.filter(state="pending").count() > 600


@pytest.mark.parametrize(
    "spellings", [[ALICE], ["alice@gmail.com", "a.lice@gmail.com", "alice+1@gmail.com"]], ids=["one", "many"]
)
def test_68_longer_codes_are_no_way_to_bomb_a_mailbox(
    frozen_clocks: FrozenClock, limited, spellings: list[str]
) -> None:
    """
    A stranger asks from many networks, and as each mail leaves guesses at its code, until codes have to be longer: one
    mail with a longer code arrives in a day beside those of the mail limit, whatever the spelling.
    """
    for number in range(15):
        services.request_code(
            address=spellings[number % len(spellings)], language="en", held={}, network=f"network {number}"
        )
    arrived: list[Delivery] = []
    for pause in [60] * 8 + [1_800] * 47:
        for _ in range(2):  # the second has what the guesses at the first have made
            mails = deliver()
            arrived += mails
            for sign_up in [mail.sign_up for mail in mails for _ in range(6)]:
                sign_up.refresh_from_db()
                with suppress(SignUpError):
                    services.prove(sign_up=sign_up, address=sign_up.address, code=wrong(sign_up))
        if pause == 60:
            assert len(arrived) <= 5 + 1
        frozen_clocks.move(seconds=pause)
    assert len([each for each in arrived if not each.mailbox]) == 1
    assert len(arrived) <= 10 + 1


@pytest.mark.parametrize("page", PUBLIC)
def test_51_no_page_can_be_framed_or_scripted(client: Client, page: str) -> None:
    """Framing is refused, the CSP knows no unsafe-*, no wildcard and no other host; nothing is sniffed."""
    ask(client)
    headers = client.get(page).headers
    assert headers["X-Frame-Options"] == "DENY"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"unsafe-|\*|https?:", policy)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_51_the_admin_is_for_staff_and_errors_show_nothing(client: Client, monkeypatch) -> None:
    """A visitor's way into the admin ends at its door; a crash shows no traceback, setting or path."""
    make_user("bob", BOB)
    client.post("/login/", {"username": "bob", "password": PASSWORD})
    assert "/admin/login/" in client.get("/admin/").headers["Location"]
    assert "/admin/login/" in client.get("/admin/worker/delivery/").headers["Location"]

    def crash(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the secret of the crash")

    monkeypatch.setattr("signup.services.request_code", crash)
    client.raise_request_exception = False
    client.post("/logout/")
    answer = client.post("/signup/", {"email": ALICE})
    assert answer.status_code == 500
    assert not re.search(r"Traceback|RuntimeError|secret|core/settings|site-packages", text_of(answer))


def test_53_a_proxy_that_adds_a_port_makes_nobody_one_network(client: Client, limited, settings) -> None:
    """Azure's gateways and IIS write 203.0.113.7:49152, each connection with another port; IPv6 in brackets."""
    settings.TRUSTED_PROXIES = 1

    def asks(number: int, peer: str) -> int:
        headers = {"X-Forwarded-For": f"10.9.9.{number}, {peer}"}
        return client.post("/signup/", {"email": f"p{number}@example.com"}, headers=headers).status_code

    assert [asks(number, f"203.0.113.7:{49_152 + number}") for number in range(61)] == [303] * 60 + [429]
    assert asks(61, "203.0.113.8:49152") == 303
    assert [asks(70 + number, f"[2001:db8::{number}]:443") for number in range(61)] == [303] * 60 + [429]
    assert asks(71, "[2001:db8:0:1::1]") == 303
    assert asks(72, "2001:db8::1") == 429  # the same network, however it is written


CHUNKED = pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/signup/", "application/x-www-form-urlencoded", "email=%s"),
        ("/api/captchas/", "application/json", '{"email": "%s"}'),
    ],
)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """gunicorn, met without a proxy before it."""
    folder = tmp_path_factory.mktemp("web")
    with System(database=f"sqlite:///{folder / 'db.sqlite3'}", logs=folder).run(worker=False) as system:
        yield system


def post_chunks(web: System, path: str, kind: str, chunks: Iterable[bytes]) -> requests.Response:
    """A body without Content-Length: requests sends a generator's parts as chunks."""
    visitor = Visitor(web.url)
    visitor.get("/signup/")
    headers = {"Content-Type": kind, "X-CSRFToken": visitor.session.cookies["csrftoken"]}
    return visitor.session.post(web.url + path, data=iter(chunks), headers=headers, allow_redirects=False, timeout=30)


@CHUNKED
def test_54_a_body_in_chunks_is_read(web: System, path: str, kind: str, body: str) -> None:
    """As any other, not taken for an empty one."""
    text = (body % ALICE).encode()
    answer = post_chunks(web, path, kind, [text[:5], text[5:9], text[9:]])
    assert answer.status_code == (202 if path.startswith("/api/") else 303), answer.text


@CHUNKED
@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_54_chunks_have_the_limit_of_bodies(web: System, path: str, kind: str, body: str, size: int) -> None:
    """Over 64 KiB: 413, in the form that the caller expects; the rest is read only so far that the answer arrives."""
    answer = post_chunks(web, path, kind, [b"email=", *[b"a" * 1_000] * (size // 1_000)])
    assert answer.status_code == 413
    expected = "application/problem+json" if path.startswith("/api/") else "text/html"
    assert answer.headers["Content-Type"].startswith(expected)


@CHUNKED
def test_54_broken_chunks_are_a_bad_request(web: System, path: str, kind: str, body: str) -> None:
    """No size that can be read: 400, no traceback."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"what\r\nemail\r\n")
        status = connection.recv(1_000).split(b"\r\n")[0]
    assert b" 400 " in status
    assert "Traceback" not in web.log("web")


@CHUNKED
def test_54_chunks_that_the_server_leaves_need_a_length(client: Client, path: str, kind: str, body: str) -> None:
    """A server that doesn't read them passes on an empty body: 411 instead of "Enter your email address"."""
    answer = client.generic("POST", path, b"", kind, headers={"Transfer-Encoding": "chunked"})
    assert answer.status_code == 411
    assert answer.headers["Content-Type"].startswith(
        "application/problem+json" if path.startswith("/api/") else "text/html"
    )


@pytest.mark.redis
def test_55_a_flood_of_readiness_delays_nobody(tmp_path: Path) -> None:
    """64 hits of /readyz while Redis is frozen occupy no more than one thread of a process: /signup/ answers on."""
    with Redis() as server:
        given = {"database": f"sqlite:///{tmp_path / 'db.sqlite3'}", "WEB_CONCURRENCY": "2"}
        system = System(redis=server.url, logs=tmp_path, **given)
        with system.run(worker=False), ThreadPoolExecutor(max_workers=64) as pool:
            wait_until(lambda: requests.get(f"{system.url}/readyz", timeout=10).status_code == 200, "readiness")
            server.send(signal.SIGSTOP)
            visitors = [Visitor(system.url) for _ in range(6)]
            for each in visitors:
                each.get("/signup/")
            for number in range(4):  # each process pays for the broken broker once
                visitors[number].post("/signup/", email=f"before{number}@example.com")
            hits = [pool.submit(requests.get, f"{system.url}/readyz", timeout=60) for _ in range(64)]
            begun = time.monotonic()
            times = []
            for each in visitors:
                each.get("/signup/verify/")
                times.append(time.monotonic() - begun)
            took = max(times)
            states = [hit.result().json()["checks"]["redis"] for hit in hits]
            server.send(signal.SIGCONT)
    print(f"six pages within {took:.2f} s")
    assert took < 2.0 * SLOWNESS
    assert set(states) <= {"ok", "down"}


@pytest.mark.redis
def test_56_redis_holds_no_address(limited) -> None:
    """Somebody who reads Redis, or a dump of it, can't try all IPv4 addresses or known names: keys are keyed hashes."""
    network, name = "203.0.113.7", "alice"
    words = [network, name, f"{name}|{network}"]
    plain = [form for word in words for form in _plain_forms(word)]
    with Redis() as server, override_settings(REDIS_URL=server.url), redis.Redis.from_url(server.url) as reader:
        Client().post("/signup/", {"email": ALICE}, REMOTE_ADDR=network)
        Client().post("/login/", {"username": name, "password": "wrong"}, REMOTE_ADDR=network)
        names = [each.decode() for each in reader.scan_iter()]
    assert len(names) >= 5  # two rates of requests, one each of sign-ins, pair and account
    assert [each for each in names for form in plain if form in each] == []
    assert not set(names) & set(_as_anybody_would_name_them(words))


def _plain_forms(word: str) -> list[str]:
    """A word, and its hashes without a key, by their beginnings."""
    hashes = [hashlib.new(kind, word.encode()).hexdigest()[:16] for kind in ("md5", "sha1", "sha256")]
    return [word, *hashes, base64.urlsafe_b64encode(hashlib.sha256(word.encode()).digest()).decode()[:16]]


def _as_anybody_would_name_them(words: list[str]) -> list[str]:
    """The names that a stranger with this code, and another SECRET_KEY, gives to the same counts."""
    with override_settings(SECRET_KEY="a-strangers-key-0123456789-0123456789-0123456789"):
        return [each.name for limit in LIMITS for word in words for each in ratelimit._windows(limit, word)]


def test_57_a_local_proxy_opens_no_metrics(client: Client, settings) -> None:
    """A proxy on this machine that adds no header makes every visitor look local: that alone opens nothing."""
    for token in ("", "a-token"):
        settings.METRICS_TOKEN = token
        for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            for host in ("testserver", "localhost", "127.0.0.1:8000"):
                answer = client.get("/metrics", REMOTE_ADDR=address, headers={"Host": host})
                assert answer.status_code == 404
                assert b"doorcode_" not in answer.content


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("DEFAULT_FROM_EMAIL", "华东师范大学附属第一实验中学校友会 <a@b.cn>"),
        ("DEFAULT_FROM_EMAIL", '"Smith, Smith and Smith, the oldest of all ironmongers, of London" <a@b.cn>'),
        ("SITE_NAME", "华东师范大学附属第一实验中学校友会" * 15),
        ("SITE_NAME", "x" * 254),
        ("SITE_NAME", "Door\r\nBcc: eve@evil.example"),
    ],
)
def test_58_no_name_stops_the_mail_or_adds_a_header(settings, setting: str, value: str) -> None:
    """A mail server gets it, in lines of the standard's length, with the headers that every mail has."""
    server = Sink()
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", server.url)]
    setattr(settings, setting, value)
    make_delivery(make_captcha(accepted=False), language="zh-hans")
    try:
        sending.deliver()
    finally:
        smtp.EmailBackend().close()
        server.close()
    assert Delivery.objects.get().state == "sent"
    [mail] = server.mails
    lines = mail.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")
    assert max(map(len, lines)) <= 78
    assert max(len(word) for line in lines for word in line.split() if word.startswith("=?")) <= 75
    names = [line.partition(":")[0] for line in lines if not line.startswith(" ")]
    assert len(names) == len(set(names)) == 10
    assert "Bcc" not in names
