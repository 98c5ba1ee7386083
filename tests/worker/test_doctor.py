"""`manage.py doctor`: the findings of the health checks, printed for people or for a program."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.utils.functional import Promise

from core import mail_urls
from core.health import registry
from core.health.registry import Check, State
from tests.worker.sink import Sink
from worker.smtp import DEADLINE

NAMES = {
    *("database", "migrations", "redis", "broker", "workers", "sweeper", "waiting_mails", "mails", "mail_server"),
    "blocked_mails",
    "fallback_mail_server",
    *("spf", "dkim", "dmarc", "mx", "ptr"),
    *("catalogues", "keys", "pages", "proxies", "clock_of_database", "clock_of_redis"),
}


def test_the_command_fails_where_something_does(monkeypatch, capsys) -> None:
    """Each line or object has it; notes are no failure."""
    labels = {name: check.label for name, check in registry.registered().items()}
    checks = {
        "redis": Check(lambda: registry.failed("gone"), labels["redis"]),
        "keys": Check(lambda: registry.warning("hm"), labels["keys"]),
        "migrations": Check(lambda: registry.ok("fine"), labels["migrations"]),
    }
    monkeypatch.setattr(registry, "_checks", checks)
    with pytest.raises(CommandError, match="Problems: Redis"):
        call_command("doctor")
    assert capsys.readouterr().out.splitlines() == ["FAILED\tRedis: gone", "note\tkeys: hm", "ok\tmigrations: fine"]
    with pytest.raises(CommandError):
        call_command("doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["findings"][0] == {"name": "redis", "state": "failed", "text": "gone"}
    del checks["redis"]
    call_command("doctor", "--lang", "zh-hans")
    assert capsys.readouterr().out == "注意\t密钥: hm\n正常\t迁移: fine\n"


def test_every_check_has_a_name_for_programs_and_a_label_for_people() -> None:
    """The names don't change; the labels are translated. `/readyz` has three of them."""
    checks = registry.registered()
    assert set(checks) == NAMES
    assert {name for name, check in checks.items() if check.quick} == {"database", "redis", "broker"}
    assert all(isinstance(check.label, Promise) for check in checks.values())


def test_options_reach_their_checks(monkeypatch, capsys, settings) -> None:
    """--send-to sends one mail, --url must answer; without them neither is asked for."""
    sink = Sink()
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", sink.url)]
    monkeypatch.setattr(registry, "_checks", {"proxies": Check(lambda: registry.ok(""), "proxies")})
    try:
        call_command("doctor", "--json")
        assert [each["name"] for each in json.loads(capsys.readouterr().out)["findings"]] == ["proxies"]
        with pytest.raises(CommandError):
            call_command("doctor", "--json", "--url", "http://127.0.0.1:1", "--send-to", "ops@example.com")
        found = {each["name"]: each["state"] for each in json.loads(capsys.readouterr().out)["findings"]}
        assert found == {"proxies": State.FAILED.value, "test_mail": State.OK.value}
        assert len(sink.parsed("ops@example.com")) == 1
    finally:
        sink.close()


def test_each_mail_server_has_its_time_for_the_test_mail(monkeypatch, settings) -> None:
    """The first may take all of it before it fails."""
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", f"smtp://{name}.example.com") for name in ("one", "two")]
    limits: list[float] = []
    monkeypatch.setattr(registry, "run", lambda checks, limit: limits.append(limit) or iter(()))
    call_command("doctor", "--send-to", "ops@example.com")
    assert limits[0] > 2 * DEADLINE
