"""The forms of the journey: shape first, then the code, then whether the username is free."""

import pytest
from django.utils import translation

from signup.accounts.forms import LoginForm
from signup.forms import ChangeForm, EmailForm, RegisterForm
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, make_captcha, make_pending, make_user, right, wrong
from verification import codes
from verification.models import AddressGuesses, CaptchaModel

pytestmark = pytest.mark.django_db

FIELDS = {"email": ALICE, "username": "alice", "password": PASSWORD, "captcha": ""}


def form_of(sign_up: CaptchaModel, /, link: str = "", **fields: str) -> RegisterForm:
    return RegisterForm(FIELDS | fields, sign_up=sign_up, proof=link)


def error_codes(form: EmailForm | RegisterForm) -> dict[str, list[str]]:
    return {field: [error.code for error in errors] for field, errors in form.errors.as_data().items()}


def test_a_form_without_a_request_is_that_of_a_lost_one() -> None:
    """Of `forms.Form(data)`, as Django's docs and other people's tests have it."""
    assert error_codes(RegisterForm(FIELDS | {"captcha": "1234"})) == {"captcha": ["session_lost"]}
    assert error_codes(RegisterForm(FIELDS | {"username": "a b"})) == {
        "username": ["characters"],
        "captcha": ["session_lost"],
    }
    assert not RegisterForm().is_bound


@pytest.mark.parametrize("form", [RegisterForm(), LoginForm()])
def test_no_keyboard_changes_a_name_that_is_typed(form: RegisterForm | LoginForm) -> None:
    """In a field for an email address none does; in one for text, phones put a word that they know in its place."""
    attributes = form["username"].field.widget.attrs
    expected = {"autocapitalize": "none", "autocorrect": "off", "spellcheck": "false"}
    assert expected.items() <= attributes.items()


@pytest.mark.parametrize(
    ("typed", "code"),
    [("", "required"), ("   ", "required"), ("alice", "invalid"), ("a" * 70_000, "invalid"), ("alice\x00@example.com", "invalid"),
     ("alice@example.com\r\nBcc: x@y.z", "invalid"), ("\ud800@example.com", "invalid"), ("alice@exam\u200bple.com", "invalid"),
     ('"alice"@example.com', "invalid"), ("alice@[127.0.0.1]", "invalid")],
)  # fmt: skip
def test_a_bad_address_is_an_error_at_the_field(typed: str, code: str) -> None:
    """One error, about its format."""
    assert error_codes(EmailForm({"email": typed})) == {"email": [code]}


def test_a_good_address_is_canonical() -> None:
    """Full width too."""
    form = EmailForm({"email": "ＡＬＩＣＥ＠example.com "})
    assert form.is_valid()
    assert form.cleaned_data["email"] == ALICE


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "This email address is already registered"),
        ("zh-hans", "邮箱已经被注册"),
        ("zh-hant", "此信箱已註冊"),
    ],
)
def test_the_forms_reveal_registered_addresses_only_if_the_site_says_so(settings, language: str, text: str) -> None:
    """SIGNUP_REVEAL_REGISTERED."""
    make_user()
    assert EmailForm({"email": ALICE}).is_valid()
    assert ChangeForm({"new_email": ALICE}).is_valid()
    settings.SIGNUP_REVEAL_REGISTERED = True
    with translation.override(language):
        assert EmailForm({"email": ALICE}).errors["email"] == [text]
        assert ChangeForm({"new_email": ALICE}).errors["new_email"] == [text]
        assert form_of(make_captcha(), captcha="1234").errors["email"] == [text]
    make_pending(BOB)
    assert EmailForm({"email": BOB}).is_valid()


def test_no_form_lets_an_address_in_whose_domain_the_site_excludes(settings) -> None:
    """Neither the first one, nor that for another address."""
    settings.SIGNUP_DENIED_DOMAINS = ["example.com"]
    assert EmailForm({"email": ALICE}).has_error("email", "domain")
    assert ChangeForm({"new_email": ALICE}).has_error("new_email", "domain")


