"""Providers of mailboxes, and typos in the domain of an address."""

import re
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import translation

from core.email_addresses import canonical
from signup import mail_providers
from signup.mail_providers import suggest, webmail
from tests.factories import text_of
from tests.steps import ask


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("qq.con", "qq.com"), ("qq.cm", "qq.com"), ("qqq.com", "qq.com"), ("163.con", "163.com"), ("162.com", "163.com"),
        ("126.cmo", "126.com"), ("sina.con", "sina.com"), ("foxmial.com", "foxmail.com"), ("foxmail.cn", "foxmail.com"),
        ("yeah.ent", "yeah.net"), ("gmial.com", "gmail.com"), ("gamil.com", "gmail.com"), ("gmail.con", "gmail.com"),
        ("gmaill.com", "gmail.com"), ("hotmial.com", "hotmail.com"), ("hotmal.con", "hotmail.com"), ("outlok.com", "outlook.com"),
        ("yahooo.com", "yahoo.com"), ("icloud.co", "icloud.com"), ("aliyum.com", "aliyun.com"),
        ("gmail.co", "gmail.com"), ("gmail.cm", "gmail.com"), ("gmai.com", "gmail.com"), ("gnail.com", "gmail.com"),
        ("hotmail.co", "hotmail.com"), ("hotmil.com", "hotmail.com"), ("outlook.co", "outlook.com"), ("outllok.com", "outlook.com"),
        ("yaho.com", "yahoo.com"), ("yahoo.con", "yahoo.com"), ("yahho.com.tw", "yahoo.com.tw"), ("yahoo.co.jpp", "yahoo.co.jp"),
        ("iclould.com", "icloud.com"), ("naver.con", "naver.com"), ("protonmial.com", "protonmail.com"), ("yandx.ru", "yandex.ru"),
        ("vip.qq.con", "vip.qq.com"), ("139.con", "139.com"), ("live.con", "live.com"), ("gmx.dee", "gmx.de"), ("docomo.ne.jo", "docomo.ne.jp"),
    ],
)  # fmt: skip
def test_a_typo_is_found(typed: str, meant: str) -> None:
    """Left out, added, changed or swapped letters; the local part stays."""
    assert suggest(f"alice@{typed}") == f"alice@{meant}"


def test_a_good_domain_is_left_alone() -> None:
    """The common ones, and those that resemble none of them: one click on the suggestion would mail a stranger."""
    others = ("example.com", "doorcode.test", "tsinghua.edu.cn", "bbc.co.uk", "a.b", "x" * 63 + ".com")
    assert [domain for domain in (*mail_providers.by_domain(), *others) if suggest(f"alice@{domain}")] == []


@pytest.mark.parametrize(
    "domain",
    ["yahoo.com.br", "yahoo.ca", "hotmail.ca", "live.ca", "vip.126.com", "outlook.com.br", "yandex.by", "hotmail.fr", "hotmail.de", "live.nl",
     "yahoo.fr", "yahoo.com.sg", "outlook.jp", "gmx.at", "vip.sina.com", "msn.cn", "aol.de", "fastmail.fm", "zohomail.eu", "inbox.ru", "163.net",
     "88.com", "1688.com", "t-online.hu", "orange.es", "gmx.ie"],
)  # fmt: skip
def test_regional_domains_are_common_ones(domain: str) -> None:
    """So that none is doubted."""
    assert domain in mail_providers.by_domain()


@pytest.mark.parametrize(
    "domain",
    ["mi.com", "ge.com", "ibm.com", "all.com", "love.com", "like.com", "line.com", "mall.com", "main.com", "gmc.com", "msc.com", "sap.com", "hp.com",
     "water.com", "paper.com", "maker.com", "outdoor.com", "hotel.com", "cloud.com", "wed.de", "bahn.de", "dpd.de", "sohu.edu.cn", "pku.edu.cn",
     "yahoo.com.np", "hotmail.com.pe", "live.com.uy", "outlook.co.ke", "ucl.ac.uk", "me.uk", "aon.com", "sony.com", "zoom.com", "nave.com.br",
     "qq.org.tw", "email.cn", "mail.cn", "vip.com", "jd.com", "360.cn", "12306.cn", "10086.cn", "hotmail.net"],
)  # fmt: skip
def test_no_company_and_no_new_region_is_doubted(domain: str) -> None:
    """Short names are near to many others; a provider has more regions than any list."""
    assert suggest(f"alice@{domain}") is None


