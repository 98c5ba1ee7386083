"""The mails, by kind and language."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape

import pytest
from django.conf import settings
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from tests.factories import ALICE, FrozenClock, claim_mail, make_captcha, make_delivery, make_user, right
from tests.servers import code_in
from verification import codes
from worker import messages, outbox, suppression
from worker.models import ACCOUNT_KINDS, Delivery, Suppression

pytestmark = pytest.mark.django_db


def build(delivery: Delivery) -> EmailMessage:
    content = messages.build(delivery).message().as_bytes()
    return message_from_bytes(content, _class=EmailMessage, policy=policy.default)


def text_of(message: EmailMessage) -> str:
    return message.get_body(("plain",)).get_content()


def html_of(message: EmailMessage) -> str:
    return message.get_body(("html",)).get_content()


@pytest.mark.parametrize(
    ("language", "subject", "tag", "minutes"),
    [
        ("en", "{} is your Doorcode code", "en", "It expires in 10 minutes"),
        ("zh-hans", "{} 是你的 Doorcode 验证码", "zh-Hans", "10 分钟内有效"),
        ("zh-hant", "{} 是您的 Doorcode 驗證碼", "zh-Hant", "10 分鐘內有效"),
    ],
)
def test_the_code_comes_in_the_deliverys_language(language: str, subject: str, tag: str, minutes: str) -> None:
    """Subject, headers, text and HTML."""
    sign_up = make_captcha(accepted=False)
    message = build(make_delivery(sign_up, language=language))
    assert message["Subject"] == subject.format(right(sign_up))
    assert message["Content-Language"] == tag
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == "alice@example.com"
    assert message["From"] == "Doorcode <noreply@doorcode.test>"
    assert message.get_content_type() == "multipart/alternative"
    assert code_in(message) == right(sign_up)
    assert minutes in text_of(message)
    html = html_of(message)
    assert f'lang="{tag}"' in html
    assert right(sign_up) in html


@pytest.mark.parametrize("language", [code for code, _name in settings.LANGUAGES])
def test_the_subject_may_be_pasted_as_the_code(language: str) -> None:
    """Whole, as people copy it from the list of their mails; each language has other words and marks around the code."""
    sign_up = make_captcha(accepted=False)
    assert codes.normalize(build(make_delivery(sign_up, language=language))["Subject"]) == right(sign_up)


def test_the_link_holds_the_token_and_the_sites_address() -> None:
    """By SITE_URL, in both parts; and its page opens in the mail's language."""
    sign_up = make_captcha(accepted=False)
    message = build(make_delivery(sign_up))
    link = f"http://testserver/signup/link/{codes.link_token(sign_up)}/?lang=en"
    assert link in text_of(message).splitlines()
    assert link in html_of(message)


def test_a_repeat_is_the_same_mail() -> None:
    """Same Message-ID, same code."""
    delivery = make_delivery(make_captcha(accepted=False))
    first, second = build(delivery), build(Delivery.objects.get())
    assert first["Message-ID"] == second["Message-ID"] == delivery.message_id
    assert code_in(first) == code_in(second)


def test_no_mail_has_a_code_or_link_of_another() -> None:
    """Twenty mails, built in one process."""
    mails = [(each, build(make_delivery(each))) for each in (make_captcha(f"a{n}@example.com") for n in range(20))]
    for sign_up, mail in mails:
        for other, _ in mails:
            assert (codes.link_token(other) in text_of(mail)) is (other is sign_up)


def test_minutes_are_the_rest_of_the_longest_lifetime(frozen_clock: FrozenClock) -> None:
    """Mailed again after 25 of 30 minutes, a code works for five more."""
    sign_up = make_captcha()
    frozen_clock.move(minutes=25)
    assert "It expires in 5 minutes" in text_of(build(make_delivery(sign_up)))
    frozen_clock.move(minutes=4, seconds=30)
    assert "It expires in 1 minute." in text_of(build(make_delivery(sign_up)))


