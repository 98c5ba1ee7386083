"""django-allauth with verification by code, as its documentation sets it up. It runs in a venv of its own."""

from .celery import app

__all__ = ["app"]
