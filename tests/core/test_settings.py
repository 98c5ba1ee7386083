"""Settings from the environment: what they refuse, and what they make of it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import global_settings
from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection
from kombu.exceptions import OperationalError

from core import languages
from tests.attacks.conftest import DEFAULTS
from tests.servers import ENVIRONMENT, ROOT
from worker import sending, smtp

GOOD = {"SECRET_KEY": "a-key-that-only-tests-know-0123456789-abcdefghij", "SITE_URL": "https://accounts.example.com"}


def load(*names: str, **environment: str) -> list[Any]:
    """Some settings as they are in an environment, beside those of the tests; raises what ends a start."""
    spec = find_spec("core.settings")
    module = module_from_spec(spec)
    with patch.dict(os.environ, ENVIRONMENT | environment, clear=True):
        spec.loader.exec_module(module)
    return [getattr(module, name, getattr(global_settings, name, None)) for name in names]


def refusal(**environment: str) -> str:
    """The error with which a start with this environment ends."""
    with pytest.raises(ImproperlyConfigured) as refused:
        load(**environment)
    return str(refused.value)


@pytest.mark.parametrize("name", ["LIMIT_MAILS_SITE", "LIMIT_RESETS_SITE"])
def test_a_rate_of_the_site_below_a_minute_refuses_to_start(name: str) -> None:
    """Its mails are counted by the minute: of 20 a second, 10 would leave in each minute."""
    for rates in ("20/s", "2000/h,20/59s"):
        assert f"{name} must be rates over 60 seconds or more like" in refusal(**GOOD, **{name: rates})
    assert load(name, **GOOD, **{name: "20/m"}) == [[(20, 60)]]


WEAK_KEYS = [
    "x",
    "doorcode-development-key-never-for-production",
    "replace-me-3fJ8kPq2vXw9mTz5bNc7RdLh4YgUs6Ae1Ko0iQxVtWnZy",  # of docs/production.env
    "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz",
    "only-31-characters-0123456789ab",
    "1234" * 12,
]


@pytest.mark.parametrize("key", [None, "", *WEAK_KEYS])
def test_without_debug_a_missing_or_weak_key_refuses_to_start(key: str | None) -> None:
    """The error says what to do, in both languages."""
    given = {} if key is None else {"SECRET_KEY": key}
    said = refusal(**given)
    assert "Set SECRET_KEY to a long random value" in said
    assert "请将 SECRET_KEY 设为足够长的随机值" in said
    assert load("DEBUG", DEBUG="true", **given) == [True]


@pytest.mark.parametrize("key", ["0123456789abcdef" * 2, GOOD["SECRET_KEY"]])
def test_a_random_key_starts(key: str) -> None:
    """128 bits in hex are enough."""
    assert load("SECRET_KEY", **GOOD | {"SECRET_KEY": key}) == [key]


@pytest.mark.parametrize("fallbacks", [*WEAK_KEYS, f"{GOOD['SECRET_KEY']},x", '["x"]'])
def test_a_weak_former_key_refuses_to_start(fallbacks: str) -> None:
    """It forges as well as the present one. The sentence names the variable and not the key, in both languages."""
    said = refusal(**GOOD, SECRET_KEY_FALLBACKS=fallbacks)
    assert "SECRET_KEY_FALLBACKS holds a key that is shorter" in said
    assert "SECRET_KEY_FALLBACKS 中有密钥长度不足" in said
    assert load("DEBUG", DEBUG="true", SECRET_KEY_FALLBACKS=fallbacks) == [True]


def test_a_comma_in_a_former_key_splits_nothing_unseen() -> None:
    """As a plain list its pieces are refused, with the way out; as JSON it stays one key."""
    first, second = "an-old-key,with-a-comma-0123456789-abcdef", "another-old-key-0123456789-abcdefghij"
    assert 'write a JSON list: ["first,key", "second"]' in refusal(**GOOD, SECRET_KEY_FALLBACKS=first)
    for given in (json.dumps([first, second]), f" {json.dumps([first, second])}\n"):
        assert load("SECRET_KEY_FALLBACKS", **GOOD, SECRET_KEY_FALLBACKS=given) == [[first, second]]
    plain = f"{second}, {GOOD['SECRET_KEY']}"
    assert load("SECRET_KEY_FALLBACKS", **GOOD, SECRET_KEY_FALLBACKS=plain) == [[second, GOOD["SECRET_KEY"]]]


def test_a_malformed_site_url_refuses_to_start() -> None:
    """Links in mails would lead nowhere; below a path, the links of the pages too."""
    for url in ("accounts.example.com", "https://example.com/accounts"):
        assert "SITE_URL must be a URL like https://example.com" in refusal(**GOOD | {"SITE_URL": url})


def test_an_empty_variable_of_compose_is_like_an_unset_one() -> None:
    """Every optional variable."""
    names = (
        "SIGNUP_ALLOWED_DOMAINS",
        "DATABASE_URL",
        "LANGUAGE_CODE",
        "LOG_LEVEL",
        "SECRET_KEY_FALLBACKS",
        "CAPTCHA_TTL",
    )
    assert load("CAPTCHA_TTL", "LANGUAGE_CODE", **GOOD, **dict.fromkeys(names, "")) == [600, "en"]


def test_times_of_a_code_may_have_a_unit() -> None:
    """As all other times; a number alone is seconds."""
    times = {"CAPTCHA_TTL": "5m", "CAPTCHA_MAX_LIFETIME": "900", "RESEND_COOLDOWN": "30s"}
    assert load(*times, **GOOD, **times) == [300, 900, 30]


def test_https_follows_from_the_site_url() -> None:
    """Secure cookies, HSTS and the redirect come with https, and the host is allowed."""
    names = (
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_SSL_REDIRECT",
        "SECURE_HSTS_SECONDS",
        "ALLOWED_HOSTS",
    )
    assert load(*names, **GOOD) == [True, True, True, 31_536_000, ["accounts.example.com"]]
    plain = GOOD | {"SITE_URL": "http://127.0.0.1:9000"}
    assert load(*names, **plain) == [False, False, False, 0, ["127.0.0.1"]]


def test_cookies_have_the_prefix_of_their_host_with_https_alone() -> None:
    """Browsers refuse such a name from plain HTTP."""
    names = (
        "SESSION_COOKIE_NAME",
        "CSRF_COOKIE_NAME",
        "LANGUAGE_COOKIE_NAME",
        "SIGNUP_COOKIE_NAME",
        "DEVICE_COOKIE_NAME",
    )
    plain = ["sessionid", "csrftoken", "django_language", "doorcode_signup", "doorcode_device"]
    assert load(*names, **GOOD) == [f"__Host-{name}" for name in plain]
    assert load(*names, **GOOD | {"SITE_URL": "http://127.0.0.1:9000"}) == plain


def test_demo_parts_need_debug() -> None:
    """DEMO alone does nothing."""
    assert load("DEMO", **GOOD, DEMO="true") == [False]
    assert load("DEMO", DEBUG="true", DEMO="true") == [True]


def test_the_demo_shows_no_error_details() -> None:
    """It shows our own error pages, as production does; development without it keeps Django's."""
    assert load("DEBUG", DEBUG="true", DEMO="true") == [False]
    assert load("DEBUG", DEBUG="true") == [True]


