"""How passwords are hashed, judged and reset."""

import os
import threading
from typing import Any

from django.contrib.auth import password_validation
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import lengths

# Characters; OWASP ASVS 5.0 6.2.1 asks for at least 8, 6.2.9 to allow at least 64.
MIN_LENGTH, MAX_LENGTH = 8, lengths.PASSWORD

# Hashes at a time in a process, of which a machine runs two or more. What is more than the processors are takes turns
# anyway, and each turn finds its 19 MiB out of their caches: 30 ms of processor a hash instead of 24.
AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
_a_place = threading.BoundedSemaphore(AT_ONCE)


class Argon2idHasher(Argon2PasswordHasher):
    """
    Argon2id at OWASP's minimum (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane.

    About 15 ms of one processor; Django's own parameters take 100 MiB and ten times as long, which a handful of
    parallel sign-ups turns into a denial of service.
    """

    time_cost = 2
    memory_cost = 19_456  # KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with _a_place:
            return str(super().encode(password, salt))

    def verify(self, password: str, encoded: str) -> bool:
        with _a_place:
            return bool(super().verify(password, encoded))


class LengthValidator:
    """Between `min_length` and `max_length` characters."""

    def __init__(self, min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH) -> None:
        self.min_length, self.max_length = min_length, max_length

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) < self.min_length:
            raise ValidationError(self.get_help_text(), code="password_too_short", params={"n": self.min_length})
        if len(password) > self.max_length:
            raise ValidationError(
                ngettext(
                    "Password must be at most %(n)d character",
                    "Password must be at most %(n)d characters",
                    self.max_length,
                ),
                code="password_too_long",
                params={"n": self.max_length},
            )

    def get_help_text(self) -> str:
        n = self.min_length
        return ngettext(
            "Password must be at least %(n)d character", "Password must be at least %(n)d characters", n
        ) % {"n": n}


class CommonPasswordValidator(password_validation.CommonPasswordValidator):
    """Django's list of 20,000 common passwords, in our words."""

    def get_error_message(self) -> str:
        return _("Choose a password that is harder to guess")


class SimilarityValidator(password_validation.UserAttributeSimilarityValidator):
    """Too close to the username or the email address, in our words."""

    def get_error_message(self) -> str:
        return _("Choose a password that is less like your username or email address")


class ResetTokens(PasswordResetTokenGenerator):
    """Tokens of reset links. They also end when the account is disabled, and activating it does not bring them back."""

    def make_token(self, user: Any) -> str:
        return _generator(user).make_token(user)

    def check_token(self, user: Any, token: str | None) -> bool:
        return bool(user) and user.is_active and _generator(user).check_token(user, token)


def _generator(user: Any) -> PasswordResetTokenGenerator:
    """Django's own, whose key belongs to what also ends the sessions of the account."""
    generator = PasswordResetTokenGenerator()
    generator.key_salt += user.session_salt
    return generator


reset_tokens = ResetTokens()
