"""The language of pages, mails and accounts: chosen once, the same everywhere."""

import re
from datetime import UTC, datetime
from email.utils import parseaddr

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.utils import formats, translation

from core import languages
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, claim_mail, make_user, text_of
from tests.signup.test_accounts import reset_form
from tests.steps import ask, deliver, verify
from verification import codes
from worker import messages, outbox
from worker.models import Delivery

pytestmark = pytest.mark.django_db

LANGUAGES = [code for code, _ in settings.LANGUAGES]
RIGHT_TO_LEFT = ["ar"]


def language_of(client: Client, path: str = "/login/", **headers: str) -> str:
    """Which language a page is in; its heading and its markup agree."""
    page = client.get(path, headers=headers, follow=True)
    code = page.headers["Content-Language"]
    text = text_of(page)
    assert f'<html lang="{code}"' in text
    assert (' dir="rtl"' in text.partition(">")[2].partition(">")[0]) is (code in RIGHT_TO_LEFT)
    return code


def said(code: str, text: str) -> str:
    with translation.override(code):
        return translation.gettext(text)


@pytest.mark.parametrize("code", LANGUAGES)
def test_page_code_mail_link_errors_and_account_agree(client: Client, frozen_clock: FrozenClock, code: str) -> None:
    """From the first page to the mail about a new password, in every language."""
    assert client.get(f"/signup/?lang={code}").headers["Location"] == "/signup/"
    assert said(code, "Get a code") in text_of(client.get("/signup/"))
    assert said(code, "Enter your email address") in text_of(client.post("/signup/", {"email": ""}))
    sign_up = ask(client)
    [mail] = deliver()
    message = messages.build(mail)
    assert message.extra_headers["Content-Language"].lower() == code
    assert message.body.count(f"/?lang={code}\n") == 2  # the link, and "This wasn't me"
    assert said(code, "This wasn't me:") in message.body
    wrong = client.post("/signup/verify/", {"email": ALICE, "captcha": "0000", "username": "", "password": ""})
    assert said(code, "Enter a username") in text_of(wrong)
    assert verify(client, sign_up).status_code == 303
    assert said(code, "Your account is ready. You're signed in") in text_of(client.get("/account/"))
    user = User.objects.get()
    assert user.language == code
    fields = {"old_password": PASSWORD, "password": "another horse b"}
    assert client.post("/password-change/", fields).status_code == 302
    about_password = messages.build(Delivery.objects.latest("pk"))
    assert about_password.extra_headers["Content-Language"].lower() == code


def test_the_order_of_choice(client: Client) -> None:
    """The account's when signed in, then the cookie, Accept-Language, LANGUAGE_CODE."""
    assert language_of(client) == "en"
    assert language_of(client, **{"accept-language": "ja,en;q=0.5"}) == "ja"
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "de"
    assert language_of(client, **{"accept-language": "ja"}) == "de"
    client.force_login(make_user(language="ko"))
    assert language_of(client, "/account/") == "ko"
    client.post("/logout/")
    assert language_of(client) == "ko"  # what the browser showed last


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("yue-HK,en;q=0.9", "zh-hant"),
        ("yue-Hant-HK", "zh-hant"),
        ("yue-Hans-CN, yue", "zh-hans"),
        ("gsw-CH,en;q=0.5", "de"),
        ("gsw,fr;q=0.9", "de"),
    ],
)
def test_readers_of_a_language_that_is_hardly_written_get_the_one_that_they_read(
    client: Client, accepted: str, code: str
) -> None:
    """Cantonese and Swiss German are among the languages of phones."""
    assert language_of(client, **{"accept-language": accepted}) == code


def test_an_account_without_a_language_follows_the_browser(client: Client) -> None:
    """As one that an operator created; and one whose language the site offers no more."""
    client.force_login(user := make_user(language=""))
    assert language_of(client, "/account/", **{"accept-language": "fr"}) == "fr"
    user.language = "tlh"
    user.save()
    assert language_of(client, "/account/", **{"accept-language": "fr"}) == "fr"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("zh-hans", "zh-hans"),
        ("zh-CN", "zh-hans"),
        ("zh_TW", "zh-hant"),
        ("zh_Hant_TW", "zh-hant"),  # as phones write it
        ("PT-br", "pt-br"),
        ("de-AT", "de"),
        ("de-DE-u-mu-celsius", "de"),
    ],
)
def test_a_site_can_link_into_a_language(client: Client, settings, asked: str, code: str) -> None:
    """`?lang=` sets the cookie, and redirects without it; other parameters stay."""
    settings.LANGUAGE_COOKIE_SECURE = True  # as with https; browsers drop a cookie named __Host- that is not
    answer = client.get(f"/signup/?next=/shop/&lang={asked}&x=1")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/signup/?next=%2Fshop%2F&x=1")
    cookie = answer.cookies[settings.LANGUAGE_COOKIE_NAME]
    assert (cookie.value, cookie["max-age"], cookie["samesite"]) == (code, settings.LANGUAGE_COOKIE_AGE, "Lax")
    assert cookie["secure"]
    assert language_of(client) == code