def test_the_demo_refuses_to_load_without_debug() -> None:
    """Its import alone is refused."""
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD}
    code = "import django; django.setup(); import signup.demo.system"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert "The demo only runs with DEBUG=true and DEMO=true" in done.stderr


@pytest.mark.parametrize(
    ("url", "tls", "ssl", "port"),
    [
        ("smtp://user:p%40ss@mail.example.com:2525", False, False, 2525),
        ("smtp+tls://user:p%40ss@mail.example.com:587", True, False, 587),
        ("smtp+ssl://user:p%40ss@mail.example.com:465", False, True, 465),
    ],
)
def test_mail_comes_from_one_url(url: str, tls: bool, ssl: bool, port: int) -> None:
    """Host, port, encryption and a password with escapes."""
    [mailers] = load("MAILERS", **GOOD, EMAIL_URL=url)
    server = {"host": "mail.example.com", "port": port, "username": "user", "password": "p@ss"}
    assert mailers["default"]["OPTIONS"] == server | {"use_tls": tls, "use_ssl": ssl}


@pytest.mark.parametrize(("url", "port"), [("smtp://h", 25), ("smtp+tls://h", 587), ("smtp+ssl://h", 465)])
def test_each_way_of_mail_has_its_port(url: str, port: int) -> None:
    """As RFC 8314 has them."""
    [mailers] = load("MAILERS", **GOOD, EMAIL_URL=url)
    assert mailers["default"]["OPTIONS"]["port"] == port


