"""EMAIL_URL and EMAIL_FALLBACK_URL: a mail server by SMTP, or a mail service by its API and django-anymail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote
from urllib.request import getproxies

from django.core.exceptions import ImproperlyConfigured

from .server_urls import split

SMTP = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}  # scheme -> port
EXAMPLES = "smtp+tls://user:password@mail.example.com, anymail+postmark://token@"
API_TIMEOUT = (5, 20)  # seconds to connect, and to wait for the next byte of an answer: less than one send may take


@dataclass(frozen=True)
class Service:
    """A mail service. The user, the password and the host of its URL are these settings of Anymail."""

    module: str  # of anymail.backends, and the name in the path of its webhook
    user: str
    password: str = ""
    host: str = ""


# https://anymail.dev/en/stable/esps/ says what each setting means. SES has its own, see _ses.
SERVICES = {
    "brevo": Service("brevo", "API_KEY"),
    "mailersend": Service("mailersend", "API_TOKEN"),
    "mailgun": Service("mailgun", "API_KEY", host="SENDER_DOMAIN"),
    "mailjet": Service("mailjet", "API_KEY", "SECRET_KEY"),
    "mailtrap": Service("mailtrap", "API_TOKEN"),
    "mandrill": Service("mandrill", "API_KEY"),
    "postmark": Service("postmark", "SERVER_TOKEN"),
    "resend": Service("resend", "API_KEY"),
    "sendgrid": Service("sendgrid", "API_KEY"),
    "ses": Service("amazon_ses", ""),
    "sparkpost": Service("sparkpost", "API_KEY"),
}

# The settings with the signing keys of services that always sign their reports: Anymail takes only signed ones from
# these. All others send our password, EMAIL_WEBHOOK_SECRET.
SIGNED = {"mailersend": "SIGNING_SECRET", "mailgun": "WEBHOOK_SIGNING_KEY", "mandrill": "WEBHOOK_KEY"}


@dataclass(frozen=True)
class Route:
    """One way by which mails leave: a Django email backend and its settings; its repr shows no passwords."""

    backend: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)  # of an SMTP backend: those of Django's own
    service: str = ""  # the name of a mail service's webhook
    anymail: dict[str, Any] = field(default_factory=dict, repr=False)  # for the setting ANYMAIL


def read(var: str, url: str) -> Route:
    """Return what a URL says. Raises ImproperlyConfigured, with the name of the variable alone: the URL is secret."""
    if not (parts := split(url)):
        raise _refusal(var)
    scheme, _plus, service = parts.scheme.partition("+")
    if scheme == "anymail" and service in SERVICES:
        return _service(var, SERVICES[service], parts)
    if parts.scheme not in SMTP or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise _refusal(var)
    options = {
        "host": parts.hostname,
        "port": parts.port or SMTP[parts.scheme],
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "use_tls": parts.scheme == "smtp+tls",
        "use_ssl": parts.scheme == "smtp+ssl",
    }
    return Route("worker.smtp.EmailBackend", options)


def can_report(service: str, anymail: Mapping[str, Any]) -> bool:
    """Whether reports of a service can be told from forged ones: it signs them, or it sends our password."""
    needed = f"{service.upper()}_{SIGNED[service]}" if service in SIGNED else "WEBHOOK_SECRET"
    return bool(anymail.get(needed))


def _service(var: str, service: Service, parts: SplitResult) -> Route:
    if find_spec("anymail") is None:
        raise ImproperlyConfigured(
            f"{var} needs django-anymail: install requirements/anymail.txt, or ses.txt for Amazon SES / "
            f"{var} 需要 django-anymail：请安装 requirements/anymail.txt；使用 Amazon SES 时安装 ses.txt"
        )
    if not split(getproxies().get("https", "")):  # no mail would leave, and the error about that has the password in it
        raise ImproperlyConfigured(
            "HTTPS_PROXY must be a URL like http://user:password@proxy.example.com:3128, percent-encoded / "
            "HTTPS_PROXY 的格式应如 http://user:password@proxy.example.com:3128，特殊字符需作百分号编码"
        )
    user, password, host = unquote(parts.username or ""), unquote(parts.password or ""), parts.hostname or ""
    given: dict[str, Any] = {service.user: user, service.password: password, service.host: host}
    given |= {name.upper(): value for name, value in parse_qsl(parts.query)}
    if service.module == "amazon_ses":
        given["CLIENT_PARAMS"] = _ses(user, password, host)
    elif not user or (service.password and not password):
        raise _refusal(var)
    if any(not value.isprintable() or value != value.strip() for value in (user, password)):
        raise _refusal(var)  # no header can carry it, and the error about that would have the key in it
    prefix = service.module.upper()
    settings = {f"{prefix}_{name}": value for name, value in given.items() if name and value}
    return Route(f"anymail.backends.{service.module}.EmailBackend", service=service.module, anymail=settings)


def _ses(key_id: str, secret: str, region: str) -> dict[str, Any]:
    """The parameters of boto3's client; what is left out, it looks for where AWS's own tools do."""
    given = {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "region_name": region}
    config = {"connect_timeout": API_TIMEOUT[0], "read_timeout": API_TIMEOUT[1], "retries": {"total_max_attempts": 1}}
    return {name: value for name, value in given.items() if value} | {"config": config}


def _refusal(var: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{var} must be a URL like {EXAMPLES}; mail services: {', '.join(SERVICES)} / "
        f"{var} 的格式应如 {EXAMPLES}；支持的邮件服务：{'、'.join(SERVICES)}"
    )