@pytest.mark.parametrize(
    ("domain", "name", "host"),
    [("gmail.com", "Gmail", "mail.google.com"), ("hotmail.fr", "Outlook", "outlook.live.com"), ("yahoo.com.br", "Yahoo", "mail.yahoo.com"),
     ("yahoo.co.jp", "Yahoo! Japan", "mail.yahoo.co.jp"), ("me.com", "iCloud", "www.icloud.com"), ("proton.me", "Proton Mail", "mail.proton.me"),
     ("naver.com", "Naver", "mail.naver.com"), ("hanmail.net", "Daum", "mail.daum.net"), ("foxmail.com", "QQ Mail", "mail.qq.com"),
     ("163.com", "163 Mail", "mail.163.com"), ("vip.126.com", "126 VIP", "vip.126.com"), ("139.com", "139 Mail", "mail.10086.cn"),
     ("gmx.at", "GMX", "www.gmx.net"), ("web.de", "WEB.DE", "web.de"), ("yandex.by", "Yandex", "mail.yandex.com"), ("bk.ru", "Mail.ru", "e.mail.ru"),
     ("zoho.com", "Zoho Mail", "mail.zoho.com"), ("fastmail.com", "Fastmail", "app.fastmail.com"), ("aol.com", "AOL", "mail.aol.com"),
     ("hinet.net", "HiNet", "webmail.hinet.net"), ("docomo.ne.jp", "docomo", "mail.smt.docomo.ne.jp")],
)  # fmt: skip
def test_a_known_address_has_a_web_mail(domain: str, name: str, host: str) -> None:
    """Its name and where it is."""
    found = webmail(f"alice@{domain}")
    assert found
    assert (found[0], urlsplit(found[1]).hostname) == (name, host)


@pytest.mark.parametrize(
    "address", ["alice@example.com", "alice@softbank.ne.jp", "alice@263.net", "alice@gmail.com.evil.example"]
)
def test_other_addresses_have_none(address: str) -> None:
    """Unknown domains, and providers without a web mail for everybody."""
    assert webmail(address) is None


@pytest.mark.parametrize(
    ("language", "domain", "name"),
    [
        ("zh-hans", "qq.com", "QQ 邮箱"), ("zh-hant", "qq.com", "QQ 信箱"), ("en", "qq.com", "QQ Mail"), ("ja", "qq.com", "QQ Mail"),
        ("ja", "yahoo.co.jp", "Yahoo!メール"), ("en", "yahoo.co.jp", "Yahoo! Japan"),
        ("ko", "naver.com", "네이버 메일"), ("ja", "naver.com", "Naver"),
    ],
)  # fmt: skip
def test_a_provider_is_named_in_the_language_of_the_page(language: str, domain: str, name: str) -> None:
    """Where its name differs by language."""
    with translation.override(language):
        [called, _url] = webmail(f"alice@{domain}") or ["", ""]
    assert called == name


@pytest.mark.django_db
def test_the_button_to_a_web_mail_names_no_referrer(client: Client) -> None:
    """No provider learns where its visitor comes from."""
    ask(client, "alice@gmail.com")
    [button] = re.findall(r'<a [^>]*href="https://mail\.google\.com/[^>]*>', text_of(client.get("/signup/verify/")))
    assert 'rel="noopener noreferrer"' in button


def test_the_list_of_providers_is_sound() -> None:
    """Canonical domains, each once; https alone."""
    providers = mail_providers.providers()
    domains = [domain for each in providers for domain in (*each.domains, *each.also)]
    assert [domain for domain in domains if domains.count(domain) > 1] == []
    assert [domain for domain in domains if canonical(f"a@{domain}") != f"a@{domain}"] == []
    assert [each.name for each in providers if each.url and urlsplit(each.url).scheme != "https"] == []