def test_register_form_keeps_its_names() -> None:
    """Its fields, in their order, and the methods that clean them are known outside the project."""
    assert list(form_of(make_captcha()).fields) == ["email", "username", "password", "captcha"]
    assert {"clean_email", "clean_captcha"} <= set(dir(RegisterForm))


def test_shape_errors_come_all_together_and_count_nothing() -> None:
    """The code is not compared, even if it is right."""
    sign_up = make_captcha()
    form = form_of(sign_up, username="", password="short", captcha="12")
    assert error_codes(form) == {"username": ["required"], "password": ["password_too_short"], "captcha": ["invalid"]}
    form = form_of(sign_up, username="x", captcha=right(sign_up))
    assert error_codes(form) == {"username": ["length"]}
    sign_up.refresh_from_db()
    assert (sign_up.attempts, sign_up.proven_at, AddressGuesses.objects.count()) == (0, None, 0)


@pytest.mark.parametrize(
    ("field", "typed", "code"),
    [("username", "a@b.c", "characters"), ("username", "x" * 21, "length"), ("username", "a\x00b", "characters"),
     ("password", "", "required"), ("password", "password", "password_too_common"), ("password", "12345678", "password_too_common"),
     ("password", "alicealice", "password_too_similar"), ("password", "x" * 129, "password_too_long"), ("password", "a\x00bcdefgh", "null_characters_not_allowed"),
     ("captcha", "", "required"), ("captcha", "abcd", "invalid"), ("captcha", "12345", "invalid"), ("captcha", "١٢34", "invalid"),
     ("captcha", "+123", "invalid"), ("captcha", "1\x0034", "invalid"), ("captcha", "1" * 70_000, "invalid"), ("email", "", "required")],
)  # fmt: skip
def test_bad_input_is_an_error_at_its_field(field: str, typed: str, code: str) -> None:
    """Each by its own code, with nothing counted."""
    form = form_of(make_captcha(), **{"username": "alicealice", "captcha": "1234", field: typed})
    assert error_codes(form)[field] == [code]
    assert not AddressGuesses.objects.exists()


@pytest.mark.parametrize("style", ["{0}{1}{2}{3}", " {0}{1} {2}{3} ", "{0}{1}-{2}{3}"])
def test_the_right_code_is_right_however_it_is_typed(style: str) -> None:
    """Spaces, dashes, full width."""
    sign_up = make_captcha()
    full_width = right(sign_up).translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    assert form_of(sign_up, captcha=style.format(*full_width)).is_valid()


@pytest.mark.parametrize("captcha", [1234, 12.5, True, [], ["1234"], {"1": 2}, b"1234"])
def test_what_is_no_text_is_an_error_at_the_code(captcha: object) -> None:
    """As code of a site, or a test, may give it."""
    sign_up = make_captcha()
    form = RegisterForm(
        {"email": ALICE, "captcha": captcha, "username": "alice", "password": PASSWORD}, sign_up=sign_up
    )
    assert list(form.errors) == ["captcha"]
    sign_up.refresh_from_db()
    assert sign_up.attempts == 0


def test_the_code_of_another_address_is_a_mismatch() -> None:
    """Bob's code for Alice, and Alice's handle with Bob's address."""
    alice, bob = make_captcha(), make_captcha(BOB)
    assert error_codes(form_of(alice, captcha=right(bob) if right(bob) != right(alice) else wrong(alice))) == {
        "captcha": ["mismatch"]
    }
    assert error_codes(form_of(alice, email=BOB, captcha=right(alice))) == {"captcha": ["mismatch"]}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "That code does not match this email address. You can try 4 more times"),
        ("zh-hans", "验证码和邮箱不匹配，还可以尝试 4 次"),
        ("zh-hant", "驗證碼與電子郵件不符，還可以再試 4 次"),
    ],
)
def test_a_wrong_code_says_what_is_left(language: str, text: str) -> None:
    """At the code's field."""
    sign_up = make_captcha()
    with translation.override(language):
        assert form_of(sign_up, captcha=wrong(sign_up)).errors == {"captcha": [text]}


