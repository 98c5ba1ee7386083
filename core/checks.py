"""System checks: settings that must not run, and those that an operator should know about."""

import re
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from . import email_addresses

TOKEN_LENGTH = 16  # characters: 64 bits in hex, too many to try over HTTP

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # no header of a mail can hold these


def refuse_impossible() -> None:
    """Raise ImproperlyConfigured for values with which no sign-up can work, so that neither web nor worker starts."""
    rules = [
        (4 <= settings.CAPTCHA_LENGTH <= 10, "E001", _("CAPTCHA_LENGTH must be between 4 and 10 digits")),
        (settings.CAPTCHA_TTL > 0, "E002", _("CAPTCHA_TTL must be more than 0 seconds")),
        (
            settings.CAPTCHA_MAX_LIFETIME >= settings.CAPTCHA_TTL,
            "E003",
            _("CAPTCHA_MAX_LIFETIME must not be less than CAPTCHA_TTL"),
        ),
        (settings.CAPTCHA_MAX_ATTEMPTS > 0, "E004", _("CAPTCHA_MAX_ATTEMPTS must be at least 1")),
        (settings.RESEND_COOLDOWN >= 0, "E005", _("RESEND_COOLDOWN must not be negative")),
        (
            settings.PURGE_USERS_AFTER >= settings.HANDLE_LIFETIME <= settings.PURGE_CODES_AFTER,
            "E007",
            _("PURGE_USERS_AFTER and PURGE_CODES_AFTER must be at least a day: a sign-up may take that long"),
        ),
        (
            all(map(email_addresses.is_domain, settings.SIGNUP_ALLOWED_DOMAINS + settings.SIGNUP_DENIED_DOMAINS)),
            "E008",
            _("SIGNUP_ALLOWED_DOMAINS and SIGNUP_DENIED_DOMAINS must be domains like example.com"),
        ),
        (settings.API_TOKEN_TTL > 0, "E010", _("API_TOKEN_TTL must be more than 0 seconds")),
        (
            all(re.fullmatch(r"https?://[^/\s*]+", origin) for origin in settings.CORS_ALLOWED_ORIGINS),
            "E011",
            _("CORS_ALLOWED_ORIGINS must be origins like https://app.example.com"),
        ),
        (
            not _UNPRINTABLE.search(settings.SITE_NAME + settings.DEFAULT_FROM_EMAIL),
            "E021",
            _("SITE_NAME and DEFAULT_FROM_EMAIL must be one line of text, without control characters"),
        ),
        (settings.EMAIL_MAX_CONNECTIONS > 0, "E012", _("EMAIL_MAX_CONNECTIONS must be at least 1")),
        (settings.TRUSTED_PROXIES >= 0, "E006", _("TRUSTED_PROXIES must not be negative")),
    ]
    for holds, code, text in rules:
        if not holds:
            raise ImproperlyConfigured(f"{text} (doorcode.{code})")


@checks.register("doorcode", deploy=True)
def deployment(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Warn of settings that are fine on one's own machine, and nowhere else."""
    tls = settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL
    servers = settings.REDIS_URL, settings.CELERY_BROKER_URL, settings.CELERY_BROKER_USE_SSL
    rules = [
        (
            settings.CAPTCHA_LENGTH >= 6,
            "W001",
            _("Codes have fewer than 6 digits"),
            _("Set CAPTCHA_LENGTH=6 where the site must meet NIST SP 800-63A-4 or OWASP ASVS"),
        ),
        (
            # Behind a proxy that ends TLS, only the proxy can say that a request came by https.
            not settings.SECURE_SSL_REDIRECT or settings.TRUSTED_PROXIES > 0,
            "W002",
            _("SITE_URL is https and TRUSTED_PROXIES is 0: behind a proxy every request is redirected to itself"),
            _("Set TRUSTED_PROXIES to the number of proxies before the web process"),
        ),
        (
            tls or is_local(settings.EMAIL_HOST),
            "W004",
            _("Mails, codes in them, and the mail server's password travel unencrypted"),
            _("Set EMAIL_URL to smtp+tls://… or smtp+ssl://…"),
        ),
        (
            not settings.DEMO,
            "W005",
            _("The demo's inbox shows every mail to every visitor"),
            _("Unset DEMO and DEBUG"),
        ),
        (
            bool(settings.LIMIT_GUESSES_ADDRESS and settings.LIMIT_GUESSES_SITE),
            "W006",
            _("Wrong guesses at codes have no limit"),
            _("Unset LIMIT_GUESSES_ADDRESS and LIMIT_GUESSES_SITE to have their defaults back"),
        ),
        (
            len(settings.METRICS_TOKEN) >= TOKEN_LENGTH or not settings.METRICS_TOKEN,
            "W007",
            _("METRICS_TOKEN can be guessed: it is shorter than 16 characters"),
            _("Set METRICS_TOKEN to a long random value"),
        ),
        (
            not re.search(r"ssl_cert_reqs\W+(CERT_)?none", f"{servers}", re.IGNORECASE),
            "W008",
            _("TLS to Redis or the broker trusts any certificate"),
            _("Take ssl_cert_reqs out of the URL; name a private authority by ssl_ca_certs=/path"),
        ),
        (
            bool(settings.METRICS_TOKEN),
            "I001",  # safe, but the alerts have nothing to read
            _("METRICS_TOKEN is not set: /metrics answers nobody, and no alert can fire"),
            _("Set METRICS_TOKEN to a long random value, and give it to Prometheus"),
        ),
    ]
    return [
        (checks.Info if code.startswith("I") else checks.Warning)(text, hint=hint, id=f"doorcode.{code}")
        for holds, code, text, hint in rules
        if not holds
    ]


def is_local(host: str) -> bool:
    """Whether a host is this machine, or a container in the same network, whose name has no dot."""
    return host.startswith("127.") or host == "::1" or "." not in host
