"""All settings, in sections, from the environment; docs/reference/environment.md lists every variable."""

import logging
import os
import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import django
from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF
from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from . import languages, lengths, mail_urls
from .env import Env, in_ascii, netloc

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()

# --- Safety -----------------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.secret_key("SECRET_KEY", debug=DEBUG)
SECRET_KEY_FALLBACKS = env.former_keys("SECRET_KEY_FALLBACKS", debug=DEBUG)

# --- The site ---------------------------------------------------------------------------------------------------------
_locale = BASE_DIR / "locale"
_known = languages.register(_locale / "languages.toml")  # before texts by language
SITE_URL = env.site_url("SITE_URL", default="http://127.0.0.1:8000")
SITE_NAMES = env.by_language("SITE_NAME", default="Doorcode")
SITE_NAME = next(iter(SITE_NAMES.values()))  # in languages that have none of their own
BRAND_DIR = env.folder("BRAND_DIR")  # templates and static files of the site's own, before ours
BRAND_COLOR = env.color("BRAND_COLOR", default="")
_site = urlsplit(SITE_URL)
_host = in_ascii("SITE_URL", _site.hostname or "")
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS") or [
    f"[{_host}]" if ":" in _host else _host,  # in brackets, as a Host header has an IPv6 address
    *(["localhost", "127.0.0.1"] if DEBUG else []),
]
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # opens /metrics; without a token it is closed
DEMO = DEBUG and env.bool("DEMO", default=False)
DEMO_DATA = Path(env.str("DEMO_DATA", default=str(BASE_DIR / ".demo")))

# --- Sign-up: what the project is for ---------------------------------------------------------------------------------
CAPTCHA_LENGTH = env.int("CAPTCHA_LENGTH", default=4)  # digits, 4 to 10
CAPTCHA_TTL = env.duration("CAPTCHA_TTL", default="600")  # from when the mail server accepted the mail
CAPTCHA_MAX_LIFETIME = env.duration("CAPTCHA_MAX_LIFETIME", default="1800")  # from its first acceptance
CAPTCHA_MAX_ATTEMPTS = env.int("CAPTCHA_MAX_ATTEMPTS", default=5)  # wrong tries a code
RESEND_COOLDOWN = env.duration("RESEND_COOLDOWN", default="60")  # between two mails of one request
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", default=True)
SIGNUP_REVEAL_REGISTERED = env.bool("SIGNUP_REVEAL_REGISTERED", default=False)
SIGNUP_ALLOWED_DOMAINS = env.names("SIGNUP_ALLOWED_DOMAINS")
SIGNUP_DENIED_DOMAINS = env.names("SIGNUP_DENIED_DOMAINS")
EMAIL_ALLOW_SPECIAL_DOMAINS = env.bool("EMAIL_ALLOW_SPECIAL_DOMAINS", default=False)  # such as ann@corp.local
EMAIL_ALLOW_LOOSE_DOTS = env.bool("EMAIL_ALLOW_LOOSE_DOTS", default=False)  # such as a..b@docomo.ne.jp
RESERVED_USERNAMES = env.names("RESERVED_USERNAMES")  # only for operators, beside signup/data/reserved_usernames.txt
HANDLE_LIFETIME = 86_400  # seconds; a sign-up that is older has to start again