def test_options_of_the_database_url_are_kept() -> None:
    """TLS to the database above all."""
    url = "postgres://u:p@db.example.com/d?sslmode=verify-full&sslrootcert=/etc/own.pem"
    options = load("DATABASES", **GOOD, DATABASE_URL=url)[0]["default"]["OPTIONS"]
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "/etc/own.pem")
    assert options["pool"]["timeout"] == 5


@pytest.mark.parametrize("query", ["", "?options=%20", "?options=-c%20search_path%3Dapp%20"])
def test_postgresqls_options_end_without_a_space(query: str) -> None:
    """PgBouncer 1.20 and newer look inside, even where they ignore them, and refuse a connection with one."""
    options = load("DATABASES", **GOOD, DATABASE_URL=f"postgres://u:p@db.example.com/d{query}")[0]["default"]["OPTIONS"]
    assert options["options"] == options["options"].strip()


@pytest.mark.parametrize("traditional", ["zh-hant", "zh_TW", "zh_Hant_TW"])
def test_names_by_language_are_those_of_its_pages(traditional: str) -> None:
    """Browsers' and phones' codes too, as zh-CN, and a language that only this project knows."""
    known = languages.read(ROOT / "locale/languages.toml") | {
        "yue": {"name_local": "粵語", "bidi": False, "draft": True}
    }
    texts = {"en": "School", "zh-CN": "学校", traditional: "學校", "yue": "書院"}
    with patch.dict(LANG_INFO), patch("core.languages.read", lambda path: known):
        (names,) = load("SITE_NAMES", **GOOD, SITE_NAME=json.dumps(texts))
    assert names == {"en": "School", "zh-hans": "学校", "zh-hant": "學校", "yue": "書院"}


def test_the_sender_has_a_proper_name_and_domain() -> None:
    """Commas are quoted."""
    given = GOOD | {"SITE_NAME": "Acme, Inc.", "SITE_URL": "https://bücher.example"}
    assert load("DEFAULT_FROM_EMAIL", **given) == ['"Acme, Inc." <noreply@xn--bcher-kva.example>']


@pytest.mark.parametrize(
    "sender", ["nobody", "Shop <a@>", "Smith, Sons <a@b.cn>", "Shop <a b@b.cn>", "张 <张@b.cn>", "a@b.cn, c@d.cn"]
)
def test_a_sender_without_an_address_refuses_to_start(sender: str) -> None:
    """The error shows what to write."""
    for name in ("DEFAULT_FROM_EMAIL", "EMAIL_REPLY_TO"):
        assert f"{name} must hold one ASCII address" in refusal(**GOOD, **{name: sender})


