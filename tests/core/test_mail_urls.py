"""EMAIL_URL and EMAIL_FALLBACK_URL."""

import re

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from core import mail_urls
from core.observability import error_reports
from tests.servers import ROOT


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 25, "", "", False, False)),
        ("smtp+tls://u%40x:p%2Fw@mail.example.com", ("mail.example.com", 587, "u@x", "p/w", True, False)),
        ("smtp+ssl://u:p@mail.example.com:4650", ("mail.example.com", 4650, "u", "p", False, True)),
        ("smtp://[2001:db8::1]:2525", ("2001:db8::1", 2525, "", "", False, False)),
    ],
)
def test_a_mail_server(url: str, server: tuple[object, ...]) -> None:
    """Its host and port, who signs in, and how the connection is encrypted."""
    route = mail_urls.read("EMAIL_URL", url)
    assert (route.backend, tuple(route.options.values())) == ("worker.smtp.EmailBackend", server)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("anymail+postmark://tok%2Fen@", {"POSTMARK_SERVER_TOKEN": "tok/en"}),
        ("anymail+brevo://key@", {"BREVO_API_KEY": "key"}),
        ("anymail+mailjet://key:secret@", {"MAILJET_API_KEY": "key", "MAILJET_SECRET_KEY": "secret"}),
        (
            "anymail+mailgun://key@mg.example.com?webhook_signing_key=wk&api_url=https%3A%2F%2Fapi.eu.mailgun.net%2Fv3",
            {
                "MAILGUN_API_KEY": "key",
                "MAILGUN_SENDER_DOMAIN": "mg.example.com",
                "MAILGUN_WEBHOOK_SIGNING_KEY": "wk",
                "MAILGUN_API_URL": "https://api.eu.mailgun.net/v3",
            },
        ),
    ],
)
def test_a_mail_service(url: str, settings: dict[str, str]) -> None:
    """Its keys, and any other setting of Anymail's by its name."""
    assert mail_urls.read("EMAIL_URL", url).anymail == settings


def test_amazon_ses_has_a_region_and_may_have_keys() -> None:
    """Without keys, boto3 looks where AWS's own tools do."""
    route = mail_urls.read("EMAIL_URL", "anymail+ses://AKIA:s%2Fe%2Bc@eu-west-1?configuration_set_name=doorcode")
    params = route.anymail["AMAZON_SES_CLIENT_PARAMS"]
    assert {name: value for name, value in params.items() if name != "config"} == {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": "s/e+c",
        "region_name": "eu-west-1",
    }
    assert route.anymail["AMAZON_SES_CONFIGURATION_SET_NAME"] == "doorcode"
    without = mail_urls.read("EMAIL_URL", "anymail+ses://@eu-west-1").anymail["AMAZON_SES_CLIENT_PARAMS"]
    assert set(without) == {"region_name", "config"}


@pytest.mark.parametrize(
    "url",
    [
        "smtp-server",
        "smtps://mail.example.com",  # STARTTLS for some programs, TLS from the start for others
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:x",
        "smtp://user:pa/ss@mail.example.com",
        "smtp://user:pa#ss@mail.example.com",
        "smtp://user:12?ss@mail.example.com",
        "smtp://mail.example.com:587/?tls=True",
        "anymail+nobody://key@",
        "anymail+mailjet://:secret@",
        "anymail+mailjet://key@",
        "anymail+postmark://%20token@",
        "anymail+mailjet://key:sec%0Aret@",
        "anymail://key@",
        "consolemail://",
        "smtp://[::1",
    ],
)
def test_a_url_that_cant_be_read_names_the_variable_and_not_itself(url: str) -> None:
    """It holds a password."""
    with pytest.raises(ImproperlyConfigured) as error:
        mail_urls.read("EMAIL_FALLBACK_URL", url)
    assert "EMAIL_FALLBACK_URL must be a URL like" in str(error.value)
    assert url not in str(error.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("letter", "/?#[")
def test_a_proxy_that_cant_be_read_is_refused(monkeypatch, name: str, letter: str) -> None:
    """No mail would leave by it, and the log would have a part of its password."""
    monkeypatch.setenv(name, f"http://user:hu{letter}sh@proxy.example.com:3128")
    with pytest.raises(ImproperlyConfigured) as error:
        mail_urls.read("EMAIL_URL", "anymail+postmark://token@")
    assert "HTTPS_PROXY" in str(error.value)
    assert "hu" not in str(error.value)
    mail_urls.read("EMAIL_URL", "smtp://mail.example.com")  # goes through no proxy
    monkeypatch.setenv(name, "http://user:hu%23sh@proxy.example.com:3128")
    mail_urls.read("EMAIL_URL", "anymail+postmark://token@")


def test_without_anymail_a_service_is_refused(monkeypatch) -> None:
    """With the locks to install, which are there: Doorcode itself is no package that pip could install with an extra."""
    monkeypatch.setattr(mail_urls, "find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured) as error:
        mail_urls.read("EMAIL_URL", "anymail+postmark://token@")
    locks = re.findall(r"\b[a-z]+\.txt", str(error.value))
    assert set(locks) == {"anymail.txt", "ses.txt"}
    assert [lock for lock in locks if not (ROOT / "requirements" / lock).exists()] == []


@pytest.mark.parametrize(
    ("service", "settings", "can_report"),
    [
        ("postmark", {"WEBHOOK_SECRET": "u:p"}, True),
        ("postmark", {"WEBHOOK_SECRET": ""}, False),
        ("mailgun", {"WEBHOOK_SECRET": "u:p"}, False),
        ("mailgun", {"MAILGUN_WEBHOOK_SIGNING_KEY": "k"}, True),
        ("mailersend", {"MAILERSEND_SIGNING_SECRET": "k"}, True),
        ("mailersend", {"MAILGUN_WEBHOOK_SIGNING_KEY": "k"}, False),
        ("mandrill", {"MANDRILL_WEBHOOK_KEY": "k"}, True),
        ("sendgrid", {"SENDGRID_INBOUND_WEBHOOK_VERIFICATION_KEY": "k"}, False),
        ("resend", {"RESEND_INBOUND_SIGNING_SECRET": "k"}, False),
        ("postmark", {"POSTMARK_SIGNING_KEY": "k"}, False),
        ("brevo", {"BREVO_WEBHOOK_KEY": "k", "WEBHOOK_SECRET": ""}, False),
    ],
)
def test_reports_are_taken_only_where_a_forged_one_is_known(
    service: str, settings: dict[str, str], can_report: bool
) -> None:
    """By a signature or a password."""
    assert mail_urls.can_report(service, settings) is can_report


@pytest.mark.parametrize(
    "url", ["smtp+tls://me:hush@mail.example.com", "anymail+postmark://hush@", "anymail+ses://id:hush@eu-west-1"]
)
def test_a_report_of_an_error_shows_no_password(url: str) -> None:
    """Django's own lists all settings, and hides some by their names."""
    route = mail_urls.read("EMAIL_URL", url)
    with override_settings(MAIL_ROUTES=[route], ANYMAIL=route.anymail):
        assert "hush" not in f"{error_reports.ExceptionReporterFilter().get_safe_settings()}"
