"""Doorcode's settings and this app: DJANGO_SETTINGS_MODULE=clubs.settings for web, workers, beat and manage.py."""

from core.settings import *  # noqa: F403
from core.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "clubs"]
ROOT_URLCONF = "clubs.urls"
LOGIN_REDIRECT_URL = "clubs"  # where people go after they signed up or in