@pytest.mark.parametrize(
    ("given", "hosts", "origin"),
    [
        ({}, ["accounts.example.com"], "https://accounts.example.com"),
        ({"SITE_URL": "https://例子.中国:8443"}, ["xn--fsqu00a.xn--fiqs8s"], "https://xn--fsqu00a.xn--fiqs8s:8443"),
        ({"SITE_URL": "https://Straße.example"}, ["xn--strae-oqa.example"], "https://xn--strae-oqa.example"),
        ({"SITE_URL": "http://[2001:db8::1]:8000"}, ["[2001:db8::1]"], "http://[2001:db8::1]:8000"),
        ({"ALLOWED_HOSTS": ".例子.中国,*"}, [".xn--fsqu00a.xn--fiqs8s", "*"], "https://accounts.example.com"),
    ],
)
def test_a_site_of_any_name_knows_itself_as_browsers_write_it(
    given: dict[str, str], hosts: list[str], origin: str
) -> None:
    """In the headers Host and Origin a name of another script is in ASCII, and an IPv6 address in brackets."""
    found = load("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", **(GOOD | given))
    assert found == [hosts, [origin]]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "accounts.example.com"),
        ({"SITE_URL": "https://例子.中国:8443"}, "xn--fsqu00a.xn--fiqs8s"),
        ({"SITE_URL": "http://127.0.0.1:8000"}, ""),
        ({"SITE_URL": "http://[2001:db8::1]"}, ""),
        ({"SITE_URL": "http://localhost:8000"}, ""),
        ({"EMAIL_HELO": "mail.example.com"}, "mail.example.com"),
        ({"EMAIL_HELO": "例子.中国"}, "xn--fsqu00a.xn--fiqs8s"),
        ({"EMAIL_HELO": "[IPv6:2001:db8::1]"}, "[IPv6:2001:db8::1]"),
    ],
)
def test_the_mail_server_is_greeted_by_the_sites_host(given: dict[str, str], name: str) -> None:
    """In ASCII, as the DNS has it. An address, or a name without a dot, is left to smtplib."""
    assert load("EMAIL_HELO", **(GOOD | given)) == [name]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("en-us", "en"),
        ("zh-cn", "zh-hans"),
        ("zh_TW", "zh-hant"),
        ("zh_Hant_TW", "zh-hant"),
        ("de-AT", "de"),
        ("ja", "ja"),
    ],
)
def test_the_sites_language_may_have_another_of_its_names(typed: str, code: str) -> None:
    """Django's own default is en-us."""
    assert load("LANGUAGE_CODE", **GOOD, LANGUAGE_CODE=typed) == [code]


@pytest.mark.parametrize(
    "url", ["sqlite:///data/a.sqlite3", "SQLITE:////data/a.sqlite3", "sqlite://:memory:", "sqlite://"]
)
def test_sqlite_takes_the_file_that_its_url_names(url: str) -> None:
    """Three slashes begin a relative path, four an absolute one."""
    name = str(load("DATABASES", **GOOD, DATABASE_URL=url)[0]["default"]["NAME"])
    assert name == (url.partition(":///")[2] or ":memory:")


