"""Metrics: access, contents, and agreement with the docs and the alert rules."""

import errno
import re
import subprocess
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import yaml
from django.http import HttpResponse
from django.test import Client, RequestFactory
from prometheus_client.parser import text_string_to_metric_families as parse

from core.health import registry
from core.observability import metrics
from core.ratelimit import Limit
from signup import limits
from tests.servers import ROOT

RULES = ROOT / "docs" / "operations" / "alerts.yml"
SERIES = ROOT / "tests" / "core" / "alerts_test.yml"
RUNBOOKS = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/runbooks/*.md") if path.stem != "index"}


@pytest.fixture(autouse=True)
def all_well(monkeypatch: pytest.MonkeyPatch) -> dict[str, registry.Check]:
    """Health checks that succeed, and a broker with seven messages."""
    well = registry.Check(lambda: registry.ok(""), "", quick=True)
    checks = dict.fromkeys(["database", "redis", "broker"], well)
    monkeypatch.setattr(registry, "_checks", checks)
    monkeypatch.setattr("worker.notify.queue_length", lambda: 7)
    return checks


def scrape(client: Client) -> dict[tuple[str, ...], float]:
    """(name, label values …) -> value."""
    families = parse(client.get("/metrics").text)
    return {(row.name, *row.labels.values()): row.value for family in families for row in family.samples}


def names_and_types(text: str) -> dict[str, str]:
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    return {name: kind for name, kind in types.items() if name.startswith("doorcode_")}


@pytest.fixture
def client(settings) -> Client:
    """Prometheus, which has the token."""
    settings.METRICS_TOKEN = "a-token"
    return Client(headers={"Authorization": "Bearer a-token"})


def test_a_token_may_have_letters_beyond_ascii(settings) -> None:
    """Prometheus sends it in UTF-8, and WSGI hands a header's bytes on as Latin-1."""
    settings.METRICS_TOKEN = "口令"
    header = f"Bearer {'口令'.encode().decode('latin-1')}"
    assert Client(headers={"Authorization": header}).get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer a-token", 200),
        ("bearer a-token", 200),
        ("Bearer another", 404),
        ("Bearer a-tokén", 404),
        ("Bearer 口令", 404),
        ("Basic a-token", 404),
        ("Bearer", 404),
        ("", 404),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_reader_needs_the_token(db, settings, debug: bool, authorization: str, status: int) -> None:
    """For any other client there is no such page, whatever its address."""
    settings.METRICS_TOKEN, settings.DEBUG = "a-token", debug
    headers = {"Authorization": authorization} if authorization else {}
    for address in ("127.0.0.1", "::1", "10.0.0.7", ""):
        assert Client().get("/metrics", REMOTE_ADDR=address, headers=headers).status_code == status


def test_an_empty_token_opens_nothing(settings) -> None:
    """It means that none is set."""
    settings.METRICS_TOKEN = ""
    for value in ("Bearer ", "Bearer", ""):
        assert Client().get("/metrics", headers={"Authorization": value}).status_code == 404


def test_a_developer_needs_no_token(db, settings) -> None:
    """With DEBUG, as long as none is set."""
    settings.METRICS_TOKEN, settings.DEBUG = "", True
    assert Client().get("/metrics").status_code == 200


def test_the_token_is_compared_in_constant_time(rf: RequestFactory, settings, monkeypatch) -> None:
    """By hmac, and not by ==."""
    settings.METRICS_TOKEN = "a-token"
    compared: list[bytes] = []
    monkeypatch.setattr("hmac.compare_digest", lambda given, wanted: compared.append(given) or True)
    assert metrics.is_allowed(rf.get("/metrics", headers={"Authorization": "Bearer other"}))
    assert compared == [b"other"]


def test_it_is_plain_text_and_is_not_cached(db, client: Client) -> None:
    """No cookie, no language, no cache; any Host; only to be read."""
    page = client.get("/metrics", headers={"host": "10.1.2.3:8000", "accept-language": "zh-CN"})
    assert page.status_code == 200
    assert page["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "no-store" in page["Cache-Control"]
    assert not page.cookies
    assert "Content-Language" not in page
    assert client.post("/metrics").status_code == 405


def test_the_docs_list_every_metric(db, client: Client) -> None:
    """Neither more nor fewer, with their types and labels."""
    client.get("/signup/")  # something for HTTP to count
    text = client.get("/metrics").text
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(doorcode_\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    assert {name: kind for name, kind, _ in rows} == names_and_types(text)
    listed = {
        name: set(re.findall(r"`(\w+)`(?=[:,;]|\s*$)", re.sub(r": [^;]*", ":", labels))) for name, _, labels in rows
    }
    samples = [(family, row) for family in parse(text) for row in family.samples]
    for family, row in samples:
        if row.name.startswith("doorcode_"):
            name = row.name if row.name in listed else family.name
            assert set(row.labels) - {"le"} == listed[name], name


def test_the_rules_use_metrics_that_exist(db, client: Client) -> None:
    """And each alert has a summary and a description, and names its runbook."""
    known = {*names_and_types(client.get("/metrics").text), "up"}  # the last is Prometheus' own
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        used = set(re.findall(r"\b(?:doorcode_\w+|up\b)", rule["expr"]))
        assert used, rule["alert"]
        assert used <= known, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["runbook"] in RUNBOOKS
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert {rule["annotations"]["runbook"] for rule in rules} == RUNBOOKS


def test_every_alert_has_recorded_series() -> None:
    """Those on which it fires, and those on which it doesn't."""
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    cases = [case for test in yaml.safe_load(SERIES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


@pytest.mark.prometheus
@pytest.mark.parametrize("command", [["check", "rules", RULES], ["test", "rules", SERIES]])
def test_promtool_agrees_with_the_rules(command: list) -> None:
    """Their syntax, and their results for recorded series."""
    done = subprocess.run(["promtool", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_prometheus_accepts_what_it_is_given(db, client: Client) -> None:
    """`promtool check metrics` finds names, types and help as they should be."""
    text = client.get("/metrics").content
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_routes_are_names_and_methods_are_few(db, client: Client) -> None:
    """No label is a path: it may contain a token, and strangers invent any number."""
    before = scrape(client)
    client.get("/signup/link/a-token-of-a-link/")
    client.get("/nowhere/a-secret")
    client.generic("BREW", "/signup/")
    after = scrape(client)
    new = {key for key, value in after.items() if key[0] == "doorcode_http_requests_total" and value != before.get(key)}
    assert {("GET", "signup_link", "303"), ("GET", "none", "404"), ("other", "signup", "405")} == {
        key[1:] for key in new
    }
    assert "secret" not in client.get("/metrics").text


def test_a_limit_is_shown_before_it_acts(db, client: Client) -> None:
    """Prometheus sees no increase in a series that begins with 3: no alert of a first, short outage of Redis."""
    seen = scrape(client)
    names = {limit.name for limit in vars(limits).values() if isinstance(limit, Limit)}
    assert len(names) == 7
    for metric in ("doorcode_limits_tripped_total", "doorcode_limits_open_total"):
        assert {name for each, *labels in seen for name in labels if each == metric} >= names


@pytest.mark.parametrize("room", [metrics.ROOM, 1], ids=["room", "full"])
def test_on_a_full_disk_no_request_is_counted(rf: RequestFactory, monkeypatch, tmp_path, caplog, room: int) -> None:
    """To write into the file that the processes share would end the process. The log says it once."""
    requests = Mock()
    monkeypatch.setattr(metrics, "_requests", requests)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr("os.statvfs", lambda folder: SimpleNamespace(f_bavail=room, f_frsize=1))
    for _ in range(2):
        metrics.count_request(rf.get("/"), HttpResponse(), 0.01)
    is_full = room < metrics.ROOM
    assert (requests.labels.call_count, caplog.text.count("not counted")) == ((0, 1) if is_full else (2, 0))


def test_a_request_whose_count_has_no_file_is_answered(rf: RequestFactory, monkeypatch, caplog) -> None:
    """A process opens its files when it counts first: there may be no inode or file descriptor left for them."""
    no_file = OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr(metrics, "_requests", Mock(labels=Mock(side_effect=no_file)))
    for _ in range(2):
        metrics.count_request(rf.get("/"), HttpResponse(), 0.01)
    assert caplog.text.count("not counted") == 1
    assert "Too many open files" in caplog.text


def test_a_dependency_that_is_down_is_reported_and_its_metrics_left_out(db, client: Client, all_well) -> None:
    """No number is invented."""
    assert scrape(client)["doorcode_broker_messages",] == 7
    all_well["broker"] = all_well["database"] = registry.Check(lambda: 1 / 0, "", quick=True)
    seen = scrape(client)
    assert [seen["doorcode_dependency_up", name] for name in ("database", "redis", "broker")] == [0, 1, 0]
    assert not {"doorcode_broker_messages", "doorcode_workers", "doorcode_publish_failures_total"} & {
        key[0] for key in seen
    }
    assert seen["doorcode_scrape_errors",] == 0


def test_a_folder_of_counts_that_is_gone_spares_the_others(db, client: Client, monkeypatch, tmp_path) -> None:
    """As somebody cleaned /tmp: alerts about mails need the rest."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    seen = scrape(client)
    assert seen["doorcode_scrape_errors",] == 1
    assert seen["doorcode_workers",] == 0


def test_one_broken_group_spares_the_others(db, client: Client, monkeypatch, caplog) -> None:
    """It is counted, and the reason is in the log."""
    monkeypatch.setattr("worker.mail_limits.site_room", lambda *args, **kwargs: 1 / 0)
    seen = scrape(client)
    assert seen["doorcode_scrape_errors",] == 1
    assert seen["doorcode_workers",] == 0
    assert "ZeroDivisionError" in caplog.text