# --- Limits; an empty variable switches one off -----------------------------------------------------------------------
# Wrong guesses in rolling 24 hours -> digits of the codes after them.
LIMIT_GUESSES_ADDRESS = env.tiers("LIMIT_GUESSES_ADDRESS", default="9:8,100:link")
LIMIT_GUESSES_SITE = env.tiers("LIMIT_GUESSES_SITE", default="100:6,1000:8")
# Mails over a limit wait; no visitor's response changes. The site's mails are counted by the minute, so its rates need
# 60 seconds or more: 20/s would let only 10 leave in each minute.
LIMIT_MAILS_MAILBOX = env.rates("LIMIT_MAILS_MAILBOX", default="1/60s,5/h,10/d")
LIMIT_MAILS_SITE = env.rates("LIMIT_MAILS_SITE", default="2000/h", least=60)
LIMIT_RESETS_MAILBOX = env.rates("LIMIT_RESETS_MAILBOX", default="1/60s,3/h,6/d")
LIMIT_RESETS_SITE = env.rates("LIMIT_RESETS_SITE", default="1000/h", least=60)
# Requests that are answered 429: per IPv4 address or IPv6 /64, and for passwords per account.
LIMIT_REQUESTS_NETWORK = env.rates("LIMIT_REQUESTS_NETWORK", default="60/2m,200/h")  # a classroom may come at once
LIMIT_VERIFY_NETWORK = env.rates("LIMIT_VERIFY_NETWORK", default="300/10m")
LIMIT_LOGIN_NETWORK = env.rates("LIMIT_LOGIN_NETWORK", default="60/m")
LIMIT_LOGIN_PAIR = env.rates("LIMIT_LOGIN_PAIR", default="5/5m")
LIMIT_LOGIN_ACCOUNT = env.rates("LIMIT_LOGIN_ACCOUNT", default="50/h")
LIMIT_PASSWORD_CHANGES = env.rates("LIMIT_PASSWORD_CHANGES", default="5/h")

# --- What is kept, and for how long -----------------------------------------------------------------------------------
PURGE_USERS_AFTER = env.duration("PURGE_USERS_AFTER", default="24h")  # accounts that were never activated
PURGE_CODES_AFTER = env.duration("PURGE_CODES_AFTER", default="7d")  # codes, spent or not
PURGE_DELIVERIES_AFTER = env.duration("PURGE_DELIVERIES_AFTER", default="30d")  # mails that are settled

# --- Apps and requests ------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "knox",  # before signup, which takes the tokens out of the admin
    "core",
    "verification",
    "worker",
    "signup",
    "corsheaders",
    "csp",
    "drf_spectacular",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",  # first, so that a refusal can be read across origins too
    "core.middleware.PrivatePages",  # before SecurityMiddleware: browsers keep its redirect to https for good
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # before the middlewares that respond themselves
    "csp.middleware.CSPMiddleware",  # before WhiteNoise: a script in a site's own SVG must not run where it is opened
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.middleware.Probes",
    "core.middleware.record_requests",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "signup.middleware.Language",
    "core.middleware.LimitBody",
    "core.middleware.LimitFields",
    "core.middleware.TooManyRequests",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "core.middleware.MethodNotAllowed",  # after CsrfViewMiddleware, which sets the cookie for the forms of its page
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "core.urls"
WSGI_APPLICATION = "core.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [*([BRAND_DIR / "templates"] if BRAND_DIR else []), BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.views.site",
            ]
        },
    }
]
MESSAGE_STORAGE = "core.storage.MessageStorage"  # so that a visitor needs no session row
DATA_UPLOAD_MAX_MEMORY_SIZE = lengths.WEBHOOK_BODY  # core.middleware.LimitBody allows others far less

