"""Reading the environment: django-environ, with times, rates, tiers and services; errors name the variable."""

import json
import os
import re
from collections.abc import Collection, Mapping
from email.headerregistry import Address
from email.utils import getaddresses
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import idna
from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured

from . import languages, mail_urls, server_urls
from .server_urls import refusal

SECRETS = ["SECRET_KEY", "SECRET_KEY_FALLBACKS", "METRICS_TOKEN", "SENTRY_DSN", "EMAIL_WEBHOOK_SECRET"]
# These have a password in them.
SECRETS += ["DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "EMAIL_URL", "EMAIL_FALLBACK_URL"]
KEY_LENGTH = 32  # characters: 128 bits in hex
WEBHOOK_PASSWORD = 16  # characters: 96 bits in base64
KEY_CHARACTERS = 5  # different ones, as Django's security.W009 requires
LARGEST = 2**31 - 1  # of any number; as seconds it is 68 years, which dates can hold
LONGEST_ENTRY = 100  # characters of a time, a rate or a tier; Python refuses numbers of thousands of digits
FALSE = ("false", "off", "n", "no", "0")
KNOWN_KEYS = ("doorcode-development-key", "replace-me", "django-insecure-")  # published keys begin like this

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+) ?([smhd]?)")
_RATE = re.compile(r"([1-9]\d*)/(\d*[1-9]\d*)?([smhd])")
_TIER = re.compile(r"(0*[1-9]\d*):(link|0*(?:[4-9]|10))")


