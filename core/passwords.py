"""Password hashing, validators and reset tokens."""

import copy
import os
import threading
import unicodedata
from base64 import b64decode, b64encode
from functools import cache
from typing import Any

import nacl.pwhash
from django.conf import settings
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from nacl.exceptions import InvalidkeyError
from nacl.pwhash import argon2id

from . import lengths

MIN_LENGTH, MAX_LENGTH = 8, lengths.PASSWORD  # characters; OWASP ASVS 5.0, 6.2.1 and 6.2.9

# Hashes at a time in a process, of which a machine runs two or more. More than there are processors only take turns,
# and each turn finds its 19 MiB evicted from the processor's caches.
AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
_turns = threading.BoundedSemaphore(AT_ONCE)
SALT_LENGTH, DIGEST_LENGTH = 22, 43  # characters of base64: the 16 bytes that libsodium takes, and 32


def normalize(password: str) -> str:
    """
    Return a password in NFC, the form that is hashed and validated (NIST SP 800-63B-4 §3.1.1.2): some keyboards send
    "é" as one character, others as two. A text that is too long for a password is returned as it is.
    """
    return unicodedata.normalize("NFC", password) if len(password) <= lengths.PASSWORD_TYPED else password


class Argon2idHasher(Argon2PasswordHasher):
    """
    Argon2id at OWASP's minimum (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane. Django's own parameters take
    100 MiB and ten times as long, which a handful of parallel sign-ups turns into a denial of service.

    libsodium computes it, with the processor's vector instructions: in 13 ms of one processor, where argon2-cffi takes
    21. Its salts have 16 bytes; imported hashes have others.
    """

    time_cost = 2
    memory_cost = 19_456  # KiB
    parallelism = 1
    salt_entropy = 95  # bits: Django makes 16 letters and digits of them

    def encode(self, password: str, salt: str) -> str:
        """Raises MemoryError."""
        if len(salt.encode()) != argon2id.SALTBYTES:  # another app's
            return super().encode(normalize(password), salt)
        return self._encode(password, salt.encode())

    def verify(self, password: str, encoded: str) -> bool:
        """Raises MemoryError, but for an imported hash: there a lack of memory is a wrong password."""
        salt, _, digest = encoded.removeprefix(self._costs).partition("$")
        try:
            if (len(salt), len(digest)) == (SALT_LENGTH, DIGEST_LENGTH):
                return constant_time_compare(encoded, self._encode(password, b64decode(salt + "==")))
            with _turns:
                return nacl.pwhash.verify(encoded.removeprefix("argon2").encode(), normalize(password).encode())
        except (InvalidkeyError, ValueError):  # ValueError: the hash is damaged
            return False

    def _encode(self, password: str, salt: bytes) -> str:
        secret, memory = normalize(password).encode(), self.memory_cost * 1024
        with _turns:
            try:
                digest = argon2id.kdf(32, secret, salt, opslimit=self.time_cost, memlimit=memory)
            except RuntimeError as error:
                raise MemoryError from error
        salt_text, digest_text = (b64encode(each).decode().rstrip("=") for each in (salt, digest))
        return f"{self._costs}{salt_text}${digest_text}"

    @property
    def _costs(self) -> str:
        """How a hash of ours begins."""
        return f"argon2$argon2id$v=19$m={self.memory_cost},t={self.time_cost},p=1$"


class LengthValidator(password_validation.MinimumLengthValidator):
    """Between MIN_LENGTH and MAX_LENGTH characters."""

    def __init__(self) -> None:
        super().__init__(MIN_LENGTH)

    def validate(self, password: str, user: Any = None) -> None:
        password = normalize(password)
        super().validate(password, user)
        if len(password) > MAX_LENGTH:
            text = ngettext(
                "Password must be at most %(n)d character", "Password must be at most %(n)d characters", MAX_LENGTH
            )
            raise ValidationError(text % {"n": MAX_LENGTH}, code="password_too_long")

    def get_help_text(self) -> str:
        return ngettext(
            "Password must be at least %(n)d character", "Password must be at least %(n)d characters", MIN_LENGTH
        ) % {"n": MIN_LENGTH}

    get_error_message = get_help_text


class CommonPasswordValidator(password_validation.CommonPasswordValidator):
    """Django's list of 20,000 common passwords, and the site's own names, with our message."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        names = {normalize(name).lower() for name in settings.SITE_NAMES.values()}
        self.passwords = {*self.passwords, *names, *(name.replace(" ", "") for name in names)}

    def validate(self, password: str, user: Any = None) -> None:
        super().validate(normalize(password), user)

    def get_error_message(self) -> str:
        return _("Choose a password that is harder to guess")


@cache
def common() -> list[str]:
    """The common passwords that are not too short anyway, in lower case."""
    return sorted(each for each in CommonPasswordValidator().passwords if len(each) >= MIN_LENGTH)


class SimilarityValidator(password_validation.UserAttributeSimilarityValidator):
    """Django's comparison with the username and the email address, with our message."""

    def validate(self, password: str, user: Any = None) -> None:
        super().validate(normalize(password), user)

    def get_error_message(self) -> str:
        return _("Choose a password that is less like your username or email address")


class ResetTokens(PasswordResetTokenGenerator):
    """
    Tokens of reset links. What ends the account's sessions ends its tokens, so none is valid again when a disabled
    account is enabled. A sign-in ends none: else a thief who knows the password could stop its owner from changing it.
    """

    def make_token(self, user: Any) -> str:
        return _generator(user).make_token(_without_last_login(user))

    def check_token(self, user: Any, token: str | None) -> bool:
        return bool(user) and user.is_active and _generator(user).check_token(_without_last_login(user), token)


def _without_last_login(user: Any) -> Any:
    user = copy.copy(user)
    user.last_login = None
    return user


def _generator(user: Any) -> PasswordResetTokenGenerator:
    generator = PasswordResetTokenGenerator()
    generator.key_salt += user.session_salt
    return generator


reset_tokens = ResetTokens()
