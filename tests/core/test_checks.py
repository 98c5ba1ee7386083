"""System checks."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from core import checks, mail_urls

CHECKS = (checks.deployment, checks.reachability, checks.webhooks, checks.encryption)


def warnings() -> list[str]:
    """The ids of what `manage.py check --deploy` says of Doorcode's own settings."""
    return [message.id for check in CHECKS for message in check(None)]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("CAPTCHA_LENGTH", 3, "doorcode.E001"),
        ("CAPTCHA_LENGTH", 11, "doorcode.E001"),
        ("CAPTCHA_TTL", 0, "doorcode.E002"),
        ("CAPTCHA_MAX_LIFETIME", 1, "doorcode.E003"),
        ("CAPTCHA_MAX_LIFETIME", 86_401, "doorcode.E014"),
        ("CAPTCHA_MAX_ATTEMPTS", 0, "doorcode.E004"),
        ("RESEND_COOLDOWN", -1, "doorcode.E005"),
        ("TRUSTED_PROXIES", -1, "doorcode.E006"),
        ("SIGNUP_ALLOWED_DOMAINS", ["local host"], "doorcode.E008"),
        ("SIGNUP_DENIED_DOMAINS", ["example.com", "a b"], "doorcode.E008"),
        ("API_TOKEN_TTL", 0, "doorcode.E010"),
        ("EMAIL_MAX_CONNECTIONS", 0, "doorcode.E012"),
        ("CORS_ALLOWED_ORIGINS", ["*"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://app.example.com", "app.example.com"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://app.example.com/"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://App.example.com"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://例子.中国"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://[::1"], "doorcode.E011"),
        ("CORS_ALLOWED_ORIGINS", ["https://a:b:c"], "doorcode.E011"),
        ("FROM_EMAILS", {"": "Shop\r\nBcc: eve@evil.example <a@example.com>"}, "doorcode.E021"),
        ("FROM_EMAILS", {"": "Shop\x07 <a@example.com>"}, "doorcode.E021"),
        ("REPLY_TO_EMAILS", {"": "Shop\n <a@example.com>"}, "doorcode.E021"),
        ("REPLY_TO_EMAILS", {"en": "Shop\x07 <a@example.com>"}, "doorcode.E021"),
        ("SITE_NAMES", {"": "Shop\n"}, "doorcode.E021"),
        ("SITE_NAMES", {"en": "Shop", "ja": "Shop\u2028Two"}, "doorcode.E021"),
        ("SITE_NAMES", {"": "Shop\udcff"}, "doorcode.E021"),
        ("USE_TZ", False, "doorcode.E023"),
        ("PURGE_USERS_AFTER", 3_600, "doorcode.E007"),
        ("PURGE_CODES_AFTER", 3_600, "doorcode.E007"),
    ],
)
def test_impossible_settings_are_refused(settings, name: str, value: object, error: str) -> None:
    """Each by its own id."""
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match=error):
        checks.refuse_impossible()


@pytest.mark.parametrize("cookie", ["SESSION", "CSRF", "LANGUAGE"])
def test_a_cookie_of_one_host_has_no_domain(settings, cookie: str) -> None:
    """Browsers refuse it, so nobody could sign in or send a form. With a name of the project's own it may have one."""
    setattr(settings, f"{cookie}_COOKIE_DOMAIN", "example.com")
    checks.refuse_impossible()
    setattr(settings, f"{cookie}_COOKIE_NAME", "__Host-name")
    with pytest.raises(ImproperlyConfigured, match="E024"):
        checks.refuse_impossible()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAPTCHA_LENGTH", 4),
        ("CAPTCHA_LENGTH", 10),
        ("CAPTCHA_MAX_LIFETIME", 600),
        ("CAPTCHA_MAX_LIFETIME", 86_400),
        ("CAPTCHA_MAX_ATTEMPTS", 1),
        ("RESEND_COOLDOWN", 0),
        ("PURGE_USERS_AFTER", 86_400),
        ("PURGE_CODES_AFTER", 86_400),
    ],
)
def test_the_outermost_settings_are_fine(settings, name: str, value: int) -> None:
    """As docs/reference/environment.md names them."""
    setattr(settings, name, value)
    checks.refuse_impossible()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ATOMIC_REQUESTS", True), ("CONN_MAX_AGE", 60), ("CONN_MAX_AGE", None), ("AUTOCOMMIT", False)],
)
def test_a_database_that_fails_at_each_code_is_refused(settings, monkeypatch, name: str, value: object) -> None:
    """By an app's settings or the query of DATABASE_URL: all would start, and answer with an error of the server."""
    monkeypatch.setitem(settings.DATABASES, "default", {"OPTIONS": {"pool": {}}, name: value})
    with pytest.raises(ImproperlyConfigured, match="E013"):
        checks.refuse_impossible()


def test_a_database_without_a_pool_may_keep_its_connections(settings, monkeypatch) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", {"OPTIONS": {}, "CONN_MAX_AGE": None})
    checks.refuse_impossible()


