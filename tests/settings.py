"""The product's settings in the environment of a test: SQLite in memory, no Redis, eager hashing."""

import os
import re
from pathlib import Path

# What a developer's shell has set is none of the tests' business: neither our variables, nor what Celery, libpq and
# requests read by themselves.
_documented = Path(__file__).parent.parent / "docs" / "reference" / "environment.md"
_drawn = {"BRAND_DIR", "BRAND_COLOR", "LANGUAGES"} if os.environ.get("SHOTS") else set()  # by `make screenshots`
_others = {name for name in os.environ if re.match(r"CELERY_|BROKER_URL$|PG[A-Z]|.*_proxy$", name, re.IGNORECASE)}
for _name in {*re.findall(r"^\| `([A-Z_]+)`", _documented.read_text(), re.MULTILINE), *_others} - _drawn:
    os.environ.pop(_name, None), os.environ.pop(f"{_name}_FILE", None)

os.environ.update(
    {
        "DEBUG": "false",
        "SECRET_KEY": "a-key-that-only-tests-know-0123456789-abcdefghij",
        "SITE_URL": "http://testserver",
        "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
        "DATABASE_URL": "sqlite://:memory:",
        "REDIS_URL": "memory://",
        "EMAIL_URL": "smtp://127.0.0.1:1",
        "DEFAULT_FROM_EMAIL": "Doorcode <noreply@doorcode.test>",
        # Tests share one process, one network and one clock; those about limits set their own.
        "LIMIT_GUESSES_SITE": "",
        "LIMIT_MAILS_MAILBOX": "",
        "LIMIT_RESETS_MAILBOX": "",
        "LIMIT_REQUESTS_NETWORK": "",
        "LIMIT_VERIFY_NETWORK": "",
        "LIMIT_LOGIN_NETWORK": "",
        "LIMIT_LOGIN_PAIR": "",
        "LIMIT_LOGIN_ACCOUNT": "",
        "LIMIT_PASSWORD_CHANGES": "",
    }
)

from core.settings import *  # noqa: E402, F403
from core.settings import ANYMAIL, DATABASES, LOGGING  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["TEST"] = {"NAME": None}
STATIC_ROOT = Path("/nowhere")  # tests read the sources, even where some were collected
WHITENOISE_AUTOREFRESH = True  # find a file when it is asked for; else each test's client reads all of them first
# Services whose reports are taken.
MAIL_WEBHOOKS = ["amazon_ses", "brevo", "mailersend", "mailgun", "mailjet", "mailtrap", "postmark", "resend"]
ANYMAIL |= {
    "WEBHOOK_SECRET": "mail:a-password-of-tests",
    "MAILGUN_WEBHOOK_SIGNING_KEY": "a-key-of-mailgun",
    "MAILERSEND_SIGNING_SECRET": "a-key-of-mailersend",
}
LOGGING["loggers"]["mail.log"] = {"level": "WARNING"}  # aiosmtpd's every word
