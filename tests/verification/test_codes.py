"""Codes and links, derived."""

import re
import time
from timeit import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verification import codes
from verification.models import CaptchaModel

GIVEN = {"key": "key", "nonce": "0" * 32, "address": "alice@example.com", "generation": 1, "length": 4}


@given(st.text(), st.text(), st.emails(), st.integers(1, 1000), st.integers(4, 10))
def test_a_code_has_its_digits_and_is_always_the_same(key, nonce, address, generation, length) -> None:
    """Any input gives ASCII digits of the wanted length, twice alike."""
    facts = {"key": key, "nonce": nonce, "address": address, "generation": generation, "length": length}
    code = codes.derive_code(**facts)
    assert len(code) == length
    assert code.isascii()
    assert code.isdecimal()
    assert codes.derive_code(**facts) == code


@pytest.mark.parametrize(
    "change", [{"key": "other"}, {"nonce": "1" * 32}, {"address": "bob@example.com"}, {"generation": 2}]
)
def test_key_nonce_address_and_generation_each_change_the_code(change: dict) -> None:
    """Another key, nonce, address or generation is another code."""
    assert codes.derive_code(**GIVEN | {"length": 10}) != codes.derive_code(**GIVEN | {"length": 10} | change)


def test_a_longer_code_says_nothing_of_the_shorter() -> None:
    """Neither end of it is the old one."""
    short, long = codes.derive_code(**GIVEN), codes.derive_code(**GIVEN | {"length": 8})
    assert not long.startswith(short)
    assert not long.endswith(short)


def test_each_purpose_has_a_key_of_its_own(settings) -> None:
    """Whoever chooses the seeds of a handle, as by an Idempotency-Key, learns nothing of a link."""
    link = codes.derive_proof(key=settings.SECRET_KEY, handle="h", nonce="n", generation=1)
    assert codes.handle_for("h", "n", "1") != link[:24]


def test_values_above_the_last_whole_multiple_are_drawn_again(monkeypatch) -> None:
    """A number that would favour small codes is not used."""
    draws = iter([b"\xff" * 32, (1234).to_bytes(32)])
    monkeypatch.setattr(codes, "_mac", lambda *_: next(draws))
    assert codes.derive_code(**GIVEN | {"length": 4}) == "1234"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("1234", "1234"),
        ("0012", "0012"),
        (" 12 34 ", "1234"),
        ("12-34", "1234"),
        ("12–34", "1234"),
        ("12\u00a034", "1234"),
        ("１２３４", "1234"),
        ("１２　３４", "1234"),
        ("12.34", "1234"),
        ("①②③④", "1234"),
        ("+123", None),
        ("1_23", None),
        ("12e4", None),
        ("0x12", None),
        ("12\x0034", None),
        ("", None),
        ("  ", None),
        ("abcd", None),
        ("\ud800", None),
    ],
)
def test_what_a_person_meant(typed: str, meant: str | None) -> None:
    """Separators and full width are forgiven; signs and underscores are not part of a code."""
    assert codes.normalize(typed) == meant


@pytest.mark.parametrize(
    "typed",
    ["\u200b1234", "\u202d1234\u202c", "\ufeff1234", "12\u200b34", "1234\u00ad", "\u20681234\u2069", "1234\u3164", "\u200e1234\u200f"],
)  # fmt: skip
def test_invisible_characters_in_a_code_are_forgiven(typed: str) -> None:
    """A copied text has them."""
    assert codes.normalize(typed) == "1234"


@pytest.mark.parametrize("typed", ["١٢٣٤", "۱۲۳۴", "१२३४", "১২৩৪", "๑๒๓๔", "１２３４", "١٢ ٣٤", "𝟏𝟐𝟑𝟒"])
def test_a_code_may_be_typed_in_the_digits_of_any_script(typed: str) -> None:
    """As the visitor's keyboard has them."""
    assert codes.normalize(typed) == "1234"