# --- Database ---------------------------------------------------------------------------------------------------------
DATABASES = {
    "default": env.database(
        "DATABASE_URL",
        default=f"sqlite:///{quote(os.fsencode(BASE_DIR / 'doorcode.sqlite3'))}",
        sqlite={
            # IMMEDIATE: a transaction that reads and then writes queues for the lock at its start, instead of failing.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # The last: the journal is cut to 16 MiB once nobody reads it, or it would stay as large as it ever was.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;"
            " PRAGMA journal_size_limit=16777216;",
        },
        postgresql={
            "server_side_binding": True,  # a sign-up takes a tenth less of a web process's time
            "connect_timeout": 5,  # seconds
            # After a failover the address may lead to the standby for a while: no pool keeps a connection to it.
            "target_session_attrs": "read-write",
            # A host that is gone is noticed after about 10 s: by tcp_user_timeout (milliseconds) if it has not
            # acknowledged the query, else by keepalives (seconds). By default a thread would wait for hours.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "options": "-c statement_timeout=15s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"
            # Whatever the server's defaults are: psycopg reads no other styles.
            r" -c default_transaction_isolation=read\ committed -c DateStyle=ISO -c IntervalStyle=postgres"
            # A plan for any values, as a server's force_generic_plan makes, reads all mails for the few that are due.
            " -c plan_cache_mode=auto"
            # The same on PostgreSQL's side: a session whose client is gone keeps its rows locked no longer than that.
            " -c tcp_user_timeout=10000 -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2",
            "pool": {
                "min_size": 1,
                # More than a process has threads: one without a connection can neither claim mails nor renew leases.
                "max_size": 100,
                # Seconds: to wait for a connection, and to keep trying to reconnect after an outage.
                "timeout": 5,
                "reconnect_timeout": 5,
                # Seconds after which one unused connection is closed. After a restart of PostgreSQL a request meets
                # the broken connections one by one, and the pool pauses longer before each (docs/decisions/0080).
                "max_idle": 5,
            },
        },
    )
}
os.environ.pop("PGDATESTYLE", None)  # which libpq would send beside the options above, and PostgreSQL would prefer
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # the pool checks a connection each time that it hands it out
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: cache and limits ------------------------------------------------------------------------------------------
REDIS_URL = env.redis("REDIS_URL", default="redis://127.0.0.1:6379/0")
_in_memory = REDIS_URL.startswith("memory:")
# After a failover a connection may lead to a replica: it is closed, and the address asked once more.
REDIS_OPTIONS = {"retry": Retry(NoBackoff(), 1, (ReadOnlyError,)), "socket_timeout": 0.5, "socket_connect_timeout": 0.5}
_redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL, "OPTIONS": REDIS_OPTIONS}
_memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
CACHES = {"default": _memory if _in_memory else _redis}

# --- Celery: wakes the workers ----------------------------------------------------------------------------------------
CELERY_BROKER_URL, CELERY_BROKER_USE_SSL, _broker_options = env.broker(
    "CELERY_BROKER_URL",
    default="memory://localhost/" if _in_memory else re.sub("^unix:", "redis+socket:", REDIS_URL),  # Celery's name
)
# Celery reads the variable CELERY_BROKER_URL by itself, options and all; these two take precedence.
CELERY_BROKER_READ_URL = CELERY_BROKER_WRITE_URL = CELERY_BROKER_URL
for _name in ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
    os.environ.pop(_name, None)  # which Celery would prefer
# Celery's commands write these over CELERY_BROKER_URL before they load us: workers would listen at another broker.
for _name in ("BROKER_URL", "CELERY_BROKER"):
    if os.environ.get(_name):
        raise ImproperlyConfigured(
            f"Remove {_name} from the environment: Celery's commands take it in place of CELERY_BROKER_URL / "
            f"请从环境中删除 {_name}：Celery 的命令会用它取代 CELERY_BROKER_URL"
        )
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 1
CELERY_BROKER_CONNECTION_TIMEOUT = 0.5
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = _broker_options
if CELERY_BROKER_URL.startswith(("redis", "sentinel")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "max_retries": 0,  # when the web publishes; a worker's own connection retries without end
        "socket_timeout": 0.5,
        "socket_connect_timeout": 0.5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,  # look for them at each interval, not at every tenth as by default
        "unacked_mutex_expire": 15,
        **_broker_options,
    }
elif CELERY_BROKER_URL.startswith("memory"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.02}
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_CONSUMER = "worker.consumer:Consumer"
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 16
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BEAT_SCHEDULE = {"purge": {"task": "signup.tasks.purge", "schedule": 3_600, "options": {"expires": 3_600}}}
CELERY_BEAT_SCHEDULER = "worker.scheduler:Scheduler"

# --- Mail -------------------------------------------------------------------------------------------------------------
MAIL_ROUTES = env.mail_routes("EMAIL_URL", default="smtp://127.0.0.1:1025")
MAIL_ROUTES += env.mail_routes("EMAIL_FALLBACK_URL", default="")  # while the first can't be used
# Django's own functions, such as send_mail, use the first; before 6.1 they know no MAILERS, since 6.1 no other.
MAILERS = {"default": {"BACKEND": MAIL_ROUTES[0].backend, "OPTIONS": MAIL_ROUTES[0].options}}
if django.VERSION < (6, 1):
    EMAIL_BACKEND = MAIL_ROUTES[0].backend