class Env(environ.Env):  # type: ignore[misc]
    """
    Raises ImproperlyConfigured, with the variable's name, for a value that can't be read.

    An empty variable is like an unset one, so that a compose file may pass on all; only for limits it means "off".
    Spaces around a value are removed. A `$` at its beginning is taken literally, because a random key may begin so; it
    is no reference to another variable. Each of SECRETS may be in a file instead, whose path is in `<name>_FILE`.
    """

    def __init__(self) -> None:
        super().__init__()
        given = {**os.environ, **_secrets_in_files()}
        self.ENVIRON = {name: value.strip().replace("$", r"\$") for name, value in given.items() if value.strip()}
        self.escape_proxy = True

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            self.ENVIRON.get(var, "").encode()  # fails for bytes that are no UTF-8, as of a file in GBK
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} can't be read / 无法读取 {var}：{error}") from error

    @classmethod
    def parse_value(cls, value: Any, cast: Any) -> Any:
        """As django-environ does, but a mistyped boolean is not false, and a number can be computed with."""
        if cast is bool and value.lower() not in (*cls.BOOLEAN_TRUE_STRINGS, *FALSE):
            raise ValueError(f"{value!r}: true / false")
        parsed = super().parse_value(value, cast)
        if cast is int and abs(parsed) > LARGEST:
            raise ValueError(f"{parsed} > {LARGEST}")
        return parsed

    def names(self, var: str) -> list[str]:
        """Return the entries of a list, trimmed, without empty ones."""
        return _entries(self.str(var, default=""))

    def duration(self, var: str, default: str) -> int:
        """Return the seconds of "90", "90s", "15m", "24h" or "7d"."""
        text = self.str(var, default=default)
        [(number, unit)] = _parse(var, [text], _DURATION, "a time", "90s", "15m", "24h", "7d")
        return _bounded(var, int(number) * _UNITS[unit])

    def rates(self, var: str, default: str, *, least: int = 1) -> list[tuple[int, int]]:
        """
        Return the (count, seconds) of "30/m,200/h"; none, which is no limit, for an empty variable. Raises
        ImproperlyConfigured if a time is shorter than `least` seconds.
        """
        entries = _parse(var, _entries(os.environ.get(var, default)), _RATE, "rates", "30/m,200/h")
        rates = [
            (_bounded(var, int(count)), _bounded(var, int(number or 1) * _UNITS[unit]))
            for count, number, unit in entries
        ]
        if len({seconds for _, seconds in rates}) < len(rates):
            raise refusal(var, "rates over different times", "30/m,200/h")
        if any(seconds < least for _, seconds in rates):
            raise refusal(var, f"rates over {least} seconds or more", "30/m,200/h")
        return rates

    def tiers(self, var: str, default: str) -> list[tuple[int, int | None]]:
        """Return the (guesses, digits) of "9:8,100:link", digits None for "link"; none for an empty variable."""
        tiers = _parse(var, _entries(os.environ.get(var, default)), _TIER, "tiers", "9:8,100:link")
        return [(_bounded(var, int(guesses)), None if digits == "link" else int(digits)) for guesses, digits in tiers]

    def secret_key(self, var: str, *, debug: bool) -> str:
        """Return a key that can't be guessed. With `debug` any key will do, and one for development is the default."""
        key: str = self.str(var, default=f"{KNOWN_KEYS[0]}-never-for-production" if debug else "")
        if is_weak_key(key) and not debug:
            raise ImproperlyConfigured(
                "SECRET_KEY is missing, shorter than 32 characters, made of few different characters, or a known "
                "example. Set SECRET_KEY to a long random value, for example from `python3 -c 'import secrets; "
                "print(secrets.token_urlsafe(50))'`, or set DEBUG=true on your own machine. / "
                "缺少 SECRET_KEY，或其长度不足 32 个字符、字符种类过少、是众所周知的示例。"
                "请将 SECRET_KEY 设为足够长的随机值；仅在本机开发时可设置 DEBUG=true。"
            )
        return key

    def former_keys(self, var: str, *, debug: bool) -> list[str]:
        """Return the keys of a list. One that has a comma in it needs a JSON list: `["a,b", "c"]`."""
        text = self.str(var, default="")
        try:
            keys: list[Any] = json.loads(text) if text.startswith("[") else self.names(var)
        except ValueError:
            keys = [None]
        if not all(isinstance(key, str) for key in keys):
            raise refusal(var, "a list", '["first key", "second key"]')
        if any(map(is_weak_key, keys)) and not debug:
            raise ImproperlyConfigured(
                "SECRET_KEY_FALLBACKS holds a key that is shorter than 32 characters, made of few different "
                "characters, or a known example: whoever guesses it can forge codes and sessions. Leave it out. "
                'Commas separate keys; if a key has one in it, write a JSON list: ["first,key", "second"]. / '
                "SECRET_KEY_FALLBACKS 中有密钥长度不足 32 个字符、字符种类过少，或是众所周知的示例：猜中它的人可以伪造"
                '验证码和会话。请将其删除。密钥以逗号分隔；若密钥含有逗号，请写成 JSON 列表：["first,key", "second"]。'
            )
        return keys

    def one_of(self, var: str, choices: Collection[str], default: str) -> str:
        """Return one of the choices, in whatever case it is written."""
        value: str = self.str(var, default=default)
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        names = ", ".join(choices)
        raise ImproperlyConfigured(f"{var} must be one of {names} / {var} 只能是以下之一：{names}")

    def log_format(self, var: str) -> str:
        """Return the style of log lines, "json" or "text"; gunicorn's master, which has no settings, reads it too."""
        debug = self.bool("DEBUG", default=False)
        return self.one_of(var, ["json", "text"], default="text" if debug else "json")

    def site_url(self, var: str, default: str) -> str:
        """Return the URL of a site, without a slash at its end; its host may be of any script."""
        url: str = self.str(var, default=default).rstrip("/")
        # Without a path: pages and redirects are those of a whole host. urlsplit reads the port and an IPv6 address.
        if not server_urls.split(url) or not re.fullmatch(
            r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?", url, re.IGNORECASE
        ):
            raise refusal(var, "a URL", "https://example.com")
        return url

    def hosts(self, var: str) -> list[str]:
        """Return host names as ALLOWED_HOSTS has them, in ASCII."""
        hosts = [in_ascii(var, host) for host in self.names(var)]
        if not all(re.fullmatch(r"\*|\.?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", host) for host in hosts):
            raise refusal(var, "host names, without https:// and port,", "accounts.example.com")
        return hosts

    def folder(self, var: str) -> Path | None:
        """Return a folder that can be read; None for an empty variable."""
        if not (name := self.str(var, default="")):
            return None
        if not (os.path.isdir(name) and os.access(name, os.R_OK | os.X_OK)):  # Path.is_dir may raise PermissionError
            raise ImproperlyConfigured(f"{var} is no folder that can be read: {name} / {var} 不是可读的文件夹：{name}")
        return Path(name)

    def redis(self, var: str, default: str) -> str:
        """Return the URL of a Redis, or one that begins with "memory:"."""
        return server_urls.redis(var, self.str(var, default=default))

    def database(self, var: str, default: str, *, sqlite: dict[str, Any], postgresql: dict[str, Any]) -> dict[str, Any]:
        """Return Django's settings for a database, with the OPTIONS of its engine."""
        return server_urls.database(var, self.str(var, default=default), sqlite=sqlite, postgresql=postgresql)

    def broker(self, var: str, default: str) -> tuple[str, dict[str, Any] | bool, dict[str, Any]]:
        """Return the broker's URL for Celery, its TLS options (False for none), and options of the transport."""
        return server_urls.broker(var, self.str(var, default=default))

    def mail_routes(self, var: str, default: str) -> list[mail_urls.Route]:
        """Return the way by which mails leave; none for an empty variable."""
        url: str = self.str(var, default=default)
        return [mail_urls.read(var, url)] if url else []

    def webhook_secret(self, var: str) -> str:
        """Return the `user:password` by which mail services sign in at a webhook; empty for none."""
        secret: str = self.str(var, default="")
        user, _colon, password = secret.partition(":")
        if secret and not (user and len(password) >= WEBHOOK_PASSWORD):
            raise refusal(var, f"user:password with at least {WEBHOOK_PASSWORD} characters of password", "mail:Qm7…")
        return secret

    def color(self, var: str, default: str) -> str:
        """Return a colour like #1d5fd1, in lower case."""
        color: str = self.str(var, default=default).lower()
        if color and not re.fullmatch(r"#[0-9a-f]{6}", color):
            raise refusal(var, "a colour", "#1d5fd1")
        return color

    def offered_languages(self, var: str, *, default: list[str], known: Collection[str]) -> list[str]:
        """Return the codes of languages, all of them `known`."""
        codes = list(dict.fromkeys(map(languages.known, self.names(var)))) or default
        if unknown := [code for code in codes if code not in known]:
            raise ImproperlyConfigured(
                f"{var} has no catalogue for {', '.join(unknown)} / {var} 中的语言没有翻译：{'、'.join(unknown)}"
            )
        return codes

    def default_language(self, var: str, *, offered: list[str]) -> str:
        """Return one of the offered languages: zh-hans for zh-cn, and en for Django's own default, en-us."""
        wanted = self.str(var, default="en" if "en" in offered else offered[0])
        if code := languages.nearest(wanted, offered):
            return code
        raise ImproperlyConfigured(
            f"{var} must be one of {', '.join(offered)} / {var} 只能是 {'、'.join(offered)} 之一"
        )

    def by_language(self, var: str, default: str) -> dict[str, str]:
        """Return the texts of `{"en": "School", "zh-hans": "学校"}` by language; of a plain text by "", for all."""
        text = self.str(var, default=default)
        try:
            texts: Any = json.loads(text) if text.startswith("{") else {"": text}
        except ValueError:
            texts = None
        given = list(texts.values()) if isinstance(texts, dict) else []
        if not (given and all(isinstance(each, str) and each.strip() for each in given)):
            raise refusal(var, "a text, or a JSON object of texts by language,", '{"en": "School", "zh-hans": "学校"}')
        by_code: dict[str, str] = {languages.known(code): each for code, each in texts.items()}
        if unknown := [code for code in by_code if code and code not in LANG_INFO]:
            names = ", ".join(unknown)
            raise ImproperlyConfigured(f"{var} names no language: {names} / {var} 中没有这种语言：{names}")
        return by_code

    def senders(self, var: str, *, names: Mapping[str, str], host: str) -> dict[str, str]:
        """
        Return the senders of mails by language, as `by_language` does: ASCII addresses with or without a name. By
        default `noreply@` the host, with the site's `names`.
        """
        domain = "localhost" if ":" in host else host
        defaults = {
            code: str(Address(display_name=" ".join(name.split()), username="noreply", domain=domain))
            for code, name in names.items()
        }
        return self.mail_addresses(var) or defaults

    def mail_addresses(self, var: str) -> dict[str, str]:
        """Return ASCII addresses with or without a name, as `by_language` does; none for an empty variable."""
        addresses = self.by_language(var, default="") if self.str(var, default="") else {}
        for address in addresses.values():
            mailboxes = [mailbox for _name, mailbox in getaddresses([address])]
            if len(mailboxes) != 1 or not re.fullmatch(r"[!-;=?A-~]+@[A-Za-z0-9.:\[\]-]+", mailboxes[0]):
                raise ImproperlyConfigured(
                    f"{var} must hold one ASCII address, like name@example.com or Name <name@example.com>; "
                    f"put a name with a comma in double quotes / {var} 须包含一个 ASCII 邮箱地址，"
                    "例如 name@example.com 或 名称 <name@example.com>；名称中有逗号时须加英文双引号"
                )
        return addresses

    def helo(self, var: str, *, host: str) -> str:
        """
        Return the name that EHLO says (RFC 5321 §4.1.4): by default the host, in ASCII. "" for a host that is an
        address or has no dot: smtplib knows a better name of this machine.
        """
        if not (name := self.str(var, default="")):
            is_name = "." in host and ":" not in host and not re.fullmatch(r"[\d.]+", host)
            return host if is_name else ""
        name = in_ascii(var, name)
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[A-Za-z0-9.:]+\]", name):
            raise refusal(var, "a host name", "accounts.example.com", "[192.0.2.1]")
        return name


