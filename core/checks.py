"""System checks: settings that must not run, and those that an operator should know about."""

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port, validate_host
from django.utils.translation import gettext as _

from . import email_addresses
from .env import KNOWN_KEYS, netloc

TOKEN_LENGTH = 16  # characters: 64 bits in hex, too many to try over HTTP

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # no header of a mail can hold these


def refuse_impossible() -> None:
    """Raise ImproperlyConfigured for values with which no sign-up can work, so that neither web nor worker starts."""
    _require(4 <= settings.CAPTCHA_LENGTH <= 10, "E001", _("CAPTCHA_LENGTH must be between 4 and 10 digits"))
    _require(settings.CAPTCHA_TTL > 0, "E002", _("CAPTCHA_TTL must be more than 0 seconds"))
    is_longer = settings.CAPTCHA_MAX_LIFETIME >= settings.CAPTCHA_TTL
    _require(is_longer, "E003", _("CAPTCHA_MAX_LIFETIME must not be less than CAPTCHA_TTL"))
    text = _("CAPTCHA_MAX_LIFETIME must not be more than a day: a sign-up that is older has to start again")
    _require(settings.CAPTCHA_MAX_LIFETIME <= settings.HANDLE_LIFETIME, "E014", text)
    _require(settings.CAPTCHA_MAX_ATTEMPTS > 0, "E004", _("CAPTCHA_MAX_ATTEMPTS must be at least 1"))
    _require(settings.RESEND_COOLDOWN >= 0, "E005", _("RESEND_COOLDOWN must not be negative"))
    _require(settings.TRUSTED_PROXIES >= 0, "E006", _("TRUSTED_PROXIES must not be negative"))
    text = _("PURGE_USERS_AFTER and PURGE_CODES_AFTER must be at least a day: a sign-up may take that long")
    _require(settings.PURGE_USERS_AFTER >= settings.HANDLE_LIFETIME <= settings.PURGE_CODES_AFTER, "E007", text)
    domains = settings.SIGNUP_ALLOWED_DOMAINS + settings.SIGNUP_DENIED_DOMAINS
    text = _("SIGNUP_ALLOWED_DOMAINS and SIGNUP_DENIED_DOMAINS must be domains like example.com")
    _require(all(map(email_addresses.is_domain, domains)), "E008", text)
    _require(settings.API_TOKEN_TTL > 0, "E010", _("API_TOKEN_TTL must be more than 0 seconds"))
    # As browsers send them: an origin in capitals, or in another script, would never match.
    are_origins = all(
        re.fullmatch(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", each)
        for each in settings.CORS_ALLOWED_ORIGINS
    )
    _require(are_origins, "E011", _("CORS_ALLOWED_ORIGINS must be origins like https://app.example.com"))
    _require(settings.EMAIL_MAX_CONNECTIONS > 0, "E012", _("EMAIL_MAX_CONNECTIONS must be at least 1"))
    database = settings.DATABASES["default"]
    needed: dict[str, object] = {"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True}
    if "pool" in database.get("OPTIONS", {}):
        needed["CONN_MAX_AGE"] = 0  # None is for ever
    is_changed = any(database.get(name, value) != value for name, value in needed.items())
    text = _(
        "The database must have no ATOMIC_REQUESTS, CONN_MAX_AGE or AUTOCOMMIT of its own: "
        "a guess is committed before it is compared, and connections are pooled"
    )
    _require(not is_changed, "E013", text)
    text = _("SITE_NAME, DEFAULT_FROM_EMAIL and EMAIL_REPLY_TO must be one line of text, without control characters")
    by_language = settings.SITE_NAMES, settings.FROM_EMAILS, settings.REPLY_TO_EMAILS
    names = [name for names in by_language for name in names.values()]
    _require(not any(map(_UNPRINTABLE.search, names)), "E021", text)
    _require(settings.USE_TZ, "E023", _("USE_TZ must be True: times in mails and in the API are in UTC"))
    text = _(
        "Browsers refuse a domain for the cookie %(cookie)s: set %(name)s_COOKIE_NAME beside %(name)s_COOKIE_DOMAIN"
    )
    for name in ("SESSION", "CSRF", "LANGUAGE"):
        cookie, domain = (getattr(settings, f"{name}_COOKIE_{part}") for part in ("NAME", "DOMAIN"))
        is_refused = domain and cookie.startswith("__Host-")
        _require(not is_refused, "E024", text % {"cookie": cookie, "name": name})


def _require(holds: bool, code: str, text: str) -> None:
    if not holds:
        raise ImproperlyConfigured(f"{text} (doorcode.{code})")


@checks.register("doorcode", deploy=True)
def deployment(app_configs: Any, **kwargs: Any) -> Iterator[checks.CheckMessage]:
    """Settings that are fine on one's own machine, and nowhere else."""
    if settings.CAPTCHA_LENGTH < 6:
        hint = _("Set CAPTCHA_LENGTH=6 where the site must meet NIST SP 800-63A-4 or OWASP ASVS")
        yield checks.Warning(_("Codes have fewer than 6 digits"), hint=hint, id="doorcode.W001")
    if settings.DEMO:
        text, hint = _("The demo's inbox shows every mail to every visitor"), _("Unset DEMO and DEBUG")
        yield checks.Warning(text, hint=hint, id="doorcode.W005")
    in_memory = settings.REDIS_URL.startswith("memory:") or settings.CELERY_BROKER_URL.startswith("memory:")
    if in_memory or "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        text = _("SQLite, and memory:// in place of Redis, are for trying out on one machine")
        hint = _("Set DATABASE_URL, REDIS_URL and CELERY_BROKER_URL to servers that all processes share")
        yield checks.Warning(text, hint=hint, id="doorcode.W011")
    if not (settings.LIMIT_GUESSES_ADDRESS and settings.LIMIT_GUESSES_SITE):
        hint = _("Unset LIMIT_GUESSES_ADDRESS and LIMIT_GUESSES_SITE to have their defaults back")
        yield checks.Warning(_("Wrong guesses at codes have no limit"), hint=hint, id="doorcode.W006")
    token = settings.METRICS_TOKEN
    if not token:  # safe, but the alerts have nothing to read
        text = _("METRICS_TOKEN is not set: /metrics answers nobody, and no alert can fire")
        hint = _("Set METRICS_TOKEN to a long random value, and give it to Prometheus")
        yield checks.Info(text, hint=hint, id="doorcode.I001")
    elif len(token) < TOKEN_LENGTH or token.startswith(KNOWN_KEYS) or not token.isprintable():
        text = _("METRICS_TOKEN is shorter than 16 characters, a known example, or more than one line")
        yield checks.Warning(text, hint=_("Set METRICS_TOKEN to a long random value"), id="doorcode.W007")


@checks.register("doorcode", deploy=True)
def reachability(app_configs: Any, **kwargs: Any) -> Iterator[checks.CheckMessage]:
    """An address that does not lead visitors to the site."""
    host, _port = split_domain_port(netloc("SITE_URL", settings.SITE_URL))
    if not validate_host(host, settings.ALLOWED_HOSTS):
        text = _("The host of SITE_URL is not in ALLOWED_HOSTS: pages at that address answer 400")
        hint = _("Add it, unless a proxy asks with another Host")
        yield checks.Warning(text, hint=hint, id="doorcode.W012")
    if host in ("localhost", "[::1]") or host.startswith("127."):
        text = _("SITE_URL is an address of this machine alone: nobody else can open the links in mails")
        hint = _("Set SITE_URL to the address at which visitors reach the site")
        yield checks.Warning(text, hint=hint, id="doorcode.W013")
    # Behind a proxy that ends TLS, only the proxy can say that a request came by https.
    if settings.SECURE_SSL_REDIRECT and not settings.TRUSTED_PROXIES:
        text = _("SITE_URL is https and TRUSTED_PROXIES is 0: behind a proxy every request is redirected to itself")
        hint = _("Set TRUSTED_PROXIES to the number of proxies before the web process")
        yield checks.Warning(text, hint=hint, id="doorcode.W002")


@checks.register("doorcode", deploy=True)
def webhooks(app_configs: Any, **kwargs: Any) -> Iterator[checks.CheckMessage]:
    """Mail services whose reports of bounces are not taken."""
    for service in set(settings.MAIL_SERVICES) - set(settings.MAIL_WEBHOOKS):
        text = _("Bounces and complaints that %(service)s reports are not taken: nothing tells them from forged ones")
        hint = _("Set EMAIL_WEBHOOK_SECRET or the signing key of the mail service: docs/how-to/mail-providers.md")
        yield checks.Warning(text % {"service": service}, hint=hint, id="doorcode.W009")


@checks.register("doorcode", deploy=True)
def encryption(app_configs: Any, **kwargs: Any) -> Iterator[checks.CheckMessage]:
    """Connections that are not encrypted, or to servers that nobody has verified."""
    servers = [route.options for route in settings.MAIL_ROUTES if route.options]
    if not all(server["use_tls"] or server["use_ssl"] or is_local(server["host"]) for server in servers):
        text = _("Mails, codes in them, and the mail server's password travel unencrypted")
        hint = _("Begin EMAIL_URL, and EMAIL_FALLBACK_URL, with smtp+tls:// or smtp+ssl://")
        yield checks.Warning(text, hint=hint, id="doorcode.W004")
    brokers = settings.REDIS_URL, settings.CELERY_BROKER_URL, settings.CELERY_BROKER_USE_SSL
    trusting = r"ssl_cert_reqs\W+(CERT_)?none|ssl_check_hostname\W+(0|f|n)"
    if re.search(trusting, f"{brokers}", re.IGNORECASE):
        hint = _(
            "Take ssl_cert_reqs and ssl_check_hostname out of the URL; name a private authority by ssl_ca_certs=/path"
        )
        yield checks.Warning(_("TLS to Redis or the broker trusts any certificate"), hint=hint, id="doorcode.W008")


def is_local(host: str) -> bool:
    """Whether a host is this machine, or a container in the same network, which has a name without a dot."""
    return host.startswith("127.") or host == "::1" or not re.search(r"[.:]", host)