MAIL_SERVICES = sorted({route.service for route in MAIL_ROUTES if route.service})  # those of django-anymail
EMAIL_WEBHOOK_SECRET = env.webhook_secret("EMAIL_WEBHOOK_SECRET")
ANYMAIL: dict[str, Any] = {"REQUESTS_TIMEOUT": mail_urls.API_TIMEOUT, "WEBHOOK_SECRET": EMAIL_WEBHOOK_SECRET}
for _route in reversed(MAIL_ROUTES):  # if both use the same service, EMAIL_URL's settings win
    ANYMAIL |= _route.anymail
MAIL_WEBHOOKS = [name for name in MAIL_SERVICES if mail_urls.can_report(name, ANYMAIL)]
INSTALLED_APPS += ["anymail"] if MAIL_SERVICES else []
EMAIL_MAX_CONNECTIONS = env.int("EMAIL_MAX_CONNECTIONS", default=16)  # in each worker process: one for each thread
SMTP_TIMEOUT = 10  # seconds a reply may take; the end of DATA may take longer
FROM_EMAILS = env.senders("DEFAULT_FROM_EMAIL", names=SITE_NAMES, host=_host)
DEFAULT_FROM_EMAIL = next(iter(FROM_EMAILS.values()))
SERVER_EMAIL = DEFAULT_FROM_EMAIL
DKIM_SELECTOR = env.str("DKIM_SELECTOR", default="")  # of the mail server's signing key, for the doctor
REPLY_TO_EMAILS = env.mail_addresses("EMAIL_REPLY_TO")
EMAIL_REPLY_TO = next(iter(REPLY_TO_EMAILS.values()), "")  # in languages that have none of their own
EMAIL_HELO = env.helo("EMAIL_HELO", host=_host)  # "" is smtplib's default

