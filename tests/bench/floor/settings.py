"""Doorcode's database, broker and tables without its middleware and pages."""

import os

from core.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.floor.urls"
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"] if os.environ.get("FLOOR") == "full" else []
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