@pytest.mark.parametrize("language", ["en", "zh-hans", "zh-hant"])
def test_a_registered_address_gets_no_code(language: str) -> None:
    """Ways to sign in and to reset, and not a digit that could be a code."""
    sign_up = make_captcha(accepted=False, decoy=True)
    message = build(make_delivery(sign_up, kind="registered", language=language))
    words = re.sub(r"http\S+", "", f"{message['Subject']} {text_of(message)}")  # a token may have the digits by chance
    assert not re.search(r"\d{4}", words)
    assert "/signup/link/" not in text_of(message)
    assert "http://testserver/login/" in text_of(message)
    assert "http://testserver/password-reset/" in text_of(message)


def test_a_reset_token_is_made_when_the_mail_is_sent() -> None:
    """It is nowhere in the row."""
    make_user(), make_delivery(kind="password_reset")
    link = next(line for line in text_of(build(claim_mail())).splitlines() if "/password-reset/" in line)
    token = link.rstrip("/").rpartition("/")[2]
    assert token not in [str(value) for value in Delivery.objects.values().get().values()]


def test_a_reset_mail_without_its_account_is_not_built() -> None:
    with pytest.raises(messages.Unbuildable):
        messages.build(Delivery(kind="password_reset", language="en"))


def test_a_reset_link_goes_to_no_former_address() -> None:
    """The mail waited while an operator changed the address, maybe because a stranger reads the old mailbox."""
    alice = make_user()
    make_delivery(kind="password_reset", user_id=alice.pk)  # as versions before this one wrote it
    make_delivery(kind="password_reset")
    alice.email = "new@example.com"
    alice.save()
    assert [each.is_for_nobody for each in outbox.claim(limit=2)] == [True, True]


def test_a_code_whose_key_is_gone_is_not_built(settings) -> None:
    """Its code could not be right."""
    delivery = make_delivery(make_captcha(accepted=False))
    settings.SECRET_KEY = "another-key"
    with pytest.raises(messages.Unbuildable):
        messages.build(delivery)


def test_a_name_with_markup_is_escaped_in_html_alone(settings) -> None:
    """Text is text."""
    settings.SITE_NAME = "Smith & <Sons>"
    message = build(make_delivery(make_captcha(accepted=False)))
    assert "Smith & <Sons>" in text_of(message)
    assert "Smith &amp; &lt;Sons&gt;" in html_of(message)


@pytest.mark.parametrize("kind", ["code", "registered"])
def test_sign_up_mails_say_their_reference_and_how_to_disown_them(kind: str) -> None:
    """In both parts; the reference is the page's."""
    sign_up = make_captcha(accepted=False, decoy=kind == "registered")
    message = build(make_delivery(sign_up, kind=kind))
    for part in (text_of(message), html_of(message)):
        assert f"http://testserver/signup/mute/{suppression.token_for(sign_up)}/" in part
        assert f"Reference {codes.reference_of(sign_up)}" in part


