"""The health checks of the DNS of the senders' domains, at a DNS server of the test's own."""

import time
from collections.abc import Callable, Iterator

import dns.resolver
import pytest
from django.utils import translation

from core import mail_urls
from core.health import registry
from core.health.registry import Finding, State
from tests.worker.nameserver import Nameserver
from worker import dns_health

GOOD = {
    ("cn", "NS"): ["a.dns.cn."],
    ("school.edu.cn", "TXT"): ['"site-verification=1"', '"v=spf1 mx ip4:203.0.113.0/24 " "include:spf.relay.cn ~all"'],
    ("school.edu.cn", "MX"): ["20 backup.school.edu.cn.", "10 mail.school.edu.cn."],
    ("mail.school.edu.cn", "A"): ["9.9.9.9"],
    ("s1._domainkey.school.edu.cn", "CNAME"): ["s1.relay.cn."],
    ("s1.relay.cn", "TXT"): ['"v=DKIM1; k=rsa; p=MIIBIjANBgkq" "hkiG9w0BAQEF"'],
    ("_dmarc.school.edu.cn", "TXT"): ['"v=DMARC1; p=quarantine; rua=mailto:dmarc@school.edu.cn"'],
    ("9.9.9.9.in-addr.arpa", "PTR"): ["mail.school.edu.cn."],
}
CHECKS = [dns_health.spf, dns_health.dkim, dns_health.dmarc, dns_health.mx, dns_health.ptr]


@pytest.fixture
def nameserver(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[Nameserver]:
    """The only DNS server that this machine has: it knows the sender's domain and the mail server, and all is well."""
    server = Nameserver(dict(GOOD))
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    settings.DEFAULT_FROM_EMAIL, settings.FROM_EMAILS = "School <noreply@school.edu.cn>", {}
    settings.DKIM_SELECTOR, settings.MAIL_ROUTES = "s1", [mail_urls.read("EMAIL_URL", "smtp://mail.school.edu.cn")]
    yield server
    server.close()


def found(check: Callable[[], Finding]) -> tuple[str, str]:
    finding = check()
    return finding.state.value, finding.text


def test_a_domain_that_has_all_records_is_well(nameserver: Nameserver) -> None:
    """A record may be in several strings, a key at an alias."""
    assert [found(check) for check in CHECKS] == [
        ("ok", "school.edu.cn: v=spf1 mx ip4:203.0.113.0/24 include:spf.relay.cn ~all"),
        ("ok", "school.edu.cn: s1._domainkey.school.edu.cn"),
        ("ok", "school.edu.cn: p=quarantine (_dmarc.school.edu.cn)"),
        ("ok", "school.edu.cn: mail.school.edu.cn, backup.school.edu.cn"),
        ("ok", "9.9.9.9"),
    ]


def test_a_domain_without_records_is_told_what_to_publish(nameserver: Nameserver) -> None:
    """The name does not exist; each text has the record's name and an example."""
    nameserver.records = {("cn", "NS"): ["a.dns.cn."]}
    published = [
        'school.edu.cn. TXT "v=spf1 include:spf.mail-provider.example ~all"',
        's1._domainkey.school.edu.cn. TXT "v=DKIM1; k=rsa; p=MIIBIjANBgkqh…"',
        '_dmarc.school.edu.cn. TXT "v=DMARC1; p=none; rua=mailto:postmaster@school.edu.cn"',
        "school.edu.cn. MX 10 mail.school.edu.cn.",
    ]
    for check, record in zip(CHECKS, published, strict=False):
        state, text = found(check)
        assert (state, f"publish {record}" in text) == ("failed", True), text
    assert found(dns_health.ptr) == ("skipped", "mail.school.edu.cn has no public address in DNS")


@pytest.mark.parametrize(
    ("records", "state", "words"),
    [
        (["v=spf1 -all"], "ok", "v=spf1 -all"),
        (["V=SPF1 +a:mail.school.edu.cn/24//64 MX/28 ip6:2001:db8::/32 exists:%{i}.cn -ALL"], "ok", "MX/28"),
        (["v=spf1 redirect=_spf.relay.cn"], "ok", "redirect="),
        (["v=spf1 ptr " + " ".join(f"a:{n}.cn" for n in range(9)) + " -all exp=why.cn"], "ok", "a:8.cn"),
        (["v=spf10 -all"], "failed", "no SPF record"),
        (["v=spf1 -all", "v=spf1 ~all"], "failed", "several SPF records"),
        (["v=spf1 include: -all"], "failed", "wrong at include:"),
        (["v=spf1 ipv4:203.0.113.1 mail.school.edu.cn -all"], "failed", "wrong at ipv4:203.0.113.1 mail.school.edu.cn"),
        (["v=spf1 ip4:203.0.113.300 ip6:203.0.113.1 ip4:10.0.0.0/33 a/x -all"], "failed", "300 ip6:203.0.113.1 ip4:10"),
        (["v=spf1 ptr " + " ".join(f"a:{n}.cn" for n in range(9)) + " redirect=b.cn"], "failed", "11 look-ups"),
        (["v=spf1 mx"], "warning", "lets anybody send"),
        (["v=spf1 mx ?all"], "warning", "lets anybody send"),
        (["v=spf1 +all -all"], "warning", "lets anybody send"),
    ],
)
def test_spf_is_one_record_that_receivers_understand(
    nameserver: Nameserver, records: list[str], state: str, words: str
) -> None:
    """Ten look-ups at the most, and an end that refuses others."""
    nameserver.records["school.edu.cn", "TXT"] = [f'"{record}"' for record in records]
    assert (found(dns_health.spf)[0], words in found(dns_health.spf)[1]) == (state, True), found(dns_health.spf)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (["v=DKIM1; p="], "is revoked"),
        (["v=spf1 -all"], "no key at s1._domainkey.school.edu.cn"),
        (["p=MIIBIjANBgkq…"], "no base64"),
        (["p=MIIBIjANBgk"], "no base64"),
    ],
)
def test_a_key_that_is_revoked_or_broken_has_failed(nameserver: Nameserver, records: list[str], words: str) -> None:
    """As when only a part of it was pasted."""
    nameserver.records["s1.relay.cn", "TXT"] = [f'"{record}"' for record in records]
    assert (found(dns_health.dkim)[0], words in found(dns_health.dkim)[1]) == ("failed", True)


