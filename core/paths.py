"""Which paths are Doorcode's where another app is in the project: the limits of `core.lengths` hold for these alone."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.urls import Resolver404, resolve

from . import lengths

OUR_URLS = "core.urls"
OUR_ADMIN = {"signup", "verification", "worker", "auth"}  # the apps whose models have pages of ours in the admin


def body_limit(path: str) -> int | None:
    """How many bytes a body may have; None on a path of another app."""
    if not is_ours(path):
        return None
    return lengths.WEBHOOK_BODY if path.startswith(lengths.WEBHOOKS) else lengths.BODY


def is_ours(path: str) -> bool:
    """Whether a path, without a SCRIPT_NAME, is none of another app, whose forms may have long texts and files."""
    if settings.ROOT_URLCONF == OUR_URLS and not path.startswith("/admin/"):
        return True
    try:
        page = resolve(path, OUR_URLS)
        if settings.ROOT_URLCONF != OUR_URLS:
            found = resolve(path)
            # Such as a front page of its own at /. A second `admin.site.urls` wraps the same pages in other functions.
            if found.func is not page.func and found.app_name != "admin":
                return False
    except Resolver404:
        return False
    shown: Any = getattr(page.func, "model_admin", None)
    if shown and (shown.inlines or not type(shown).__module__.startswith("signup.")):
        return False  # another app's, or ours that the site replaced or added forms of its own to
    label = page.route.split("/")[1] if page.app_name == "admin" else ""  # "admin/<label>/<model>/…"
    return label in OUR_ADMIN or label not in apps.app_configs
