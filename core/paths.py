"""Which paths belong to Doorcode in a project with other apps: the limits of `core.lengths` apply to these only."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.urls import Resolver404, resolve

from . import lengths

OUR_URLS = "core.urls"
WEBHOOKS = "/anymail/"  # the paths of webhooks begin so
# Forms that name each permission of all apps in the project. Django's own bound holds there, which a site may raise.
PERMISSION_FORMS = ("/admin/auth/group/", "/admin/signup/user/")
OUR_ADMIN = {"signup", "verification", "worker", "auth"}  # the apps whose models have pages of ours in the admin


def body_limit(path: str) -> int | None:
    """Return how many bytes a body may have; None on a path of another app."""
    if not is_ours(path):
        return None
    return lengths.WEBHOOK_BODY if path.startswith(WEBHOOKS) else lengths.BODY


def is_ours(path: str) -> bool:
    """Whether a path, without SCRIPT_NAME, is Doorcode's. Forms of other apps may have long texts and files."""
    if settings.ROOT_URLCONF == OUR_URLS and not path.startswith("/admin/"):
        return True
    try:
        page, served = resolve(path, OUR_URLS), resolve(path)
    except Resolver404:
        return False
    # The project has a page of its own here, such as a front page at /. A second `admin.site.urls` wraps the same pages
    # in other functions.
    if served.func is not page.func and served.app_name != "admin":
        return False
    model_admin: Any = getattr(page.func, "model_admin", None)
    if model_admin and (model_admin.inlines or not type(model_admin).__module__.startswith("signup.")):
        return False  # another app's, or ours that the site replaced or added forms of its own to
    label = page.route.split("/")[1] if page.app_name == "admin" else ""  # "admin/<label>/<model>/…"
    return label in OUR_ADMIN or label not in apps.app_configs
