"""Doorcode's database, broker and tables without its middleware and pages."""

import os

from core.settings import *  # noqa: F403
from core.settings import DATABASES

ROOT_URLCONF = "tests.bench.floor.urls"
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"] if os.environ.get("FLOOR") == "full" else []
# One connection a thread for ever, never checked: the least that a database can cost.
DATABASES["default"]["OPTIONS"].pop("pool", None)
DATABASES["default"] |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