def test_no_script_reads_the_language_from_its_cookie(client: Client) -> None:
    """The page says it, and scanners report each cookie that a script can read."""
    for answer in (client.get("/signup/?lang=de"), client.post("/i18n/setlang/", {"language": "fr"})):
        assert answer.cookies[settings.LANGUAGE_COOKIE_NAME]["httponly"]


def test_the_mails_link_leads_to_its_page_in_one_step_and_in_its_language(client: Client) -> None:
    """Another redirect would keep the token in the URL, and let the next page have it as Referer."""
    link = f"/signup/link/{codes.link_token(ask(client))}/?lang=ko"
    owner, account = Client(), make_user(email=BOB, language="en")
    for browser in (owner, Client()):
        if browser is not owner:
            browser.force_login(account)
        answer = browser.get(link)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/verify/")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.cookies.keys() >= {"doorcode_signup", settings.LANGUAGE_COOKIE_NAME}
        assert language_of(browser, "/signup/verify/") == "ko"
    account.refresh_from_db()
    assert account.language == "ko"


@pytest.mark.parametrize("asked", ["", "tlh", "x" * 10_000, "../../etc", "%00"])
def test_a_language_that_is_not_offered_changes_nothing(client: Client, asked: str) -> None:
    """No redirect, no cookie, no error."""
    answer = client.get(f"/login/?lang={asked}")
    assert answer.status_code in (200, 414)
    assert settings.LANGUAGE_COOKIE_NAME not in answer.cookies


def test_lang_redirects_to_no_other_site_and_posts_nothing(client: Client) -> None:
    """A path that begins with two slashes would be a host; a form's POST is a form's POST."""
    assert client.get("/", {"lang": "de"}, PATH_INFO="//evil.example/").headers["Location"] == "/%2Fevil.example/"
    client.cookies.clear()
    assert client.post("/signup/?lang=de", {"email": ALICE}).status_code == 303
    assert Delivery.objects.get().language == "en"


def test_switching_while_signed_in_is_the_accounts_language_from_then_on(client: Client) -> None:
    """By the switch, by `?lang=`, and on the account page; its mails follow."""
    client.force_login(make_user(language="en"))
    for code, choose in {
        "ja": lambda: client.post("/i18n/setlang/", {"language": "ja", "next": "/account/"}),
        "ru": lambda: client.get("/account/?lang=ru"),
        "ar": lambda: client.post("/i18n/setlang/?next=/account/", {"language": "ar"}),
    }.items():
        assert choose().status_code == 302
        assert User.objects.get().language == code
        assert language_of(Client(), **{"accept-language": "en"}) == "en"  # another visitor's stays
        assert f'value="{code}" lang="{code}" selected' in text_of(client.get("/account/"))
    client.post("/password-reset/", {"email": ALICE})
    assert Delivery.objects.latest("pk").language == "ar"
    client.post("/i18n/setlang/", {"language": "tlh"})
    assert User.objects.get().language == "ar"


