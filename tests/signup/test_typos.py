"""Typos in an address's domain."""

import pytest

from signup.typos import DOMAINS, suggest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("qq.con", "qq.com"), ("qq.cm", "qq.com"), ("qqq.com", "qq.com"), ("163.con", "163.com"), ("162.com", "163.com"),
        ("126.cmo", "126.com"), ("sina.con", "sina.com"), ("foxmial.com", "foxmail.com"), ("foxmail.cn", "foxmail.com"),
        ("yeah.ent", "yeah.net"), ("gmial.com", "gmail.com"), ("gamil.com", "gmail.com"), ("gmail.con", "gmail.com"),
        ("gmaill.com", "gmail.com"), ("hotmial.com", "hotmail.com"), ("hotmal.con", "hotmail.com"), ("outlok.com", "outlook.com"),
        ("yahooo.com", "yahoo.com"), ("icloud.co", "icloud.com"), ("aliyum.com", "aliyun.com"),
    ],
)  # fmt: skip
def test_a_typo_is_found(typed: str, meant: str) -> None:
    """Left out, added, changed or swapped letters; the local part stays."""
    assert suggest(f"alice@{typed}") == f"alice@{meant}"


@pytest.mark.parametrize(
    "domain", [*DOMAINS, "example.com", "doorcode.test", "tsinghua.edu.cn", "bbc.co.uk", "a.b", "x" * 63 + ".com"]
)
def test_a_good_domain_is_left_alone(domain: str) -> None:
    """The common ones, and those that resemble none of them."""
    assert suggest(f"alice@{domain}") is None