def test_a_refused_code_is_shown_no_more() -> None:
    """The page sends the next one with its last digit: it must not be typed behind this one."""
    sign_up = make_captcha()
    form = form_of(sign_up, captcha=wrong(sign_up))
    assert not form.is_valid()
    assert (form["captcha"].value(), form["username"].value()) == ("", "alice")


def test_one_more_time_is_singular(frozen_clock: FrozenClock) -> None:
    """Then none, then only a new code helps."""
    sign_up = make_captcha()
    CaptchaModel.objects.update(attempts=3)
    sign_up.refresh_from_db()
    errors = []
    for _ in range(3):
        errors += form_of(sign_up, captcha=wrong(sign_up)).errors["captcha"]
        sign_up.refresh_from_db()
    assert errors == [
        "That code does not match this email address. You can try 1 more time",
        "That code does not match this email address. Get a new code",
        "Too many wrong codes. Get a new code",
    ]
    frozen_clock.move(seconds=600)
    assert form_of(sign_up, captcha=right(sign_up)).errors["captcha"] == ["That code has expired. Get a new code"]


def test_a_lost_handle_starts_again(frozen_clock: FrozenClock) -> None:
    """At the code's field, uncounted, also with the right code."""
    sign_up = make_captcha()
    frozen_clock.move(days=1)
    for code in (wrong(sign_up), right(sign_up)):
        assert error_codes(form_of(sign_up, captcha=code)) == {"captcha": ["session_lost"]}
    assert not AddressGuesses.objects.exists()


def test_only_after_the_right_code_a_taken_name_is_an_error() -> None:
    """The proof stays, so no code is needed any more."""
    make_user("Bob", BOB)
    sign_up = make_captcha()
    assert error_codes(form_of(sign_up, username="bob", captcha=wrong(sign_up))) == {"captcha": ["mismatch"]}
    sign_up.refresh_from_db()
    form = form_of(sign_up, username="bob", captcha=right(sign_up))
    assert error_codes(form) == {"username": ["username_taken"]}
    assert form.is_proven
    assert form_of(CaptchaModel.objects.get(), link=form.new_proof).is_valid()


def test_the_link_stands_in_for_the_code() -> None:
    """Only the right link."""
    sign_up = make_captcha()
    assert error_codes(form_of(sign_up, link="x" * 32)) == {"captcha": ["required"]}
    assert form_of(sign_up, link=codes.proof_of(sign_up) or "").is_valid()


def test_a_name_that_a_parallel_request_took_is_an_error_at_its_field() -> None:
    """It was free when the form was validated, and taken when the form was saved."""
    make_pending()
    sign_up = make_captcha()
    form = form_of(sign_up, captcha=right(sign_up))
    assert form.is_valid()
    make_user("ALICE", BOB)
    assert form.save() is None
    assert error_codes(form) == {"username": ["username_taken"]}
    proof = form.new_proof
    form = form_of(CaptchaModel.objects.get(), link=proof, username="alice2")
    assert form.is_valid()
    twin = form_of(CaptchaModel.objects.get(), link=proof, username="alice3")
    assert twin.is_valid()
    assert form.save()
    assert twin.save() is None
    assert error_codes(twin) == {"captcha": ["already_redeemed"]}


def test_the_slower_of_two_equal_posts_is_told_that_the_sign_up_is_finished() -> None:
    """Not that its username is taken: its own account has it."""
    make_pending()
    sign_up = make_captcha()
    form = form_of(sign_up, captcha=right(sign_up))
    assert form.is_valid()
    read_before = CaptchaModel.objects.get()
    assert form.save()
    twin = form_of(read_before, link=form.new_proof)
    assert twin.is_valid()
    assert twin.save() is None
    assert error_codes(twin) == {"captcha": ["already_redeemed"]}


def test_an_address_that_got_an_account_meanwhile_is_an_error() -> None:
    """Shown only after the proof of the mailbox."""
    make_user()
    sign_up = make_captcha()
    form = form_of(sign_up, username="alice2", captcha=right(sign_up))
    assert form.is_valid()
    assert form.save() is None
    assert error_codes(form) == {"email": ["email_registered"]}
