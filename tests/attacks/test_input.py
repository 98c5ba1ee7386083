"""Hostile and merely strange input at the forms: attacks 19 to 30. The API's are in test_api.py."""

import pytest
from django.test import Client

from signup.models import User
from tests.factories import ALICE, make_user, right, text_of
from tests.steps import ask, verify
from worker import messages
from worker.models import Delivery

pytestmark = pytest.mark.django_db

FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
FORMS = ["/signup/", "/signup/verify/", "/signup/resend/", "/login/", "/password-reset/", "/i18n/setlang/"]
SRS = "SRS0=Idic=JT=example.org=bob"  # the sender of a mail that example.com forwarded for bob@example.org
FIELDS = ["email", "captcha", "username", "password", "next", "once", "language"]


@pytest.mark.parametrize(
    "write",
    [
        lambda code: code.translate(FULL_WIDTH),
        lambda code: f"{code[:2]} {code[2:]}",
        lambda code: f"{code[:2]}-{code[2:]}",
        lambda code: f" {code}\n",
        lambda code: f"{code[0]}　{code[1]}–{code[2]}·{code[3]}",
        lambda code: code.translate(ARABIC),
        lambda code: code.translate(PERSIAN),
        lambda code: f"\u200b{code}",
        lambda code: f"\u202d{code}\u202c",
        lambda code: f"{code}。",
        lambda code: f"验证码：{code}",
    ],
)
def test_19_people_write_digits_in_many_ways(client: Client, write) -> None:
    """Full width, spaces, dashes, words around: what a keyboard or a copied mail gives."""
    sign_up = ask(client)
    assert verify(client, sign_up, captcha=write(right(sign_up))).status_code == 303


@pytest.mark.parametrize(
    "write",
    [
        lambda code: code[:2].translate(ARABIC) + code[2:],
        lambda code: code[:2].translate(ARABIC) + code[2:].translate(PERSIAN),
        lambda code: f"{code}, 10 min",
        lambda code: f"+{code}",
        lambda code: f"{code[0]}_{code[1:]}",
        lambda code: f"{code}.0",
        lambda code: f"0{code}",
        lambda code: f"['{code}']",
        lambda code: f"{code}\u200b"[1:],
    ],
)
def test_19_what_python_would_take_for_a_number_is_no_code(client: Client, write) -> None:
    """It is a shape error, and counts no try."""
    sign_up = ask(client)
    assert "The code must be 4 digits" in text_of(verify(client, sign_up, captcha=write(right(sign_up))))
    sign_up.refresh_from_db()
    assert sign_up.attempts == 0


def test_19_a_field_given_twice_is_its_last(client: Client) -> None:
    """A list is never compared."""
    sign_up = ask(client)
    many = [f"{number:04}" for number in range(10_000) if f"{number:04}" != right(sign_up)][:50]
    assert verify(client, sign_up, captcha=many).status_code == 400
    sign_up.refresh_from_db()
    assert sign_up.attempts == 1


NASTY = ["é", "用户", "🙂", "\u202e", "\ufeff", "\x7f", "a" * 5_000, "%", "' OR 1=1 --", "{{7*7}}", "${jndi:x}", "\\"]


@pytest.mark.parametrize("text", NASTY)
def test_20_no_character_is_a_server_error(client: Client, text: str) -> None:
    """In any field of any form; the answer is a page with a message, or a redirect."""
    ask(client)
    for form in FORMS:
        for field in FIELDS:
            answer = client.post(form, {"email": ALICE, field: text})
            assert answer.status_code in (200, 302, 303, 400, 404, 429), (form, field)


