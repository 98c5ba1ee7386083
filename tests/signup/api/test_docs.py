"""/api/docs/: the schema as a page for people."""

import re

import pytest

from signup.api.problems import FIELD_ERRORS, PROBLEMS
from signup.api.schema import document
from tests.factories import text_of
from tests.signup.api.conftest import Api


def test_the_page_shows_every_call_and_code(api: Api) -> None:
    """Each has an anchor: the `type` of a problem is a link to it."""
    page = text_of(api.get("/api/docs/"))
    ids = re.findall(r'id="(\w+)"', page)
    operations = [operation for path in document("en")["paths"].values() for operation in path.values()]
    assert {operation["operationId"] for operation in operations} <= set(ids)
    assert set(PROBLEMS) <= set(ids)
    assert len(ids) == len(set(ids))
    assert all(f"<code>{code}</code>" in page for code in FIELD_ERRORS)
    assert '"captcha": "0427"' in page
    assert "<code>Idempotency-Key</code>" in page


def test_the_values_of_a_field_are_marked_up(api: Api) -> None:
    """Without the Markdown of the schema, and each on a line of its own."""
    page = text_of(api.get("/api/docs/"))
    assert "<dd><code>queued</code>it waits for its turn<br><code>sending</code>" in page
    assert re.search(r"or was refused and is tried again\s*<br><code>mailbox</code>", page)
    assert "`" not in page


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Request a code"), ("zh-CN", "获取验证码"), ("zh-TW", "取得驗證碼")]
)
def test_the_page_speaks_the_readers_language(api: Api, language: str, words: str) -> None:
    """Words and examples, which are in English where it has none; the switch of the pages works here too."""
    page = api.get("/api/docs/", **{"accept-language": language})
    assert words in text_of(page)
    assert ("小明" in text_of(page)) is (language == "zh-CN")
    assert ("如果 xiaoming@example.com 已注册" in text_of(page)) is (language == "zh-CN")
    assert ("If alice@example.com has an account" in text_of(page)) is (language != "zh-CN")
    api.client.cookies["django_language"] = "zh-hant"
    assert "取得驗證碼" in text_of(api.get("/api/docs/"))


def test_the_page_offers_the_languages_that_it_speaks(api: Api) -> None:
    """Not all of the visitors': the page would stay in English."""
    offered = re.findall(r'name="language" value="([\w-]+)"', text_of(api.get("/api/docs/")))
    assert offered == ["en", "zh-hans", "zh-hant"]


def test_the_page_needs_no_other_host_and_no_script(api: Api) -> None:
    """Under the policy of all pages."""
    page = api.get("/api/docs/")
    assert "unsafe" not in page["Content-Security-Policy"]
    sources = re.findall(r'(?:src|href)="([^"#]+)"', text_of(page))
    assert sources
    assert all(source.startswith("/") for source in sources)
    assert "<script>" not in text_of(page)
    assert "style=" not in text_of(page)


def test_the_root_leads_to_the_page(api: Api) -> None:
    """A person who opens /api/ in a browser finds the page."""
    assert api.get("/api/").headers["Location"] == "/api/docs/"
