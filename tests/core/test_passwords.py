"""Password rules and hashing."""

import multiprocessing
import os
import resource
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import nacl.pwhash
import pytest
from argon2 import PasswordHasher
from argon2.low_level import Type, hash_secret
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

    def slow(*args: object, **options: object) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return b""

    monkeypatch.setattr(nacl.pwhash.argon2id, "kdf", slow)
    monkeypatch.setattr(nacl.pwhash, "verify", slow)
    hasher = Argon2idHasher()
    encoded = hasher.encode("password", hasher.salt())
    with ThreadPoolExecutor(16) as pool:
        hashes = [pool.submit(hasher.encode, "password", hasher.salt()) for _ in range(6)]
        hashes += [pool.submit(hasher.verify, "password", encoded) for _ in range(6)]
        hashes += [pool.submit(hasher.verify, "password", "an imported hash") for _ in range(6)]
        wait(hashes)
    assert most == passwords.AT_ONCE


def test_hashing_keeps_no_memory() -> None:
    """The C library's own allocation would keep 19 MiB for each of the threads of a web process."""
    hasher = Argon2idHasher()
    with ThreadPoolExecutor(8) as pool:
        before = _resident()
        list(pool.map(lambda _: hasher.encode("password", hasher.salt()), range(16), timeout=60))
        assert _resident() < before + 19 * 2**20


def _resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("do", ["encode", "verify"])
def test_a_lack_of_memory_is_no_wrong_password(do: str) -> None:
    """The right password would be refused, and counted as a guess."""
    hasher = Argon2idHasher()
    salt = hasher.salt()
    argument = salt if do == "encode" else hasher.encode("correct horse b", salt)

    def hash_without_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1, 1))
        try:
            getattr(hasher, do)("correct horse b", argument)
        except MemoryError:
            os._exit(7)

    assert _exit_code_of_a_child(hash_without_memory) == 7


def test_a_hash_is_what_others_make_of_it() -> None:
    """By its standard form: sites may leave with their accounts, and argon2-cffi verifies them."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", hasher.salt())
    assert PasswordHasher().verify(encoded.removeprefix("argon2"), "correct horse b")
    assert Argon2PasswordHasher().verify("correct horse b", encoded)
    assert not hasher.must_update(encoded)


@pytest.mark.parametrize(
    ("memory", "passes", "lanes", "kind", "salt", "length"),
    [
        pytest.param(19_456, 2, 1, Type.ID, "s" * 22, 32, id="ours, with Django's salt"),
        pytest.param(19_456, 2, 1, Type.ID, "s" * 15 + "é", 32, id="ours, with bytes for a salt"),
        pytest.param(19_456, 2, 1, Type.ID, "s" * 16, 16, id="ours, with fewer bytes"),
        pytest.param(102_400, 2, 8, Type.ID, "s" * 22, 32, id="Django's"),
        pytest.param(512, 2, 2, Type.I, "s" * 12, 32, id="an old Django's"),
        pytest.param(65_536, 3, 4, Type.ID, "s" * 16, 32, id="RFC 9106"),
    ],
)
def test_imported_hashes_verify(memory: int, passes: int, lanes: int, kind: Type, salt: str, length: int) -> None:
    """Of other costs, salts and lengths; those of another cost or length are made anew at the next sign-in."""
    made = hash_secret(b"correct horse b", salt.encode(), passes, memory, lanes, length, kind).decode()
    hasher = Argon2idHasher()
    assert hasher.verify("correct horse b", f"argon2{made}")
    assert not hasher.verify("correct horse c", f"argon2{made}")
    assert hasher.must_update(f"argon2{made}") == ((memory, length) != (hasher.memory_cost, 32))


@pytest.mark.parametrize("salt", ["short", "a salt that is longer than 16 bytes", "sixteen letters é"])
def test_another_app_may_choose_the_salt(salt: str) -> None:
    """As with Django's own class."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", salt.ljust(8, "x"))
    assert hasher.verify("correct horse b", encoded)
    assert not hasher.verify("correct horse c", encoded)


def test_a_damaged_hash_has_no_password() -> None:
    """It is no server error."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", hasher.salt())
    salt, digest = encoded.split("$")[-2:]
    cut = [encoded[: -len(digest) // 2], encoded[: -len(digest)], encoded[: -len(digest) - len(salt)], "argon2"]
    for damaged in (*cut, encoded.replace(salt, "!" + salt[1:]), encoded[:-1] + "!", encoded + "x" * 200, "argon2$é"):
        assert not hasher.verify("correct horse b", damaged), damaged


def test_a_forked_process_hashes_too() -> None:
    """A server may load the application, and hash, before it forks."""
    hasher = Argon2idHasher()
    encoded = hasher.encode("correct horse b", hasher.salt())
    assert _exit_code_of_a_child(lambda: hasher.verify("correct horse b", encoded)) == 0


def _exit_code_of_a_child(do: Callable[[], object]) -> int | None:
    """Of a forked process that does this."""
    child = multiprocessing.get_context("fork").Process(target=do)
    child.start()
    child.join(timeout=20)
    child.kill()
    return child.exitcode


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