def is_weak_key(key: str) -> bool:
    """Whether a key can be guessed: it is short, has few different characters, or is published in documentation."""
    return len(key) < KEY_LENGTH or len(set(key)) < KEY_CHARACTERS or key.startswith(KNOWN_KEYS)


def in_ascii(var: str, host: str) -> str:
    """A host name in a variable, as the DNS and the Host header have it: 例子.中国 is xn--fsqu00a.xn--fiqs8s."""
    name = host.lstrip(".")  # Django's ALLOWED_HOSTS has .example.com for all hosts below
    try:
        return host if host.isascii() else "." * (len(host) - len(name)) + idna.encode(name, uts46=True).decode()
    except idna.IDNAError as error:
        raise ImproperlyConfigured(f"{var} can't be read / 无法读取 {var}：{error}") from error


def netloc(var: str, url: str) -> str:
    """Host and port of a URL in a variable, as the Host header has them."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.netloc.lower().replace(host, in_ascii(var, host))


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in re.split("[,\n]", text) if entry.strip()]


def _parse(var: str, entries: list[str], pattern: re.Pattern[str], kind: str, *examples: str) -> list[tuple[str, ...]]:
    """Return the groups of the pattern in each entry. Raises ImproperlyConfigured."""
    matches = [len(entry) <= LONGEST_ENTRY and pattern.fullmatch(entry) for entry in entries]
    if not all(matches):
        raise refusal(var, kind, *examples)
    return [match.groups("") for match in matches if match]


def _bounded(var: str, number: int) -> int:
    """Return a number that is not too large. Raises ImproperlyConfigured."""
    if number > LARGEST:
        raise ImproperlyConfigured(f"{var} has a number above {LARGEST} / {var} 中有大于 {LARGEST} 的数字")
    return number


def _secrets_in_files() -> dict[str, str]:
    """Return the values of SECRETS that are mounted as files, without what editors add: a line end, a BOM."""
    found = {}
    for name in SECRETS:
        try:
            if path := os.environ.get(f"{name}_FILE", "").strip():
                found[name] = Path(path).read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE can't be read / 无法读取 {name}_FILE：{error}") from error
    return found