@pytest.mark.parametrize(
    ("asked", "code"),
    [("zh-TW", "zh-hant"), ("zh_CN", "zh-hans"), ("ZH-HANS", "zh-hans"), ("de-at", "de"), ("nl", None), ("de-abcdefgh-abcdefgh", "de")],
)  # fmt: skip
def test_the_switch_keeps_a_language_by_the_sites_own_code(client: Client, asked: str, code: str | None) -> None:
    """Django's own view keeps what it is given, also a language that Django alone speaks."""
    client.force_login(make_user(language="en"))
    answer = client.post("/i18n/setlang/", {"language": asked, "next": "/account/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/account/")
    assert User.objects.get().language == (code or "en")
    cookie = answer.cookies.get(settings.LANGUAGE_COOKIE_NAME)
    assert (cookie.value if cookie else None) == code


def press_switch(client: Client, page: HttpResponse, code: str) -> HttpResponse:
    """Press a language in the menu of a page, and follow it to the next page."""
    [path] = set(re.findall(r'action="(/i18n/setlang/[^"]*)"', text_of(page)))
    return client.post(path, {"language": code}, follow=True)


@pytest.mark.parametrize("path", ["/signup/resend/", "/signup/change/", "/logout/"])
def test_the_switch_finds_a_page_again_that_answered_a_post(client: Client, path: str) -> None:
    """The paths of these forms answer no GET, but show pages: a form that expired, and a sign-up lost or finished."""
    pages = [Client(enforce_csrf_checks=True).post(path)]
    if path != "/logout/":
        pages.append(client.post(path))
        verify(client, ask(client))
        client.post("/logout/")
        pages.append(client.post(path))
    for page in pages:
        assert page.status_code in (400, 403)
        found = press_switch(client, page, "de")
        assert (found.status_code, found.headers["Content-Language"]) == (200, "de")
        client.cookies.pop(settings.LANGUAGE_COOKIE_NAME)


def test_a_switch_during_a_sign_up_goes_for_what_follows(client: Client, frozen_clock: FrozenClock) -> None:
    """The first mail stays as it was; the next one, the pages and the account are in the new language."""
    sign_up = ask(client)
    deliver()
    client.get("/signup/verify/?lang=ko")
    frozen_clock.move(seconds=61)
    client.post("/signup/resend/", {"email": ALICE})
    assert [each.language for each in Delivery.objects.order_by("pk")] == ["en", "ko"]
    verify(client, sign_up)
    assert User.objects.get().language == "ko"


@pytest.mark.parametrize(("account", "code"), [("zh-hans", "zh-hans"), ("", "de")])
def test_a_reset_is_confirmed_in_the_language_of_the_page_that_says_so(client: Client, account: str, code: str) -> None:
    """The account's, once signed in; whatever the form was in."""
    user = make_user(language=account)
    path = reset_form(client, user)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "de"
    page = client.post(path, {"password": "correct horse b"}, follow=True)
    assert page.headers["Content-Language"] == code
    assert said(code, "Your password is changed. You're signed in") in text_of(page)


def test_a_mail_to_an_account_is_in_the_accounts_language(client: Client) -> None:
    """Whoever asks, and in whatever language."""
    make_user(language="fr")
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "ja"
    client.post("/signup/", {"email": ALICE})
    client.post("/password-reset/", {"email": ALICE})
    client.post("/signup/", {"email": BOB})
    assert [each.language for _ in range(2) for each in outbox.claim(limit=9)] == ["fr", "ja", "fr"]


def test_the_mail_about_a_new_password_is_in_the_pages_language_if_the_account_has_none(client: Client) -> None:
    """An operator may have created it without."""
    client.force_login(make_user(language=""))
    fields = {"old_password": PASSWORD, "password": "another horse c"}
    client.post("/password-change/", fields, headers={"Accept-Language": "fr"})
    assert Delivery.objects.get().language == "fr"


def test_a_mail_in_a_language_that_was_withdrawn_is_in_the_sites(settings) -> None:
    """It may have waited meanwhile."""
    settings.LANGUAGES, settings.LANGUAGE_CODE = [("de", "Deutsch"), ("en", "English")], "de"
    mail = messages.build(messages.sample(kind="code", language="ja"))
    assert mail.extra_headers["Content-Language"] == "de"


def test_name_and_sender_follow_the_language(client: Client, settings) -> None:
    """On the page and in the mail; others have the first."""
    settings.SITE_NAMES = {"en": "The School", "zh-hans": "学校"}
    settings.FROM_EMAILS = {"en": "School <en@example.com>", "zh-hans": "学校 <zh@example.cn>"}
    settings.SITE_NAME, settings.DEFAULT_FROM_EMAIL = "The School", settings.FROM_EMAILS["en"]
    for code, name, address in (("zh-hans", "学校", "zh@example.cn"), ("ja", "The School", "en@example.com")):
        client.get(f"/?lang={code}")
        assert f"– {name}</title>" in text_of(client.get("/login/"))
        client.post("/signup/", {"email": f"{code}@example.com"})
        mail = messages.build(delivery := Delivery.objects.latest("pk"))
        assert name in mail.subject
        assert parseaddr(mail.from_email)[1] == address
        assert delivery.message_id.rstrip(">").endswith(address.partition("@")[2])


@pytest.mark.parametrize(("code", "read"), [("zh-hant", "zh-hant"), ("ja", "en"), ("ar", "en")])
def test_operators_without_a_catalogue_read_english(client: Client, code: str, read: str, capsys) -> None:
    """In the admin, by the commands and in the API's documentation; not half of a page in one language."""
    client.force_login(make_user(language=code, is_staff=True, is_superuser=True))
    assert language_of(client, "/admin/worker/delivery/") == read
    assert language_of(client, "/admin/dashboard/") == read
    assert language_of(client, "/account/") == code
    schema = client.get("/api/schema/", headers={"accept-language": code}).json()
    assert schema["info"]["description"] == said(read, "Register people by emailed code, and sign them in.")
    call_command("stats", "--lang", code)
    assert said(read, "accounts") in capsys.readouterr().out


def test_the_language_of_an_error_needs_no_database(client: Client, monkeypatch) -> None:
    """The cookie's, while the account's can't be read."""
    client.force_login(make_user(language="ko"))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "de"
    client.raise_request_exception = False

    def gone(request: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("django.contrib.auth.middleware.get_user", gone)
    page = client.get("/account/")
    assert page.status_code == 503
    assert said("de", "Wait a minute, then send it again") in text_of(page)


def test_a_public_page_names_its_other_languages(client: Client) -> None:
    """By SITE_URL, for each that is offered, and for all others."""
    for path in ("/signup/", "/login/", "/password-reset/"):
        page = text_of(client.get(path))
        for code in LANGUAGES:
            assert f'<link rel="alternate" hreflang="{code}" href="http://testserver{path}?lang={code}">' in page
        assert f'hreflang="x-default" href="http://testserver{path}"' in page


@pytest.mark.parametrize("code", LANGUAGES)
def test_an_address_is_shown_in_its_own_script(client: Client, code: str) -> None:
    """On the pages and in their forms, whatever the language; mail goes to the form that every server takes."""
    client.get(f"/?lang={code}")
    sign_up = ask(client, "wang@例子.中国")
    assert sign_up.address == "wang@xn--fsqu00a.xn--fiqs8s"
    pages = [client.get("/signup/verify/"), verify(client, sign_up, email="wang@例子.中国", username="")]
    verify(client, sign_up)
    for page in (*pages, client.get("/account/")):
        assert "wang@例子.中国" in text_of(page)
        assert "xn--" not in text_of(page)
    assert "wang@例子.中国" in text_of(client.get("/account/delete/"))
    client.post("/password-reset/", {"email": sign_up.address})
    assert "wang@例子.中国" in text_of(client.get("/password-reset/done/"))
    reset = messages.build(claim_mail())
    assert "wang@例子.中国" in reset.body
    assert "wang@例子.中国" in str(reset.alternatives[0][0])


def test_an_address_and_a_username_are_not_turned_round(client: Client) -> None:
    """Right to left, 123456@qq.com would read as qq.com@123456 where it stands alone, and ann_ as _ann."""
    user = make_user("ann_", "123456@qq.com")
    assert "<bdi>123456@qq.com</bdi>" in text_of(client.get(reset_form(client, user)))
    newcomer = Client()
    for page in (newcomer.get("/login/"), verify(newcomer, ask(newcomer), username="")):
        assert re.search(r'<input[^>]* name="username"[^>]* dir="auto"', text_of(page))
    client.force_login(user)
    page = text_of(client.get("/account/"))
    assert "<bdi>ann_</bdi>" in page
    assert "<bdi>123456@qq.com</bdi>" in page


@pytest.mark.parametrize(
    ("code", "nearest"), [("zh-hk", ["zh-hk", "zh-hant", "zh"]), ("pt-br", ["pt-br", "pt"]), ("en", ["en"])]
)
def test_a_language_has_those_that_stand_in(code: str, nearest: list[str]) -> None:
    """The nearest first."""
    assert list(languages.fallbacks(code)) == nearest


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("ar", "1 مارس 2026، 09:05"),
        ("de", "1. März 2026, 09:05"),
        ("fr", "01/03/2026 à 09:05"),
        ("ko", "2026년 3월 1일 09:05"),
        ("pt-br", "01/03/2026 às 09:05"),
        ("ru", "1\u00a0марта 2026\u00a0г., 9:05"),
    ],
)
def test_a_date_is_written_as_in_its_language(code: str, written: str) -> None:
    """Where Django's own form is wrong: "1 mars" in French, months with a capital in Portuguese."""
    with translation.override(code):
        assert formats.date_format(datetime(2026, 3, 1, 9, 5, tzinfo=UTC), "DATETIME_FORMAT") == written


@pytest.mark.parametrize("code", ["zh-hans", "zh-hant"])
def test_a_month_has_no_zero_before_it_in_chinese(code: str) -> None:
    """In the dates below the dashboard's charts."""
    with translation.override(code):
        assert formats.date_format(datetime(2026, 3, 1, tzinfo=UTC), "MONTH_DAY_FORMAT") == "3月1日"


@pytest.mark.parametrize("path", ["/api/captchas/x/", "/api/users/me/", "/api/schema/", "/api/nothing/"])
def test_a_call_does_not_choose_a_language(client: Client, path: str) -> None:
    """Neither by its query nor by the session that a browser adds: docs/decisions/0013."""
    user = make_user(language="de")
    client.force_login(user)
    answer = client.get(path, {"lang": "fr"})
    assert answer.status_code in (200, 401, 404)
    assert answer["Content-Language"] == "en"
    assert not answer.cookies
    user.refresh_from_db()
    assert user.language == "de"