@pytest.mark.parametrize("kind", ACCOUNT_KINDS)
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", 'Sign-up email to this address is stopped until Feb. 3, 2026, because "This wasn\'t me" was chosen'),
        ("zh-hans", "2026年2月3日前不再向此邮箱发送注册邮件"),
        ("zh-hant", "2026年2月3日前不再寄送註冊郵件到此信箱"),
    ],
)
def test_mails_about_accounts_say_until_when_sign_up_mail_is_stopped(kind: str, language: str, words: str) -> None:
    """With the link that undoes it, in both parts: a scanner may have pressed the buttons, or the owner forgot."""
    delivery = make_delivery(kind=kind, user_id=make_user().pk, language=language)
    link = f"http://testserver/signup/mute/{suppression.undo_token_for(ALICE)}/"
    assert "/signup/mute/" not in str(build(delivery))
    delivery.suppression = Suppression(address=ALICE, until=datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    message = build(delivery)
    for part in (text_of(message), unescape(html_of(message))):
        assert words in part
        assert link in part
        assert "Reference" not in part


def test_other_mails_cant_be_disowned() -> None:
    """There is no request behind them."""
    message = build(make_delivery(kind="password_reset", user_id=make_user().pk))
    assert "/signup/mute/" not in str(message)
    assert "Reference" not in text_of(message)


@pytest.mark.parametrize(
    ("language", "subject", "time"),
    [
        ("en", "Your Doorcode password was changed", "(Feb. 3, 2026, 4:05 a.m. UTC)"),
        ("zh-hans", "Doorcode 密码已修改", "（2026年2月3日 04:05 UTC）"),
        ("zh-hant", "Doorcode 密碼已變更", "（2026年2月3日 04:05 UTC）"),
    ],
)
def test_the_mail_about_a_new_password_says_when(
    frozen_clock: FrozenClock, settings, language: str, subject: str, time: str
) -> None:
    """In UTC, whatever TIME_ZONE of its own a project has. It has a link to reset the password."""
    settings.TIME_ZONE = "Asia/Shanghai"
    frozen_clock.set(datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    delivery = make_delivery(kind="password_changed", user_id=make_user().pk, language=language)
    frozen_clock.move(hours=1)  # as the mail server was down
    message = build(delivery)
    assert message["Subject"] == subject
    assert time in text_of(message)
    assert "http://testserver/password-reset/" in text_of(message)


BUTTONS = {
    "code": "/signup/link/",
    "registered": "/login/",
    "password_reset": "/password-reset/MQ/",
    "password_changed": "/password-reset/",
}


@pytest.mark.parametrize("kind", Delivery.Kind.values)
def test_what_to_do_next_is_the_one_button(kind: str) -> None:
    """Above the line of the footer; the text has its link there too."""
    sign_up, user = make_captcha(accepted=False), make_user()
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    start = f"http://testserver{BUTTONS[kind].replace('MQ', uid)}"
    message = build(make_delivery(sign_up, kind=kind, user_id=user.pk))
    html = html_of(message)
    content, footer = html.split('<div class="quiet line"')
    (target,) = re.findall(r'<td class="button"[^>]*><a href="([^"]+)"', content)
    assert target.startswith(start)
    assert start not in footer
    *body, footer, _site = text_of(message).replace("\r", "").partition("\nReference")[0].strip().split("\n\n")
    assert start in "\n".join(body)
    assert start not in footer


@pytest.mark.parametrize("kind", Delivery.Kind.values)
def test_links_that_are_no_button_are_underlined(kind: str) -> None:
    """By the mail itself, as Roundcube's style takes the underline away, and their grey is that of the text around them."""
    delivery = make_delivery(make_captcha(accepted=False), kind=kind, user_id=make_user().pk)
    delivery.suppression = Suppression(address=ALICE, until=datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    links = re.findall(r"<a [^>]+>", html_of(build(delivery)))
    decorations = [re.search(r"text-decoration:(\w+)", link)[1] for link in links]
    assert decorations == ["none"] + ["underline"] * (len(links) - 1)


@pytest.mark.parametrize("kind", Delivery.Kind.values)
def test_apples_mail_makes_no_links_of_numbers(kind: str) -> None:
    """A code of eight digits is a telephone number in many countries, and a time an appointment."""
    delivery = make_delivery(make_captcha(accepted=False), kind=kind, user_id=make_user().pk)
    html = html_of(build(delivery))
    assert '<meta name="format-detection" content="telephone=no, date=no">' in html.partition("</head>")[0]


@pytest.mark.parametrize("kind", Delivery.Kind.values)
def test_no_mail_loads_anything(kind: str) -> None:
    """No image, font, script or style from anywhere."""
    sign_up = make_captcha(accepted=False)
    html = html_of(build(make_delivery(sign_up, kind=kind, user_id=make_user().pk)))
    assert not re.search(r"<img|<link|<script|url\(|@import| src=", html)


@pytest.mark.parametrize(("language", "side"), [("en", "left"), ("ar", "right")])
def test_outlook_draws_a_mail_as_others_do(language: str, side: str) -> None:
    """Its engine, Word's, knows no `text-align: start`, and no padding but that of a cell of a table."""
    html = html_of(build(make_delivery(make_captcha(accepted=False), language=language)))
    assert re.findall(r"text-align:(\w+)", html) == [side]
    ((of_cell, of_link),) = re.findall(
        r'<td class="button"[^>]*mso-padding-alt:([^;"]+).*?<a[^>]*;padding:([^;"]+)', html
    )
    assert of_cell == of_link
