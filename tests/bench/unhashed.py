"""Doorcode's settings with a password hash that costs nothing, to see what a verify costs without it."""

from core.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