@pytest.mark.parametrize("parameters", ["name*=a; name*0=b", "name*=unknown''a", "name*0*=a; name=b"])
def test_20_no_header_of_a_part_is_a_server_error(client: Client, parameters: str) -> None:
    """Of a form, nor of a body that a call does not take."""
    body = f"--x\r\nContent-Disposition: form-data; {parameters}\r\n\r\ntext\r\n--x--\r\n"
    for path in (*FORMS, "/api/captchas/"):
        answer = client.generic("POST", path, body, content_type="multipart/form-data; boundary=x")
        assert answer.status_code in (302, 400, 415), path


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ſam@example.com", "sam@example.com"),
        ("K@example.com", "k@example.com"),  # the Kelvin sign
        ("alıce@example.com", None),  # dotless
        ("alİce@example.com", None),  # dotted capital
    ],
)
def test_21_letters_that_fold_into_others(client: Client, typed: str, stored: str | None) -> None:
    """Either refused, or one canonical address that the mail goes to as well."""
    answer = client.post("/signup/", {"email": typed})
    assert answer.status_code == (303 if stored else 400)
    assert list(User.objects.values_list("email", flat=True)) == [stored] * bool(stored)
    assert list(Delivery.objects.values_list("recipient", flat=True)) == [stored] * bool(stored)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("alice@ｅｘａｍｐｌｅ.com", "alice@example.com"),
        ("alice@example。com", "alice@example.com"),
        ("alice@BÜCHER.example", "alice@xn--bcher-kva.example"),
        ("alice@exam\ufe0fple.com", "alice@example.com"),  # a variation selector, which IDNA drops
        ("alice@exam\u200bple.com", None),
        ("alice@exam\u00adple.com", None),
        ("alice@example\u2028.com", None),
        ("alice@[127.0.0.1]", None),
        ('"alice"@example.com', None),
    ],
)
def test_22_domains_in_disguise(client: Client, typed: str, stored: str | None) -> None:
    """Refused, or canonical; the mail never goes to what was typed."""
    answer = client.post("/signup/", {"email": typed})
    assert answer.status_code == (303 if stored else 400)
    assert list(Delivery.objects.values_list("recipient", flat=True)) == [stored] * bool(stored)


@pytest.mark.parametrize("local", ["bob%example.org", "example.org!bob", "bob％example.org", "=?utf-8?q?b=6fb?=", SRS])
def test_22_no_address_leads_to_another_domain(client: Client, settings, local: str) -> None:
    """
    A company's own Postfix would mail the code to bob@example.org: so anybody could sign up where only its addresses
    may, and mail any mailbox past the limits.
    """
    settings.SIGNUP_ALLOWED_DOMAINS = ["example.com"]
    address = {"email": f"{local}@example.com"}
    assert client.post("/signup/", address).status_code == 400
    assert client.post("/api/captchas/", address, content_type="application/json").status_code == 400
    ask(client)
    assert client.post("/signup/change/", {"new_email": address["email"]}).status_code == 400
    assert list(Delivery.objects.values_list("recipient", flat=True)) == [ALICE]


def test_23_one_account_for_one_canonical_address(client: Client) -> None:
    """However it is written; the database says so too (both databases: test_races.py)."""
    assert verify(client, ask(client, "Alice@Example.COM"), email="ALICE@example.com").status_code == 303
    for typed in ("alice@example.com", "ALICE@EXAMPLE.COM", "ａｌｉｃｅ@example.com"):
        assert ask(Client(), typed).decoy
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "tail", ["\r\nBcc: eve@evil.example", "\nBcc: eve@evil.example", "%0d%0aBcc: eve@evil.example"]
)
@pytest.mark.parametrize("field", ["email", "next", "username"])
def test_24_line_breaks_reach_no_header(client: Client, field: str, tail: str) -> None:
    """Neither one of the mail nor one of the answer."""
    if field == "username":
        answer = verify(client, ask(client), username="alice" + tail)
    else:
        given = {"email": ALICE, "next": "/account/"}
        answer = client.post("/signup/", {**given, field: given[field] + tail})
    assert answer.status_code == (303 if field == "next" else 400)
    assert not any("evil" in value and name != "Set-Cookie" for name, value in answer.headers.items())
    for delivery in Delivery.objects.select_related("sign_up", "user"):
        assert b"evil.example" not in messages.build(delivery).message().as_bytes()


@pytest.mark.parametrize("field", FIELDS)
def test_25_null_characters_are_an_error_at_the_field(client: Client, field: str) -> None:
    """PostgreSQL stores none: they never get there."""
    sign_up = ask(client)
    for form in FORMS:
        assert client.post(form, {"email": ALICE, field: "a\x00b"}).status_code < 500
    assert verify(client, sign_up, username="a\x00b").status_code == 400
    assert verify(client, sign_up, password="longenough\x00x").status_code == 400


