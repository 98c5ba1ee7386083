"""Password hashing, validators and reset tokens."""

import copy
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import argon2
from django.conf import settings
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import lengths

MIN_LENGTH, MAX_LENGTH = 8, lengths.PASSWORD  # characters; OWASP ASVS 5.0, 6.2.1 and 6.2.9

# Hashes at a time in a process, of which a machine runs two or more. More than there are processors only take turns,
# and each turn finds its 19 MiB evicted from the processor's caches: 30 ms of processor time a hash instead of 24.
AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
_threads: ThreadPoolExecutor


def _start_threads() -> None:
    """
    Hash in threads of their own: the C library keeps these 19 MiB for each thread that ever hashed, and would for all
    eight of a web process.
    """
    global _threads  # noqa: PLW0603
    _threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hashing")


_start_threads()
os.register_at_fork(after_in_child=_start_threads)  # a child has none of the parent's


def normalize(password: str) -> str:
    """
    Return a password in NFC, the form that is hashed and validated (NIST SP 800-63B-4 §3.1.1.2): some keyboards send
    "é" as one character, others as two. A text that is too long for a password is returned as it is.
    """
    return unicodedata.normalize("NFC", password) if len(password) <= lengths.PASSWORD_TYPED else password


class Argon2idHasher(Argon2PasswordHasher):
    """
    Argon2id at OWASP's minimum (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane.

    About 24 ms of one processor; Django's own parameters take 100 MiB and ten times as long, which a handful of
    parallel sign-ups turns into a denial of service.
    """

    time_cost = 2
    memory_cost = 19_456  # KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return str(_threads.submit(super().encode, normalize(password), salt).result())

    def verify(self, password: str, encoded: str) -> bool:
        return _threads.submit(self._verify, normalize(password), encoded).result()

    def _verify(self, password: str, encoded: str) -> bool:
        """Django's own takes any error for a wrong password: without memory, it would refuse the right one."""
        try:
            return argon2.PasswordHasher().verify(encoded.removeprefix("argon2"), password)
        except argon2.exceptions.VerificationError as error:
            if "Memory" in str(error):
                raise MemoryError from error
            return False


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
