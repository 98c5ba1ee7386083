"""SMTP over TLS and STARTTLS, with signing in, against a real TLS server."""

import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from django.core.mail import EmailMessage

from core import mail_urls
from tests.servers import free_port
from worker import smtp, smtp_pool
from worker.classification import Outcome

USER, PASSWORD = "doorcode", "p@ss word"


class Catcher:
    def __init__(self) -> None:
        self.mails: list[tuple[bool, bytes]] = []
        self.greetings: list[tuple[bool, str]] = []  # (encrypted, name)

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.greetings.append((session.ssl is not None, hostname))
        return responses

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((session.authenticated, envelope.content))
        return "250 OK"


def check(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@pytest.fixture
def start(settings, monkeypatch, tmp_path) -> Iterator[Callable[..., Catcher]]:
    """Start a TLS server in one of two ways; trust its authority, by SSL_CERT_FILE, or not."""
    running: list[Controller] = []

    def start(
        way: str, *, name: str = "127.0.0.1", trusted: bool = True, login: bool = True, password: str = PASSWORD
    ) -> Catcher:
        authority, catcher, port = trustme.CA(), Catcher(), free_port()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(server)
        if trusted:
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        options: dict[str, Any] = {
            "authenticator": check,
            "auth_required": login,
            "auth_require_tls": way == "starttls",
        }
        if way == "starttls":
            options |= {"tls_context": server, "require_starttls": True}
        else:
            options |= {"ssl_context": server}
        running.append(Controller(catcher, hostname="127.0.0.1", port=port, **options))
        running[-1].start()
        smtp_pool._tls.cache_clear()
        scheme, user = "smtp+tls" if way == "starttls" else "smtp+ssl", f"{USER}:{quote(password)}@" if login else ""
        settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", f"{scheme}://{user}127.0.0.1:{port}")]
        return catcher

    yield start
    smtp_pool._tls.cache_clear()
    smtp.EmailBackend().close()
    for controller in running:
        controller.stop()


def send() -> smtp.Reply:
    return smtp.EmailBackend().submit(EmailMessage("x", "x", "noreply@doorcode.test", ["alice@example.com"]))


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_mails_go_encrypted_and_signed_in(start, way: str) -> None:
    """Two over one connection."""
    catcher = start(way)
    assert [send().outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert [authenticated for authenticated, _ in catcher.mails] == [True, True]


def test_the_name_of_the_site_is_said_again_inside_tls(start, settings) -> None:
    """The first greeting does not count after STARTTLS (RFC 3207 §4.2)."""
    settings.EMAIL_HELO = "accounts.example.com"
    catcher = start("starttls")
    assert send().outcome is Outcome.ACCEPTED
    assert catcher.greetings == [(False, "accounts.example.com"), (True, "accounts.example.com")]


def test_starttls_without_signing_in(start) -> None:
    """A relay inside one's own network."""
    catcher = start("starttls", login=False)
    assert send().outcome is Outcome.ACCEPTED
    assert len(catcher.mails) == 1


@pytest.mark.parametrize("fault", [{"trusted": False}, {"name": "mail.example.com"}], ids=["authority", "name"])
def test_a_false_certificate_is_the_services_fault(start, fault: dict) -> None:
    """Nothing is sent to a server that can't prove its name; the mail waits."""
    catcher = start("starttls", **fault)
    assert send().outcome is Outcome.UNAVAILABLE
    assert catcher.mails == []


def test_a_refused_password_is_the_services_fault(start) -> None:
    """5xx at AUTH says nothing about the recipient."""
    start("starttls", password="wrong")
    reply = send()
    assert (reply.outcome, reply.text[:3]) == (Outcome.UNAVAILABLE, "535")