def test_the_defaults_are_fine() -> None:
    """No error as shipped."""
    checks.refuse_impossible()


BOTH_PLAIN = [mail_urls.read("EMAIL_URL", f"smtp://{host}") for host in ("127.0.0.1", "mail.example.com")]


@pytest.fixture
def deployed(settings, monkeypatch) -> None:
    """Settings of which no deployment check warns."""
    settings.CAPTCHA_LENGTH, settings.LIMIT_GUESSES_SITE, settings.METRICS_TOKEN = 6, [(100, 6)], "0123456789abcdef"
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://r.example.com/0"
    settings.SITE_URL, settings.ALLOWED_HOSTS = "https://example.net", [".example.net", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example.org"]  # a project's own
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CAPTCHA_LENGTH", 4, ["doorcode.W001"]),
        ("CAPTCHA_LENGTH", 5, ["doorcode.W001"]),
        ("CAPTCHA_LENGTH", 6, []),
        ("SECURE_SSL_REDIRECT", True, ["doorcode.W002"]),
        ("SITE_URL", "https://accounts.example.com:8443", ["doorcode.W012"]),
        ("SITE_URL", "https://www.example.net:8443", []),
        ("SITE_URL", "http://[::1]:8000", ["doorcode.W013"]),
        ("SITE_URL", "http://127.0.0.1:8000", ["doorcode.W012", "doorcode.W013"]),
        ("ALLOWED_HOSTS", ["*"], []),
        ("METRICS_TOKEN", "", ["doorcode.I001"]),
        ("METRICS_TOKEN", "prometheus", ["doorcode.W007"]),
        ("METRICS_TOKEN", "replace-me-qW8nT4xR2bLk7vZc9mHs", ["doorcode.W007"]),
        ("METRICS_TOKEN", "01234567\n89abcdef", ["doorcode.W007"]),
        ("METRICS_TOKEN", "0123456789abcdef", []),
        ("REDIS_URL", "rediss://r.example.com/0?ssl_cert_reqs=none", ["doorcode.W008"]),
        ("CELERY_BROKER_URL", "rediss://r.example.com/0?ssl_cert_reqs=CERT_NONE", ["doorcode.W008"]),
        ("REDIS_URL", "rediss://r.example.com/0?ssl_check_hostname=false", ["doorcode.W008"]),
        ("CELERY_BROKER_USE_SSL", {"ssl_cert_reqs": "none"}, ["doorcode.W008"]),
        ("CELERY_BROKER_USE_SSL", {"ssl_check_hostname": "False"}, ["doorcode.W008"]),
        ("CELERY_BROKER_USE_SSL", {"ssl_cert_reqs": "required"}, []),
        ("MAIL_ROUTES", [mail_urls.read("EMAIL_URL", "smtp://mail.example.com")], ["doorcode.W004"]),
        ("MAIL_ROUTES", [mail_urls.read("EMAIL_URL", "smtp://[2001:db8::25]")], ["doorcode.W004"]),
        ("MAIL_ROUTES", [mail_urls.read("EMAIL_URL", "smtp://[::1]")], []),
        ("MAIL_ROUTES", [mail_urls.read("EMAIL_URL", "smtp://mailpit")], []),
        ("MAIL_ROUTES", BOTH_PLAIN, ["doorcode.W004"]),
        ("MAIL_ROUTES", [BOTH_PLAIN[0], mail_urls.read("EMAIL_FALLBACK_URL", "smtp+tls://mail.example.com")], []),
        ("MAIL_SERVICES", ["mailgun", "sparkpost"], ["doorcode.W009"]),
        ("MAIL_SERVICES", ["mailgun"], []),
        ("DEMO", True, ["doorcode.W005"]),
        ("REDIS_URL", "memory://", ["doorcode.W011"]),
        ("CELERY_BROKER_URL", "memory://localhost/", ["doorcode.W011"]),
        ("LIMIT_GUESSES_ADDRESS", [], ["doorcode.W006"]),
        ("LIMIT_GUESSES_SITE", [], ["doorcode.W006"]),
    ],
)
def test_settings_for_ones_own_machine_are_deployment_warnings(settings, deployed, name, value, expected) -> None:
    """Short codes and tokens, TLS that trusts any server, plain SMTP to another machine, the demo, no guess limit."""
    setattr(settings, name, value)
    assert warnings() == expected


def test_sqlite_in_production_is_warned_of(settings, deployed, monkeypatch) -> None:
    """As where the file of DATABASE_URL_FILE is empty."""
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    assert warnings() == ["doorcode.W011"]


def test_https_behind_a_trusted_proxy_redirects_once(settings, deployed) -> None:
    """Without one it would redirect for ever, which W002 warns of."""
    settings.SECURE_SSL_REDIRECT, settings.TRUSTED_PROXIES = True, 1
    assert warnings() == []