@pytest.mark.parametrize(
    "typed",
    ["1234。", "1234.", "验证码：1234", "验证码:1234。", "驗證碼1234", "【站点】您的验证码 1234", "您的验证码是“1234”", "Code: 1234", "1234 is your Doorcode code",
     "Your code is 1234!", "(1234)", "*1234*", "`1234`", "「1234」", "कोड: 1234", "رمز التحقق: ١٢٣٤", "D-1234", "код — 1234", "1234，",
     "«1234»", "‹1234›", "„1234“", "‚1234‘", "¡1234!", "¿1234?", "رمز التحقق: 1234،", "1234؛", "1234؟", "• 1234", "〔1234〕", "〖1234〗", "1234…",
     "[EXTERNAL] 1234 is your code", "{Spam?} 1234", "［外部邮件］1234 是你的验证码", "[EXT]: [Spam] 1234", "*****SPAM***** 1234"],
)  # fmt: skip
def test_words_around_a_code_are_forgiven(typed: str) -> None:
    """Words that are copied from the mail with it."""
    assert codes.normalize(typed) == "1234"


@pytest.mark.parametrize(
    "typed",
    ["1234 or 5678", "验证码：1234，10 分钟内有效", "1234 (5678)", "12/34", "1:234", "1,234", "12٣٤", "١٢۳۴", "['1234']", "[1234]", "{1234}", "[a 1234]", "[a]1[b]234", "[] 1234", "1234 [a]", "［1234］", "1234%", "/1234", "1234/",
     "+1234", "+ 1234", "_1234", "x1234", "1234e", "1234+1", "1234=", "½", "12345678" * 8 + "9", "验" * 61 + "1234"],
)  # fmt: skip
def test_what_is_not_one_run_of_digits_of_one_script_is_no_code(typed: str) -> None:
    """Two numbers, two scripts, a list, a sign, and what is too long."""
    assert codes.normalize(typed) is None


def test_no_code_is_slow_to_read() -> None:
    """Not even the longest that almost is one."""
    for typed in (
        ". " * 32,
        "1." * 31 + "._",
        "a " * 31 + "_1",
        "1 " + "." * 61 + "_",
        "[a" * 32,
        "[a]" * 21,
        "[" + "a" * 63,
        "\ufdfa" * 64,
    ):
        # timeit counts no garbage collection, which can take longer than this
        assert timeit(lambda typed=typed: codes.normalize(typed), number=1, timer=time.process_time) < 0.05


@given(st.text())
def test_normalizing_gives_ascii_digits_or_nothing(typed: str) -> None:
    """Never anything that int() alone would take."""
    meant = codes.normalize(typed)
    assert meant is None or (meant.isascii() and meant.isdecimal())


def test_a_proof_is_bound_to_handle_nonce_and_generation() -> None:
    """192 bits, URL-safe, and nothing of it carries over."""
    given = {"key": "key", "handle": "handle", "nonce": "nonce", "generation": 1}
    proof = codes.derive_proof(**given)
    assert len(proof) == 32
    others = [{"key": "k"}, {"handle": "h"}, {"nonce": "n"}, {"generation": 2}]
    assert len({proof, *(codes.derive_proof(**given | other) for other in others)}) == 5


def test_a_key_id_is_no_part_of_the_key() -> None:
    """16 hexadecimal digits, different for each key."""
    assert len(codes.key_id("secret")) == 16
    assert codes.key_id("secret") != codes.key_id("secret2")


def test_comparing_takes_any_text_and_nothing_equals_none() -> None:
    """Even what no encoding holds."""
    assert codes.same("1234", "1234")
    assert not codes.same("1234", "\ud800")
    assert not codes.same(None, "")


def test_a_reference_is_four_letters_of_its_generation(settings) -> None:
    """No vowel, no digit, nothing of the link's proof; another for each request, generation and key."""
    key_id = codes.current_key_id()
    one, other = (CaptchaModel(handle=handle, generation=1, key_id=key_id) for handle in "hi")
    seen = {codes.reference_of(one), codes.reference_of(other), codes.reference_of(one, generation=2)}
    settings.SECRET_KEY = "another-key"
    assert codes.reference_of(one) == ""
    seen.add(codes.reference_of(CaptchaModel(handle="h", generation=1, key_id=codes.current_key_id())))
    assert len(seen) == 4
    assert all(re.fullmatch("[BCDFGHJKMNPQRSTVWXYZ]{4}", reference) for reference in seen)


def test_each_letter_of_a_reference_is_drawn_by_itself() -> None:
    """So 160,000 differ: the page and the mail of a request show the same one, and hardly two requests do."""
    row = CaptchaModel(handle="h", generation=1, key_id=codes.current_key_id())
    references = [codes.reference_of(row, generation=number) for number in range(1, 200)]
    assert references[0] == codes.reference_of(row)
    places = list(zip(*references, strict=True))
    assert [len(set(place)) for place in places] == [20] * 4
    assert len(set(places)) == 4
