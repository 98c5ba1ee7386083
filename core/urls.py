"""The composition root of all pages; `/healthz`, `/readyz` and `/metrics` are answered by a middleware."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.contenttypes.views import shortcut
from django.urls import URLResolver, include, path
from django.views.generic import RedirectView

from signup.accounts.views import admin_login
from signup.admin import ScriptTexts
from signup.admin.dashboard import dashboard
from signup.views import set_language

from . import views

urlpatterns = [
    path("", include("signup.urls")),
    path("admin/dashboard/", admin.site.admin_view(dashboard), name="dashboard"),
    # The site's own page: the admin's neither limits guesses nor informs the mailbox.
    path("admin/password_change/", RedirectView.as_view(pattern_name="password_change")),
    path("admin/login/", admin_login, name="admin_login"),
    # "View on site", for keys that can be looked up: no object of ours has a page there, another app's may.
    path("admin/r/<int:content_type_id>/<slug:object_id>/", admin.site.admin_view(shortcut)),
    path("admin/r/<path:path>", views.not_found),
    path("admin/jsi18n/", admin.site.admin_view(ScriptTexts.as_view(), cacheable=True)),
    path("brand.css", views.brand_css, name="brand_css"),
    path("i18n/setlang/", set_language, name="set_language"),
]
if settings.MAIL_WEBHOOKS:
    urlpatterns += [path("anymail/", include("worker.webhooks"))]
if settings.DEMO:
    urlpatterns += [path("demo/", include("signup.demo.urls"))]


def _views(patterns: Iterable[Any]) -> Iterator[Any]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from _views(each.url_patterns)
        else:
            yield each.callback


# A project may have Django's LoginRequiredMiddleware: each of our views says itself who has to sign in.
for view in _views(urlpatterns):
    login_not_required(view)
urlpatterns += [path("admin/", admin.site.urls)]

handler400, handler403, handler404 = map(views.error_handler, (400, 403, 404))
handler500 = views.server_error
