"""The check of translations finds each planted defect, and nothing in a right text."""

import pytest
from babel.messages.catalog import Message

from tests.tools import wording


def found(
    locale: str,
    source: str | tuple[str, str],
    text: str | tuple[str, ...],
    flags: tuple[str, ...] = (),
    path: str = "signup/views.py",
) -> str:
    message = Message(source, text, locations=[(path, 0)], flags=flags)
    return " | ".join(wording.problems(message, locale))


@pytest.mark.parametrize(
    ("locale", "source", "text", "problem"),
    [
        ("zh_Hans", "Sign in", "", "not translated"),
        ("zh_Hans", "Hello %(name)s", "你好 %(nam)s", "unknown placeholders ['nam']"),
        ("zh_Hans", "Hello %(name)s", "你好", "lost placeholders ['name']"),
        ("zh_Hans", "Sign in.", "登录", "does not end as its source does"),
        ("zh_Hans", "Sign in", "登录。", "ends with a sign that its source has not"),
        ("zh_Hans", "Sign in?", "登录。", "does not end as its source does"),
        ("zh_Hans", "Sign in (now)", "登录(现在)", "half-width punctuation"),
        ("zh_Hans", "Sign in, now", "登录,现在", "half-width punctuation"),
        ("zh_Hans", "Use Chrome", "使用Chrome浏览器", "no space between Chinese and Latin"),
        ("zh_Hans", "Your name", "您的名字", "您 is not said here"),
        ("zh_Hant", "Your name", "你的名字", "你 is not said here"),
        ("zh_Hans", "Code", "驗證码", "characters of the other script, for 验证"),
        ("zh_Hant", "Code", "验證碼", "characters of the other script, for 驗"),
        ("th", "Sign in", "登录", "letters of another script"),
        ("he", "Sign in now", "Sign in please", "no letter of the language's script"),
        ("he", "Sign in at %(site)s", "כניסה אל %(site)s", "the term is: U+2068 and U+2069 around it"),
        ("th", "Sign in?", "เข้าสู่ระบบ", "does not end as its source does"),
        ("de", "Sign in.", "Anmelden", "does not end as its source does"),
        ("en", "Somebody signed in", "Somebody signed in", "Somebody, where the term is: Someone"),
        ("en", "It works for %(m)s minutes", "It works for %(m)s minutes", "the term is: expires in"),
        ("en", "The code must be %(n)s numbers", "The code must be %(n)s numbers", "the term is: digits"),
        ("en", "The password is not right", "The password is not right", "the term is: is incorrect"),
        ("zh_Hans", "Sign in", "登入", "登入, where the term is: 登录"),
        ("zh_Hans", "broker", "消息代理", "the term is: 消息队列"),
        ("zh_Hans", "no matter who requested it", "无论由谁请求", "the term is: 申请"),
        ("zh_Hant", "delivery", "郵件遞送", "the term is: 投遞"),
        ("zh_Hant", "Send the mail again", "重新寄出郵件", "已寄出 when it is done"),
        ("zh_Hant", "This email address is taken", "此電子郵件已註冊", "the term is: 信箱"),
        ("zh_Hans", "Wait. Try again", "请稍候。然后重试", "no full stop after the last of two sentences"),
    ],
)
def test_a_defect_is_found(locale: str, source: str, text: str, problem: str) -> None:
    """And named with its text."""
    assert problem in found(locale, source, text)


@pytest.mark.parametrize(
    ("locale", "source", "text"),
    [
        ("zh_Hans", "Sign in (now) at %(site)s.", "请在 %(site)s 登录（立即）。"),
        ("zh_Hans", "Your name?", "你的名字？"),
        ("zh_Hant", "Your code:", "您的驗證碼："),
        ("zh_Hans", ("%(n)d day", "%(n)d days"), ("一天",)),
        ("es", ("%(n)d day", "%(n)d days"), ("%(n)d día", "%(n)d de días", "%(n)d días")),
        ("zh_Hans", "Wait. Try again", "请稍候。然后重试。"),
        ("zh_Hant", "The mails are sent again", "郵件已重新寄出"),
        ("ar", "Sign in?", "تسجيل الدخول؟"),
        ("he", "Sign in?", "להיכנס?"),
        ("he", "Sign in at %(site)s", "כניסה אל \u2068%(site)s\u2069"),
        ("zh_HK", "Sign in", "登入"),
        ("uk", "Sign in", "Увійти"),
        ("sr_Latn", "Sign in", "Prijava"),
        ("hi", "It expires soon.", "यह जल्द समाप्त होगा।"),
        ("th", "It expires soon.", "จะหมดอายุในไม่ช้า"),
        ("el", "Sign in?", "Σύνδεση;"),
    ],
)
def test_what_is_right_passes(locale: str, source: str | tuple[str, str], text: str | tuple[str, ...]) -> None:
    """Full width, a plural without its number, a catalogue's own plural forms, another script's question mark."""
    assert found(locale, source, text) == ""


def test_a_fuzzy_translation_is_found() -> None:
    """It was guessed from another."""
    assert "fuzzy" in found("zh_Hans", "Sign in", "登录", ("fuzzy",))


def test_a_title_or_button_of_a_page_has_no_article() -> None:
    """A sentence about the same thing may have one, and so may the API's documentation."""
    problem = 'a title or button has no "the"'
    assert problem in found("en", "Change the password", "Change the password", path="templates/account/account.html")
    assert problem not in found("en", "Change password", "Change password", path="templates/account/account.html")
    assert problem not in found("en", "Create the account", "Create the account", path="signup/api/views.py")