# --- Accounts ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "signup.User"
AUTHENTICATION_BACKENDS = ["signup.accounts.backends.EmailOrUsernameBackend"]
PASSWORD_HASHERS = ["core.passwords.Argon2idHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "core.passwords.LengthValidator"},
    {"NAME": "core.passwords.SimilarityValidator", "OPTIONS": {"user_attributes": ("username", "email")}},
    {"NAME": "core.passwords.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_RESET_TIMEOUT = 3_600  # seconds

# --- The JSON API -----------------------------------------------------------------------------------------------------
API_TOKEN_TTL = env.duration("API_TOKEN_TTL", default="30d")  # a token's lifetime, from sign-in
REST_KNOX = {"TOKEN_TTL": timedelta(seconds=API_TOKEN_TTL), "TOKEN_LIMIT_PER_USER": 10}
REST_FRAMEWORK = {  # of all calls in the project; signup.api.views.Call has what is ours alone
    "DEFAULT_AUTHENTICATION_CLASSES": ["signup.api.tokens.Authentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Doorcode",
    "DESCRIPTION": _("Register people by emailed code, and sign them in."),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_PATCH": False,  # no field of a PATCH is optional
    "SORT_OPERATIONS": False,  # in the order of a sign-up
    "ENFORCE_NON_BLANK_FIELDS": True,  # an empty field is refused like a missing one
    "POSTPROCESSING_HOOKS": [],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # it judges the calls of other apps too; a test judges ours
}
CORS_ALLOWED_ORIGINS = env.names("CORS_ALLOWED_ORIGINS")  # other origins whose pages may call the API
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key")
CORS_EXPOSE_HEADERS = ["Retry-After", "X-Request-ID"]

# --- Languages --------------------------------------------------------------------------------------------------------
# The first path that has a text wins: the site's own catalogues, then ours for visitors, then ours for operators.
_site_locale = [BRAND_DIR / "locale"] if BRAND_DIR and (BRAND_DIR / "locale").is_dir() else []
LOCALE_PATHS = [*_site_locale, _locale, _locale / "operators"]
OPERATOR_LANGUAGES = languages.with_catalogues(_locale / "operators")
_offered = env.offered_languages(
    "LANGUAGES",
    default=[code for code, info in _known.items() if not info["draft"]],
    known=languages.with_catalogues(*LOCALE_PATHS),
)
LANGUAGES = languages.in_order(_offered)
LANGUAGES_BIDI = [code for code in _offered if LANG_INFO[code]["bidi"]]
LANGUAGE_CODE = env.default_language("LANGUAGE_CODE", offered=_offered)
FORMAT_MODULE_PATH = "core.formats"  # dates of languages in which Django's own read wrongly
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_AGE = 31_536_000
TIME_ZONE = "UTC"

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BRAND_DIR / "static"] if BRAND_DIR and (BRAND_DIR / "static").is_dir() else []
# The demo serves the sources, even where some were collected.
_static_files = "django.contrib.staticfiles.storage" if DEMO else "core.storage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": f"{_static_files}.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True  # other files are served from their source folders
warnings.filterwarnings("ignore", "No directory at", UserWarning)  # nothing is collected in a checkout

# --- Headers and cookies; https follows from SITE_URL -----------------------------------------------------------------
_https = _site.scheme == "https"
CSRF_TRUSTED_ORIGINS = [f"{_site.scheme}://{netloc('SITE_URL', SITE_URL)}"]
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
# Browsers take a cookie of such a name from this host only: a neighbouring subdomain can't set or replace it.
COOKIE_PREFIX = "__Host-" if _https else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrftoken"
LANGUAGE_COOKIE_NAME = f"{COOKIE_PREFIX}django_language"
SIGNUP_COOKIE_NAME = f"{COOKIE_PREFIX}doorcode_signup"
DEVICE_COOKIE_NAME = f"{COOKIE_PREFIX}doorcode_device"
CSRF_FAILURE_VIEW = "signup.views.csrf_failure"
SECURE_SSL_REDIRECT = _https and not DEBUG
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 31_536_000 if _https and not DEBUG else 0
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # HSTS for neighbouring hosts is their owner's decision
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],  # of a site with a style sheet of its own
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        **({"frame-src": [SELF]} if DEMO else {}),
    }
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "core.observability.error_reports.ExceptionReporterFilter"

# --- Logs -------------------------------------------------------------------------------------------------------------
SENTRY_DSN = env.str("SENTRY_DSN", default="")  # core/observability/error_reports.py says what a report contains
LOG_FORMAT = env.log_format("LOG_FORMAT")
LOG_LEVEL = env.one_of("LOG_LEVEL", logging.getLevelNamesMapping(), default="INFO")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "core.observability.logs.formatter", "style": LOG_FORMAT}},
    "filters": {
        "suspicious": {"()": "core.observability.logs.SuspiciousOperationFilter"},
        "readiness": {"()": "core.observability.logs.ReadinessFilter"},
    },
    "handlers": {
        # The level also here: Django and Celery set those of their loggers.
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["suspicious"],
            "level": LOG_LEVEL,
        },
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # At DEBUG the first three log codes: in the parameters of queries, in the context of a mail's template, and in the
    # mail that Amazon SES is sent.
    "loggers": {
        "django.db.backends": {"level": "INFO"},
        "django.template": {"level": "INFO"},
        "botocore": {"level": "INFO"},
        # Without the two handlers that Django gives it: a mail to ADMINS about each error, with cookies and paths, and
        # with DEBUG each line once more, with the tokens of links.
        "django": {"handlers": []},
        "django.request": {"level": "ERROR", "filters": ["readiness"]},  # the response is in the line of the request
        "django.server": {"handlers": ["stderr"], "level": "ERROR"},  # so is all of runserver's, and links have tokens
        "gunicorn.http.wsgi": {"level": "ERROR"},  # it warns of each HEAD: Django leaves the body to the server
        "django_structlog.celery": {"level": "CRITICAL"},  # Celery logs each task, and the traceback of a failed one
    },
}

# At the end, as settings above depend on DEBUG: the demo shows a visitor's error pages, not Django's for developers.
DEBUG = DEBUG and not DEMO
