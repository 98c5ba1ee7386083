"""System checks."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from core import checks


def ids(messages) -> list[str]:
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("CAPTCHA_LENGTH", 3, "doorcode.E001"),
        ("CAPTCHA_LENGTH", 11, "doorcode.E001"),
        ("CAPTCHA_TTL", 0, "doorcode.E002"),
        ("CAPTCHA_MAX_LIFETIME", 1, "doorcode.E003"),
        ("CAPTCHA_MAX_ATTEMPTS", 0, "doorcode.E004"),
        ("RESEND_COOLDOWN", -1, "doorcode.E005"),
        ("TRUSTED_PROXIES", -1, "doorcode.E006"),
        ("SIGNUP_ALLOWED_DOMAINS", ["local host"], "doorcode.E008"),
        ("SIGNUP_DENIED_DOMAINS", ["example.com", "a b"], "doorcode.E008"),
        ("API_TOKEN_TTL", 0, "doorcode.E010"),
        ("CORS_ALLOWED_ORIGINS", ["*"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://app.example.com", "app.example.com"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://app.example.com/"], "doorcode.E011"),
        ("DEFAULT_FROM_EMAIL", "Shop\r\nBcc: eve@evil.example <a@example.com>", "doorcode.E021"),
        ("DEFAULT_FROM_EMAIL", "Shop\x07 <a@example.com>", "doorcode.E021"),
        ("SITE_NAME", "Shop\n", "doorcode.E021"),
        ("SITE_NAME", "Shop\u2028Two", "doorcode.E021"),
        ("SITE_NAME", "Shop\udcff", "doorcode.E021"),
        ("PURGE_USERS_AFTER", 3_600, "doorcode.E007"),
        ("PURGE_CODES_AFTER", 3_600, "doorcode.E007"),
    ],
)
def test_impossible_settings_are_errors(settings, name: str, value: object, error: str) -> None:
    """Each by its own id."""
    setattr(settings, name, value)
    assert ids(checks.captcha_settings(None)) == [error]
    with pytest.raises(ImproperlyConfigured, match=error):
        checks.refuse_impossible()


def test_the_defaults_are_fine() -> None:
    """No error as shipped."""
    assert checks.captcha_settings(None) == []


@pytest.mark.parametrize(("length", "expected"), [(4, ["doorcode.W001"]), (5, ["doorcode.W001"]), (6, [])])
def test_a_short_code_is_a_deployment_warning(settings, length: int, expected: list[str]) -> None:
    """Four digits is below what NIST and ASVS ask."""
    settings.CAPTCHA_LENGTH = length
    assert ids(checks.short_code(None)) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("METRICS_TOKEN", "prometheus", ["doorcode.W007"]),
        ("METRICS_TOKEN", "0123456789abcdef", []),
        ("REDIS_URL", "rediss://r.example.com/0?ssl_cert_reqs=none", ["doorcode.W008"]),
        ("CELERY_BROKER_URL", "rediss://r.example.com/0?ssl_cert_reqs=CERT_NONE", ["doorcode.W008"]),
        ("CELERY_BROKER_USE_SSL", {"ssl_cert_reqs": "none"}, ["doorcode.W008"]),
        ("CELERY_BROKER_USE_SSL", {"ssl_cert_reqs": "required"}, []),
        ("EMAIL_HOST", "mail.example.com", ["doorcode.W004"]),
        ("EMAIL_HOST", "mailpit", []),
        ("DEMO", True, ["doorcode.W005"]),
        ("LIMIT_GUESSES_ADDRESS", [], ["doorcode.W006"]),
        ("LIMIT_GUESSES_SITE", [], ["doorcode.W006"]),
    ],
)
def test_what_is_fine_only_at_home_is_a_deployment_warning(settings, name: str, value, expected: list[str]) -> None:
    """A short token, TLS that trusts anybody, plain SMTP to another machine, the demo's inbox, no budget of guesses."""
    settings.LIMIT_GUESSES_SITE = [(100, 6)]
    setattr(settings, name, value)
    assert ids(checks.unsafe_here(None)) == expected


@pytest.mark.parametrize(
    ("redirect", "proxies", "expected"), [(True, 0, ["doorcode.W002"]), (True, 1, []), (False, 0, [])]
)
def test_https_without_a_trusted_proxy_is_a_deployment_warning(settings, redirect, proxies, expected) -> None:
    """It would redirect for ever."""
    settings.SECURE_SSL_REDIRECT, settings.TRUSTED_PROXIES = redirect, proxies
    assert ids(checks.redirect_loop(None)) == expected