def test_a_checkout_may_be_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """The database's default is in it, whatever an URL would take its name for."""
    folder = tmp_path / "c++ 100%25 #1?"
    shutil.copytree(ROOT / "core", folder / "core")
    (folder / "locale").symlink_to(ROOT / "locale")
    code = "from django.conf import settings; print(settings.DATABASES['default']['NAME'], end='')"
    environment = {**ENVIRONMENT, "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "core.settings"}
    command = [sys.executable, "-c", code]
    given = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert given.stdout == str(folder / "doorcode.sqlite3")


def test_a_language_named_twice_is_offered_once() -> None:
    """Whatever the case of its letters, and by another name of it, as browsers have it."""
    [languages] = load("LANGUAGES", **GOOD, LANGUAGES="de,en,zh-CN,en-US,DE,zh-hans")
    assert [code for code, _ in languages] == ["de", "en", "zh-hans"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAPTCHA_LENGTH", "x"),
        ("LANGUAGE_CODE", "tlh"),
        ("LANGUAGES", "en,eo"),
        ("SITE_NAME", '{"en": 1}'),
        ("SITE_NAME", '{"tlh": "x"}'),
        ("BRAND_COLOR", "red"),
        ("DATABASE_URL", "mysql://u:p@db.example.com/d"),
        ("SITE_URL", "https://❤.example"),
        ("PURGE_USERS_AFTER", "1w"),
        ("DEFAULT_FROM_EMAIL", "Shop\nBcc: eve@evil.example <a@example.com>"),
        ("EMAIL_REPLY_TO", "Shop\nBcc: eve@evil.example <a@example.com>"),
        ("EMAIL_HELO", "accounts.example.com\nMAIL FROM:<a@example.com>"),
        ("EMAIL_HELO", "https://accounts.example.com"),
        ("SITE_URL", "https://accounts.example.com:https"),
        ("SITE_URL", "https://[2001:db8::1"),
        ("SITE_URL", "https://user@accounts.example.com"),
        ("SITE_URL", "https://accounts.example.com/?from=mail"),
        ("SITE_URL", "https://accounts example.com"),
        ("SITE_NAME", '{"en": " "}'),
        ("ALLOWED_HOSTS", "https://accounts.example.com"),
        ("ALLOWED_HOSTS", "accounts.example.com:8000"),
        ("BRAND_DIR", "/nowhere"),
        ("LOG_LEVEL", "verbose"),
        ("SIGNUP_OPEN", "flase"),
        ("CAPTCHA_MAX_LIFETIME", "99999999999"),
        ("DATABASE_URL", "postgres://u:p@db.example.com:port/d"),
        ("DATABASE_URL", "sqlite://doorcode.sqlite3"),
        ("DATABASE_URL", "sqlite://data/doorcode.sqlite3"),
        ("DATABASE_URL", "sqlite:/doorcode.sqlite3"),
        ("DATABASE_URL", "postgres://u:p@db.example.com"),
        ("DATABASE_URL", "postgres://u:p@db.example.com/d?pool_min_size=300"),
        ("DATABASE_URL", "postgres://u:p@db.example.com/d?pool_max_size=0"),
        ("REDIS_URL", "junk"),
        ("REDIS_URL", "http://r.example.com"),
        ("REDIS_URL", "redis://:a#b@r.example.com"),
        ("REDIS_URL", "redis://r.example.com/doorcode"),
        ("REDIS_URL", "rediss://r.example.com/0?ssl_ca_cert=/etc/ca.pem"),
        ("REDIS_URL", "rediss://r.example.com/0?ssl_cert_reqs=bogus"),
        ("REDIS_URL", "redis://r.example.com/0?nonsense=1"),
        ("REDIS_URL", "redis://r.example.com/0?protocol=9"),
        ("REDIS_URL", "redis://r.example.com/0?retry=3"),
        ("REDIS_URL", "redis://r.example.com/0?retry_on_error=abc"),
        ("REDIS_URL", "redis://r.example.com/0?cache_config=x"),
        ("LIMIT_LOGIN_NETWORK", "60/m,30/60s"),
        ("CELERY_BROKER_URL", "junk"),
        ("CELERY_BROKER_URL", "http://mq.example.com"),
        ("CELERY_BROKER_URL", "sqs://mq.example.com"),
        ("CELERY_BROKER_URL", "kafka://mq.example.com"),
        ("CELERY_BROKER_URL", "amqp://mq.example.com:port"),
        ("CELERY_BROKER_URL", "redis://r.example.com/0?db=3"),
        # A password that is not percent-encoded: what is before its /, ? or # would be taken for the server.
        ("DATABASE_URL", "postgres://u:1/a@db.example.com/d"),
        ("DATABASE_URL", "postgres://u:a@b/c@db.example.com/d"),
        ("DATABASE_URL", "postgres://u:12/34?5@db.example.com/d"),
        ("DATABASE_URL", "postgres://u:1/2#3@db.example.com/d"),
        ("REDIS_URL", "redis://u:1#a@r.example.com"),
        ("REDIS_URL", "redis://u:1?db=a@r.example.com"),
        ("REDIS_URL", "redis://u:a@b#c@r.example.com"),
        ("CELERY_BROKER_URL", "amqp://u:1/a@mq.example.com"),
        ("CELERY_BROKER_URL", "redis://u:a@r1.example.com;redis://u:1#a@r2.example.com"),
        ("EMAIL_URL", "anymail+ses://AKIA:1/a@eu-west-1"),
        # A warning of django-environ, which is an error here, would have the password.
        ("DATABASE_URL", "//u:p@db.example.com/d"),
        ("DATABASE_URL", "postgresql+psycopg://u:p@db.example.com"),
        ("DATABASE_URL", "my_user:p@db.example.com/d"),
        # A space, as of a copied line.
        ("DATABASE_URL", "postgres://u:p@db.example.com :5432/d"),
        ("DATABASE_URL", "postgres://u:p@one.example.com, two.example.com/d"),
        ("REDIS_URL", "redis://u:p@ r.example.com"),
        ("CELERY_BROKER_URL", "amqp://u:p@mq. example.com//"),
        ("EMAIL_URL", "smtp://u:p@mail.example.com :25"),
    ],
)
def test_impossible_settings_refuse_to_start(name: str, value: str) -> None:
    """By the name of the variable."""
    assert name in refusal(**GOOD | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAPTCHA_LENGTH", "3"),
        ("EMAIL_MAX_CONNECTIONS", "0"),
        ("DATABASE_URL", "junk"),
        ("SENTRY_DSN", "https://sentry.example.com"),
        ("LANGUAGES", "en,eo"),
    ],
)
def test_whatever_sets_django_up_refuses_to_start(name: str, value: str) -> None:
    """Web and worker alike; also what is refused later than the settings are read."""
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD, name: value}
    done = subprocess.run([sys.executable, "-c", "import core.wsgi"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert name in done.stderr


def test_a_start_does_not_depend_on_the_encoding_of_the_locale() -> None:
    """It is GB18030 on some Chinese machines, where a file in UTF-8 could not be read; here it is ASCII."""
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-X", "utf8=0", "-c", "import core.wsgi"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_may_run_the_application_by_its_file() -> None:
    """As WSGIScriptAlias of mod_wsgi does: no package has it then."""
    env = {**ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "core.settings", **GOOD}
    command = [sys.executable, "-c", "import runpy; assert runpy.run_path('core/wsgi.py')['application']"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_other_variable_leads_to_another_broker() -> None:
    """Celery would take the address for reading and writing from variables of its own first."""
    other = "redis://other.example.com:6379/0"
    env = {**ENVIRONMENT, **GOOD, "CELERY_BROKER_READ_URL": other, "CELERY_BROKER_WRITE_URL": other}
    env |= {"DJANGO_SETTINGS_MODULE": "core.settings"}
    show = "import django; django.setup(); from worker import celery_app as app;"
    show += "print(app.connection_for_read().as_uri(), app.connection_for_write().as_uri())"
    done = subprocess.run([sys.executable, "-c", show], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0
    assert "other.example.com" not in done.stdout


@pytest.mark.parametrize("name", ["BROKER_URL", "CELERY_BROKER"])
def test_a_variable_by_which_celery_replaces_the_broker_refuses_to_start(name: str) -> None:
    """Its commands do so before they load our settings: the web would notify a broker that no worker listens at."""
    assert f"Remove {name} from the environment" in refusal(**GOOD, **{name: "redis://other.example.com:6379/0"})
    env = {**ENVIRONMENT, **GOOD, name: "redis://127.0.0.1:9/0", "REDIS_URL": "redis://127.0.0.1:9/1"}
    command = [sys.executable, "-m", "celery", "-A", "worker", "report"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"Remove {name} from the environment" in done.stderr


def test_an_option_of_redis_that_the_broker_lacks_refuses_to_start() -> None:
    """Else the web takes sign-ups, and each worker dies as it starts."""
    assert "CELERY_BROKER_URL" in refusal(**GOOD, REDIS_URL="redis://r.example.com/0?health_check_interval=30")


def test_a_redis_behind_a_unix_socket_is_the_broker_too() -> None:
    """By the name that Celery has for it."""
    assert load("CELERY_BROKER_URL", **GOOD, REDIS_URL="unix:///run/redis.sock") == ["redis+socket:///run/redis.sock"]


@pytest.mark.parametrize("url", ["postgres://u@%2Frun%2Fpostgresql/d", "postgres://u@/d?host=/run/postgresql"])
def test_postgresql_behind_a_unix_socket(url: str) -> None:
    """By both ways in which libpq takes its folder."""
    [database] = load("DATABASES", **GOOD, DATABASE_URL=url)
    assert (database["default"]["HOST"] or database["default"]["OPTIONS"]["host"]) == "/run/postgresql"


def test_sentinels_name_their_master() -> None:
    """In the URL's query."""
    url = "sentinel://one:26379;sentinel://two:26379?master_name=main"
    broker, options = load("CELERY_BROKER_URL", "CELERY_BROKER_TRANSPORT_OPTIONS", **GOOD, CELERY_BROKER_URL=url)
    assert (broker, options["master_name"]) == ("sentinel://one:26379;sentinel://two:26379", "main")


@pytest.mark.parametrize("tls", ["", "?ssl_cert_reqs=required"])
def test_a_frozen_sentinel_holds_a_visitor_up_for_half_a_second(tls: str) -> None:
    """redis-py would ask it again and again."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"sentinel://127.0.0.1:{frozen.getsockname()[1]}{tls}"
        names = ("CELERY_BROKER_URL", "CELERY_BROKER_USE_SSL", "CELERY_BROKER_TRANSPORT_OPTIONS")
        broker, ssl, options = load(*names, **GOOD, CELERY_BROKER_URL=url)
        begun = time.monotonic()
        with Connection(broker, ssl=ssl, transport_options=options) as connection, pytest.raises(OperationalError):
            connection.default_channel.close()
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("url", "broker", "tls"),
    [
        ("redis://r.example.com/0", "redis://r.example.com/0", None),
        ("rediss://r.example.com/0", "rediss://r.example.com/0", {"ssl_cert_reqs": 2}),
        ("amqps://mq.example.com", "amqps://mq.example.com", {"cert_reqs": 2, "server_hostname": None}),
        (
            "amqps://mq.example.com?ssl_ca_certs=/ca.pem",
            "amqps://mq.example.com",
            {"cert_reqs": 2, "server_hostname": None, "ca_certs": "/ca.pem"},
        ),
        ("sentinel://s:1?master_name=m", "sentinel://s:1", None),
        (
            "sentinel://s:1?master_name=m&ssl_ca_certs=/ca.pem",
            "sentinel://s:1",
            {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"},
        ),
    ],
)
def test_a_broker_over_tls_must_prove_its_name(url: str, broker: str, tls: dict | None) -> None:
    """Whatever Celery's default is for a scheme. And Celery connects to what we made of the URL, not to the variable."""
    shown = load("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", **GOOD, CELERY_BROKER_URL=url)
    assert shown == [broker, broker]
    assert load("CELERY_BROKER_USE_SSL", **GOOD, CELERY_BROKER_URL=url) == [tls or False]


def test_the_broker_may_be_another() -> None:
    """Redis options stay with Redis."""
    shown = load(
        "CELERY_BROKER_URL", "CELERY_BROKER_TRANSPORT_OPTIONS", **GOOD, CELERY_BROKER_URL="amqp://mq.example.com"
    )
    assert shown == ["amqp://mq.example.com", {}]


def test_log_format_is_one_of_two() -> None:
    """Any other is refused at the start."""
    assert [load("LOG_FORMAT", **GOOD, LOG_FORMAT=value) for value in ("json", "text")] == [["json"], ["text"]]
    assert "LOG_FORMAT" in refusal(**GOOD, LOG_FORMAT="xml")


def test_the_broker_repeats_no_message_while_its_mails_are_sent() -> None:
    """It would after its visibility time-out; a batch begins its last send long before."""
    [options] = load("CELERY_BROKER_TRANSPORT_OPTIONS", **GOOD, REDIS_URL="redis://redis.example.com/0")
    assert options["visibility_timeout"] > sending.HOLD + smtp.DEADLINE


def test_the_attacks_are_played_against_the_default_limits() -> None:
    """Tests of attacks set each limit by hand, as those of the suite are off."""
    assert dict(zip(DEFAULTS, load(*DEFAULTS, **GOOD), strict=True)) == DEFAULTS


def test_a_folder_that_cant_be_read_is_refused_by_its_name(monkeypatch, tmp_path: Path) -> None:
    """As one that does not exist; root, as whom tests may run, can read any."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert f"BRAND_DIR is no folder that can be read: {tmp_path}" in refusal(**GOOD, BRAND_DIR=str(tmp_path))