@pytest.mark.parametrize("form", FORMS)
def test_26_half_surrogates_and_broken_utf8_are_no_server_error(client: Client, form: str) -> None:
    """In the body, in the query, in a cookie, and under another encoding's name."""
    ask(client)
    for body in (b"email=%ED%A0%80@example.com", b"email=\xff\xfe", b"username=%ED%BF%BF&password=x&captcha=%FF"):
        kind = "application/x-www-form-urlencoded"
        assert client.generic("POST", form, body, kind).status_code < 500
        assert client.generic("POST", form, body, f"{kind}; charset=utf-7").status_code == 415
    assert client.get(f"{form}?next=%ED%A0%80").status_code < 500
    client.cookies["doorcode_signup"] = "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")
    assert client.get("/signup/verify/").status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_28_large_bodies_and_files_are_refused_unread(client: Client, form: str) -> None:
    """Over 64 KiB: 413, in the visitor's language."""
    body = b"email=" + b"a" * 65_536
    answer = client.post(
        form, body, content_type="application/x-www-form-urlencoded", headers={"Accept-Language": "zh-hans"}
    )
    assert answer.status_code == 413
    assert "返回" in text_of(answer)
    upload = b'--x\r\nContent-Disposition: form-data; name="email"; filename="a"\r\n\r\n' + b"a" * 70_000 + b"\r\n--x--"
    assert client.post(form, upload, content_type="multipart/form-data; boundary=x").status_code == 413


def test_28_many_fields_are_refused(client: Client) -> None:
    """A hash table is not to be filled by strangers."""
    fields = {f"f{n}": "x" for n in range(200)}
    assert client.post("/signup/", {"email": ALICE} | fields).status_code == 400
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("length", [129, 60_000])
def test_29_long_passwords_are_never_hashed(client: Client, monkeypatch, length: int) -> None:
    """At sign-up, sign-in, change and reset: over 128 characters is an error, and costs no Argon2."""
    make_user()
    sign_up = ask(client, "bob@example.com")
    hashed: list[int] = []
    monkeypatch.setattr("django.contrib.auth.hashers.MD5PasswordHasher.encode", lambda *args: hashed.append(1) or "x")
    long = "x" * length
    assert verify(client, sign_up, password=long, username="bob").status_code == 400
    assert client.post("/login/", {"username": "alice", "password": long}).status_code == 400
    assert hashed == []


@pytest.mark.parametrize(
    "username",
    [
        "a@b.example",
        "www.evil.example",
        "https://evil",
        "a/b",
        "a:b",
        "аdmin",
        "раypal",
        "ad\u200bmin",
        "a b",
        "<b>",
        "..",
        "user١",
        "관리자\u1160",
        "\u3164\u3164",
    ],
)
def test_30_usernames_that_pass_for_something_else(client: Client, username: str) -> None:
    """Addresses, links, mixed scripts and digits, hidden characters."""
    sign_up = ask(client)
    answer = verify(client, sign_up, username=username)
    assert answer.status_code == 400
    assert "in the username" in text_of(answer)
    assert not User.objects.filter(is_active=True).exists()


def test_30_names_of_one_script_are_fine(client: Client) -> None:
    """With digits; and one that looks alike after folding is taken."""
    assert verify(client, ask(client), username="小明2024").status_code == 303
    other = Client()
    sign_up = ask(other, "bob@example.com")
    assert "That username is taken" in text_of(verify(other, sign_up, username="小明２０２４"))


@pytest.mark.parametrize("username", ["a1ice", "Al\u0131ce", "аlісе".replace("l", "\u04cf")])
def test_30_names_that_look_alike_are_taken(client: Client, username: str) -> None:
    """Other letters, the same look: nobody passes for another person."""
    make_user("alice", "alice@example.org")
    assert "That username is taken" in text_of(verify(client, ask(client), username=username))


@pytest.mark.parametrize("username", ["admin", "Adm\u0131n", "r00t", "support", "管理员", "客服", "管理員"])
def test_30_nobody_passes_for_the_sites_staff(client: Client, username: str) -> None:
    """Names of staff are reserved, and those that look like them."""
    assert "That username is taken" in text_of(verify(client, ask(client), username=username))
    assert not User.objects.filter(is_active=True).exists()