def test_without_a_selector_no_key_is_looked_for(nameserver: Nameserver, settings) -> None:
    """The text says who knows it. One that no name can have is a note."""
    settings.DKIM_SELECTOR = ""
    assert (found(dns_health.dkim)[0], "DKIM_SELECTOR" in found(dns_health.dkim)[1]) == ("skipped", True)
    assert nameserver.queries == []
    settings.DKIM_SELECTOR = "a..b"
    assert found(dns_health.dkim)[0] == "warning"


@pytest.mark.parametrize(
    ("records", "state", "words"),
    [
        ({"_dmarc.accounts.school.edu.cn": ["v=DMARC1;p=NONE"]}, "ok", "p=none (_dmarc.accounts.school.edu.cn)"),
        ({"_dmarc.school.edu.cn": ["v=DMARC1; p=reject"]}, "ok", "p=reject (_dmarc.school.edu.cn)"),
        ({"_dmarc.cn": ["v=DMARC1; p=reject"]}, "failed", "publish _dmarc.accounts.school.edu.cn. TXT"),
        ({"_dmarc.school.edu.cn": ["v=spf1 -all", "p=none"]}, "failed", "no DMARC record"),
        (
            {"_dmarc.school.edu.cn": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]},
            "failed",
            "several records at _dmarc.sch",
        ),
        ({"_dmarc.school.edu.cn": ["v=DMARC1; rua=mailto:a@b.cn"]}, "failed", "has no p=none"),
    ],
)
def test_dmarc_may_be_the_organisations(
    nameserver: Nameserver, settings, records: dict[str, list[str]], state: str, words: str
) -> None:
    """The nearest record on the way up counts; none of a top level."""
    settings.DEFAULT_FROM_EMAIL = "noreply@accounts.school.edu.cn"
    del nameserver.records["_dmarc.school.edu.cn", "TXT"]
    nameserver.records |= {(name, "TXT"): [f'"{text}"' for text in texts] for name, texts in records.items()}
    assert (found(dns_health.dmarc)[0], words in found(dns_health.dmarc)[1]) == (state, True), found(dns_health.dmarc)


@pytest.mark.parametrize(
    ("records", "state", "words"),
    [
        ({("school.edu.cn", "MX"): ["0 ."]}, "failed", "no server takes mail for it"),
        ({("school.edu.cn", "MX"): ["10 gone.school.edu.cn."]}, "failed", "no server takes mail for it"),
        ({("school.edu.cn", "A"): ["9.9.9.9"]}, "warning", "no MX record"),
        ({("school.edu.cn", "MX"): ["10 six.cn."], ("six.cn", "AAAA"): ["2620:fe::9"]}, "ok", "six.cn"),
    ],
)
def test_bounces_need_a_server(
    nameserver: Nameserver, records: dict[tuple[str, str], list[str]], state: str, words: str
) -> None:
    """One with an address. Without MX the domain's own address is taken (RFC 5321), and "." takes none (RFC 7505)."""
    del nameserver.records["school.edu.cn", "MX"]
    nameserver.records |= records
    assert (found(dns_health.mx)[0], words in found(dns_health.mx)[1]) == (state, True)


def test_an_address_of_the_mail_server_without_a_name_is_a_note(nameserver: Nameserver, settings) -> None:
    """Its owner publishes it. Private addresses have none."""
    nameserver.records["mail.school.edu.cn", "A"] = ["9.9.9.9", "10.0.0.1"]
    assert found(dns_health.ptr) == ("ok", "9.9.9.9")
    nameserver.records["mail.school.edu.cn", "AAAA"] = ["2620:fe::9"]
    state, text = found(dns_health.ptr)
    assert (state, "no PTR record for 2620:fe::9:" in text) == ("warning", True)
    assert "e.f.0.0.0.2.6.2.ip6.arpa. PTR mail.school.edu.cn." in text
    for host in ("127.0.0.1", "mailpit", "mail.corp.local"):
        settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", f"smtp://{host}")]
        assert found(dns_health.ptr) == ("skipped", f"{host} is no name in the public DNS")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("fault", ["frozen", "SERVFAIL", "garbage"])
