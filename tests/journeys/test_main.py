"""The main journey: gunicorn, Celery worker, database, Redis and SMTP, all real."""

import pytest

from tests.servers import System, Visitor, link_in

pytestmark = pytest.mark.redis

WORDS = {
    "en": ("is your Doorcode code", "Your account is ready. You&#x27;re signed in", "en"),
    "zh-CN,zh;q=0.9": ("是你的 Doorcode 验证码", "注册成功，已自动登录", "zh-Hans"),
    "zh-TW": ("是您的 Doorcode 驗證碼", "註冊成功，已自動登入", "zh-Hant"),
}


@pytest.mark.parametrize("language", WORDS)
def test_a_visitor_registers_in_their_language(system: System, language: str) -> None:
    """Ask, read the mail, type the code: signed in, and mail and page are in the visitor's language."""
    subject, welcome, tag = WORDS[language]
    alice, email = Visitor(system.url, language=language), f"alice-{tag}@example.com".lower()
    asked = alice.post("/signup/", email=email)
    assert (asked.status_code, asked.headers["Location"]) == (303, "/signup/verify/")
    code, mail = system.mail.code(email), system.mail.wait_for(email)
    assert subject in mail["Subject"]
    assert mail["Content-Language"] == tag
    name = f"alice{len(tag)}{tag[-1]}"
    done = alice.post("/signup/verify/", email=email, captcha=code, username=name, password="correct horse b")
    assert (done.status_code, done.headers["Location"]) == (303, "/account/")
    page = alice.get("/account/").text
    assert name in page
    assert welcome in page


def test_the_link_registers_in_another_browser(system: System) -> None:
    """The mail opened on a phone needs no code there."""
    bob, phone = Visitor(system.url), Visitor(system.url)
    bob.post("/signup/", email="bob-link@example.com")
    link = link_in(system.mail.wait_for("bob-link@example.com"))
    assert phone.get(link).headers["Location"] == "/signup/verify/"
    assert "bob-link@example.com is confirmed" in phone.get("/signup/verify/").text
    fields = {"email": "bob-link@example.com", "username": "boblink", "password": "correct horse b"}
    assert phone.post("/signup/verify/", **fields).status_code == 303
    assert "boblink" in phone.get("/account/").text


def test_a_person_who_signed_up_signs_in_again(system: System) -> None:
    """By username or email address, in any case."""
    carol, email = Visitor(system.url), "carol@example.com"
    carol.post("/signup/", email=email)
    code = system.mail.code(email)
    carol.post("/signup/verify/", email=email, captcha=code, username="Carol", password="correct horse b")
    for name in ("carol", "CAROL", "Carol@Example.com"):
        again = Visitor(system.url)
        assert again.post("/login/", username=name, password="correct horse b").status_code == 302
        assert "carol@example.com" in again.get("/account/").text


def test_a_forgotten_password_is_reset(system: System) -> None:
    """The reset mail goes through the outbox; its token is made in the worker."""
    dave, email = Visitor(system.url), "dave@example.com"
    dave.post("/signup/", email=email)
    code = system.mail.code(email)
    dave.post("/signup/verify/", email=email, captcha=code, username="dave", password="correct horse b")
    other = Visitor(system.url)
    other.post("/password-reset/", email=email)
    link = link_in(system.mail.wait_for(email, number=2), "/password-reset/")
    form = other.get(link).headers["Location"]
    assert other.post(form, password="another horse b").status_code == 302
    assert "dave" in other.get("/account/").text
    again = Visitor(system.url)
    assert again.post("/login/", username="dave", password="another horse b").status_code == 302


def test_a_registered_address_gets_another_mail_and_the_same_answer(system: System) -> None:
    """Words, status, headers and cookies are those of a new address; the mail says that there is an account."""
    erin, email = Visitor(system.url), "erin@example.com"
    erin.post("/signup/", email=email)
    code = system.mail.code(email)
    erin.post("/signup/verify/", email=email, captcha=code, username="erin", password="correct horse b")
    stranger = Visitor(system.url)
    answer = stranger.post("/signup/", email=email)
    new = Visitor(system.url).post("/signup/", email="erin-new@example.com")
    assert (answer.status_code, answer.text, set(answer.headers)) == (new.status_code, new.text, set(new.headers))
    assert "already have an account at Doorcode" in system.mail.wait_for(email, number=2)["Subject"]
    wrong = stranger.post(
        "/signup/verify/", email=email, captcha="0000", username="mallory", password="correct horse b"
    )
    assert "does not match this email address. You can try 4 more times" in wrong.text


def test_the_probes_answer(system: System) -> None:
    """Every dependency is well."""
    assert Visitor(system.url).get("/healthz").json() == {"status": "ok"}
    ready = Visitor(system.url).get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"database": "ok", "redis": "ok", "broker": "ok"}
