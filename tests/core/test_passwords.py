"""Password rules and hashing."""

import multiprocessing
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import error_to_str
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils import translation

from core import passwords
from core.passwords import Argon2idHasher, CommonPasswordValidator, LengthValidator, SimilarityValidator
from signup.models import User

ARGON2_MEMORY_ALLOCATION_ERROR = -22


def test_argon2id_runs_at_owasps_minimum() -> None:
    """19 MiB, 2 passes, 1 lane stand in the hash, and it verifies."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", hasher.salt())
    assert encoded.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.verify("correct horse b", encoded)


@pytest.mark.parametrize(
    ("length", "language", "text"),
    [
        (7, "en", "Password must be at least 8 characters"),
        (7, "zh-hans", "密码至少需要 8 个字符"),
        (129, "en", "Password must be at most 128 characters"),
        (10_000_000, "zh-hant", "密碼不可超過 128 個字元"),
    ],
)
def test_errors_of_length_are_in_the_language(length: int, language: str, text: str) -> None:
    """Too short and too long."""
    with translation.override(language), pytest.raises(ValidationError) as refusal:
        LengthValidator().validate("x" * length)
    assert refusal.value.messages == [text]


def test_few_hashes_are_made_at_a_time(monkeypatch) -> None:
    """
    Parallel sign-ups take turns: each hash has 19 MiB, which many at once evict from the processor's caches. And few
    threads hash, as the C library keeps these 19 MiB for each thread that ever did.
    """
    running, most, threads, lock = 0, 0, set(), threading.Lock()

    def slow(*args: object) -> str:
        nonlocal running, most
        threads.add(threading.get_ident())
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return ""

    monkeypatch.setattr(Argon2PasswordHasher, "encode", slow)
    monkeypatch.setattr(Argon2idHasher, "_verify", slow)
    with ThreadPoolExecutor(16) as pool:
        hashes = [pool.submit(Argon2idHasher().encode, "password", "salt") for _ in range(8)]
        hashes += [pool.submit(Argon2idHasher().verify, "password", "hash") for _ in range(8)]
        assert [each.result() for each in hashes] == [""] * 16
    assert most == len(threads) == passwords.AT_ONCE


def test_a_lack_of_memory_is_no_wrong_password(monkeypatch) -> None:
    """The right password would be refused, and counted as a guess."""
    encoded = Argon2idHasher().encode("correct horse b", "salt of a hash")

    def verify(*args: object) -> bool:
        raise VerificationError(error_to_str(ARGON2_MEMORY_ALLOCATION_ERROR))

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    with pytest.raises(MemoryError):
        Argon2idHasher().verify("correct horse b", encoded)


def test_a_damaged_hash_has_no_password() -> None:
    """It is no server error."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", hasher.salt())
    assert not hasher.verify("correct horse b", encoded[:-9])


def test_a_forked_process_hashes_too() -> None:
    """A server may load the application, and hash, before it forks: the child has none of its parent's threads."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", hasher.salt())
    child = multiprocessing.get_context("fork").Process(target=hasher.verify, args=("correct horse b", encoded))
    child.start()
    child.join(timeout=20)
    child.kill()
    assert child.exitcode == 0


def test_8_to_128_characters_pass() -> None:
    """The edges are inside."""
    LengthValidator().validate("x" * 8)
    LengthValidator().validate("x" * 128)


def test_common_passwords_are_refused() -> None:
    """By Django's list."""
    with pytest.raises(ValidationError, match="harder to guess"):
        CommonPasswordValidator().validate("password123")


@pytest.mark.parametrize("password", ["doorcode", "DoorCode", "school of  arts", "schoolofarts", "上海市第一中学"])
def test_the_name_of_the_site_is_a_common_password(settings, password: str) -> None:
    """In each of its languages: it is the first word that comes to mind on the page."""
    settings.SITE_NAMES = {"": "Doorcode", "en": "School of  Arts", "zh-hans": "上海市第一中学"}
    with pytest.raises(ValidationError, match="harder to guess"):
        CommonPasswordValidator().validate(password)


def test_a_password_like_the_username_is_refused() -> None:
    """Username and address are what a guesser tries first."""
    with pytest.raises(ValidationError, match="less like your username or email address"):
        SimilarityValidator(user_attributes=("username", "email")).validate("alicealice1", User(username="alicealice"))


@pytest.mark.parametrize("composed", ["pässwörter", "Việt Nam ơi", "비밀번호입니다", "がぎぐげござじ"])
def test_a_password_is_hashed_in_one_form(composed: str) -> None:
    """A letter that one system writes composed, another one writes in parts; NFKC would be too much (NIST SP 800-63B-4)."""
    parts, hasher = unicodedata.normalize("NFD", composed), Argon2idHasher()
    assert parts != composed
    assert hasher.verify(parts, hasher.encode(composed, hasher.salt()))
    assert hasher.verify(composed, hasher.encode(parts, hasher.salt()))
    assert not hasher.verify("ﬁne password", hasher.encode("fine password", hasher.salt()))


def test_validators_judge_the_form_that_is_hashed() -> None:
    """Four letters in eight parts are too short, 128 in 384 are not too long; the list and the names are compared so too."""
    with pytest.raises(ValidationError, match="at least 8"):
        LengthValidator().validate(unicodedata.normalize("NFD", "ä" * 4))
    LengthValidator().validate(unicodedata.normalize("NFD", "각" * 128))
    for length in (129, 100_000):
        with pytest.raises(ValidationError, match="at most 128"):
            LengthValidator().validate("\u0301" * length)
    with pytest.raises(ValidationError, match="less like"):
        SimilarityValidator(user_attributes=("username", "email")).validate(
            unicodedata.normalize("NFD", "비밀번호비밀번호"), User(username="비밀번호비밀번호")
        )


def test_the_list_of_common_passwords_is_compared_in_the_form_that_is_hashed(tmp_path) -> None:
    """A list of a site's own may hold words with accents."""
    words = tmp_path / "words.txt"
    words.write_text("pässwörter\n", encoding="utf-8")
    with pytest.raises(ValidationError, match="harder to guess"):
        CommonPasswordValidator(words).validate(unicodedata.normalize("NFD", "pässwörter"))


def test_a_long_password_is_not_normalized() -> None:
    """That takes time quadratic in the number of combining marks."""
    long = "e\u0301" * 32_000
    assert passwords.normalize(long) == long
    assert len(passwords.normalize("e\u0301" * 128)) == 128
