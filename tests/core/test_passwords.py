"""Password rules and hashing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils import translation

from core import passwords
from core.passwords import Argon2idHasher, CommonPasswordValidator, LengthValidator, SimilarityValidator
from signup.models import User


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
    """Parallel sign-ups take turns: each hash has 19 MiB, which many at once evict from the processor's caches."""
    running, most, lock = 0, 0, threading.Lock()

    def slow(*args: object) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return ""

    monkeypatch.setattr(Argon2PasswordHasher, "encode", slow)
    monkeypatch.setattr(Argon2PasswordHasher, "verify", slow)
    with ThreadPoolExecutor(16) as pool:
        hashes = [pool.submit(Argon2idHasher().encode, "password", "salt") for _ in range(8)]
        hashes += [pool.submit(Argon2idHasher().verify, "password", "hash") for _ in range(8)]
        assert [each.result() for each in hashes] == [""] * 8 + [False] * 8
    assert most == passwords.AT_ONCE


def test_8_to_128_characters_pass() -> None:
    """The edges are inside."""
    LengthValidator().validate("x" * 8)
    LengthValidator().validate("x" * 128)


def test_common_passwords_are_refused() -> None:
    """By Django's list."""
    with pytest.raises(ValidationError, match="harder to guess"):
        CommonPasswordValidator().validate("password123")


def test_a_password_like_the_username_is_refused() -> None:
    """Username and address are what a guesser tries first."""
    with pytest.raises(ValidationError, match="less like your username or email address"):
        SimilarityValidator(user_attributes=("username", "email")).validate("alicealice1", User(username="alicealice"))