def test_a_nameserver_that_fails_is_a_note(
    nameserver: Nameserver, monkeypatch, check: Callable[[], Finding], fault: str
) -> None:
    """Nothing is known then of the records. A frozen one takes no longer than its share."""
    monkeypatch.setattr(dns_health, "LOOKUP", 0.2)
    nameserver.faults |= {name: fault for name, _kind in GOOD}
    began = time.monotonic()
    state, text = found(check)
    assert (state, "no answer from DNS about" in text) == ("warning", True)
    assert time.monotonic() - began < 2


def test_the_lookups_of_a_check_have_one_deadline(nameserver: Nameserver, monkeypatch, settings) -> None:
    """However many domains there are, each is named."""
    monkeypatch.setattr(dns_health, "TOTAL", 0.3)
    domains = {code: f"{number}.school.edu.cn" for number, (code, _name) in enumerate(settings.LANGUAGES)}
    settings.FROM_EMAILS = {code: f"noreply@{domain}" for code, domain in domains.items()}
    nameserver.faults |= dict.fromkeys(domains.values(), "frozen")
    began = time.monotonic()
    state, text = found(dns_health.spf)
    assert (state, text.count("no answer from DNS about")) == ("warning", len(domains))
    assert time.monotonic() - began < 2
    assert dns_health.TOTAL < registry.TIME_LIMIT


def test_a_machine_without_a_nameserver_is_a_note(nameserver: Nameserver, monkeypatch) -> None:
    """As in a container without a network, or where nothing listens."""
    monkeypatch.setattr(dns_health, "LOOKUP", 0.2)
    nameserver.close()
    assert found(dns_health.spf)[0] == "warning"

    def unconfigured() -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "get_default_resolver", unconfigured)
    assert found(dns_health.mx)[0] == "warning"


def test_a_closed_networks_dns_is_a_note(nameserver: Nameserver) -> None:
    """It says of every name of the internet that there is none, the top level included."""
    nameserver.records.clear()
    for check in CHECKS[:4]:
        words = "the DNS of this machine does not know .cn, so it is not the public one"
        assert found(check) == ("warning", f"school.edu.cn: {words}")


def test_a_long_answer_is_fetched_by_tcp(nameserver: Nameserver) -> None:
    """As DNS wants it for what does not fit into a datagram."""
    nameserver.faults["school.edu.cn"] = "truncated"
    assert found(dns_health.spf)[0] == "ok"
    assert nameserver.queries == [("school.edu.cn", "TXT", "UDP"), ("school.edu.cn", "TXT", "TCP")]


def test_every_domain_of_the_senders_is_examined_once(nameserver: Nameserver, settings) -> None:
    """The worst of them counts. Only senders of languages that the site offers are in use."""
    settings.LANGUAGES = [(code, code) for code in ("en", "zh-hans", "zh-hant")]
    settings.FROM_EMAILS = {
        "en": "noreply@school.edu.cn",
        "zh-hans": "学校 <a@SCHOOL.edu.cn>",
        "zh-hant": "a@none.cn",
        "ja": "a@unused.cn",
    }
    state, text = found(dns_health.spf)
    assert (state, text.startswith("school.edu.cn: v=spf1 mx")) == ("failed", True)
    assert "; none.cn: no SPF record: publish none.cn. TXT" in text
    assert [name for name, _kind, _way in nameserver.queries] == ["school.edu.cn", "none.cn", "cn"]


@pytest.mark.parametrize(
    "domain", ["doorcode.test", "mail.example.com", "school.example", "corp.local", "localhost", "127.0.0.1"]
)
def test_domains_outside_the_public_dns_are_skipped(nameserver: Nameserver, settings, domain: str) -> None:
    """As a demo or a site inside a network has; nobody is asked about them."""
    settings.DEFAULT_FROM_EMAIL = f"noreply@{domain}"
    for check in CHECKS[:4]:
        assert found(check) == ("skipped", f"{domain}: no domain in the public DNS")
    assert nameserver.queries == []


def test_a_record_prints_no_control_characters(nameserver: Nameserver) -> None:
    """Somebody who publishes it can't write to the operator's terminal."""
    nameserver.records["school.edu.cn", "TXT"] = ['"v=spf1 exp=\\027[2J -all"']
    assert found(dns_health.spf) == ("ok", "school.edu.cn: v=spf1 exp=�[2J -all")


def test_findings_are_in_the_operators_language(nameserver: Nameserver) -> None:
    """The records in them are not translated."""
    nameserver.records = {("cn", "NS"): ["a.dns.cn."]}
    for language, record in (("zh-hans", "记录"), ("zh-hant", "記錄")):
        with translation.override(language):
            assert dns_health.dmarc().state is State.FAILED
            assert f"DMARC {record}：" in dns_health.dmarc().text
            assert "_dmarc.school.edu.cn. TXT" in dns_health.dmarc().text
