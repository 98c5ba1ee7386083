"""What an app of somebody else's in the project keeps: the rules of Django and DRF. This module is its URLs."""

import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone, translation
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import lengths, paths, urls, wsgi
from core.urls import handler400, handler403, handler404, handler500  # noqa: F401 - Django looks for them here
from signup.admin.accounts import AccountAdmin
from signup.api import tokens
from signup.api.serializers import TokenSerializer
from signup.models import User
from tests.servers import ENVIRONMENT, ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Item(serializers.Serializer[object]):
    number = serializers.IntegerField(max_value=5)


class Items(serializers.Serializer[object]):
    items = Item(many=True)


class Call(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        raise PermissionDenied("Only on Mondays")

    def post(self, request: Request) -> Response:
        given = Items(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(given.data)

    def delete(self, request: Request) -> Response:
        return Response(status=204)


def form(request: HttpRequest) -> HttpResponse:
    sizes = [len(text) for text in request.POST.getlist("text")], [file.size for file in request.FILES.getlist("file")]
    return HttpResponse(repr(sizes))


urlpatterns = [path("", form), path("shop/form/", form), path("shop/call/", Call.as_view()), *urls.urlpatterns]


@pytest.mark.parametrize("page", ["/shop/form/", "/"], ids=["its own path", "a path that Doorcode has too"])
def test_a_long_text_of_another_app_is_stored_whole(client: Client, page: str) -> None:
    """And a file is taken: nothing of a form is cut or refused but by Django's own limits."""
    photo = BytesIO(b"x" * 200_000)
    photo.name = "photo.png"
    answer = client.post(page, {"text": ["a" * 10_000, *[""] * 200], "file": photo})
    assert answer.content.decode() == repr(([10_000, *[0] * 200], [200_000]))


def test_the_bounds_hold_in_the_admin_of_a_project_that_names_it_once_more(settings) -> None:
    """As Django's template for a project does."""
    settings.ROOT_URLCONF = (path("admin/", admin.site.urls), *urls.urlpatterns)
    assert all(map(paths.is_ours, ("/admin/", "/admin/login/", "/admin/signup/user/add/")))


def test_a_group_may_have_the_permissions_of_many_apps(client: Client) -> None:
    """Each is a field; a site may raise Django's own bound."""
    client.force_login(User.objects.create_superuser(email="boss@example.com", username="theboss"))
    kind = ContentType.objects.get_for_model(User)
    Permission.objects.bulk_create(
        Permission(codename=f"p{number}", name="p", content_type=kind) for number in range(150)
    )
    chosen = list(Permission.objects.values_list("pk", flat=True))
    answer = client.post("/admin/auth/group/add/", {"name": "all", "permissions": chosen})
    assert answer.status_code == 302
    assert Group.objects.get().permissions.count() == len(chosen)


def test_a_body_of_another_app_may_be_in_any_charset(client: Client) -> None:
    answer = client.post("/shop/form/", "<a>ä</a>", content_type="text/xml; charset=iso-8859-1")
    assert answer.status_code == 200


def test_the_pages_of_sign_up_keep_their_limits_beside_another_app(client: Client) -> None:
    for own in ("/signup/", "/admin/login/", "/api/captchas/"):
        assert client.post(own, "a=" + "x" * lengths.BODY, content_type="application/json").status_code == 413
    below = client.post("/signup/", "a=" + "x" * lengths.BODY, content_type="text/plain", SCRIPT_NAME="/shop")
    assert below.status_code == 413  # a header that some proxies pass on
    assert paths.body_limit("/anymail/mailgun/tracking/") == lengths.WEBHOOK_BODY


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_long_text_of_another_app_is_stored_whole_from_the_admin(monkeypatch, settings, is_alone: bool) -> None:
    """Also of an app that has no URLs but those of its models' pages there."""
    site = AdminSite()
    site.register(Session)
    site.register(User, AccountAdmin)
    monkeypatch.setattr(paths, "OUR_URLS", (path("admin/", site.urls),))
    settings.ROOT_URLCONF = paths.OUR_URLS if is_alone else (*paths.OUR_URLS, path("shop/form/", form))
    assert not paths.is_ours("/admin/sessions/session/add/")
    assert all(map(paths.is_ours, ("/admin/signup/user/add/", "/admin/login/", "/admin/", "/admin/signup/")))


class WithGroups(AccountAdmin):
    """The page of an account with forms of a site's own."""

    inlines = (type("Groups", (admin.TabularInline,), {"model": User.groups.through}),)


@pytest.mark.parametrize("shown", [WithGroups, admin.ModelAdmin])
def test_the_page_of_an_account_with_forms_of_another_app_takes_theirs(monkeypatch, settings, shown: type) -> None:
    site = AdminSite()
    site.register(User, shown)
    monkeypatch.setattr(paths, "OUR_URLS", (path("admin/", site.urls),))
    settings.ROOT_URLCONF = paths.OUR_URLS
    assert not paths.is_ours("/admin/signup/user/1/change/")


def test_a_path_with_a_language_has_its_page_for_accounts_with_another(client: Client, settings) -> None:
    """By Django's `i18n_patterns`."""

    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(translation.get_language())

    patterns = [*i18n_patterns(path("shop/", page)), *urlpatterns]
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": patterns})
    client.force_login(User.objects.create_user(email="ann@example.com", username="annie", language="en"))
    assert client.get("/de/shop/").content == b"de"


def test_a_sign_in_without_a_password_is_for_another_apps_backend() -> None:
    """Such as one by a code that is valid once: Django asks each backend, ours first."""
    User.objects.create_user(email="ann@example.com", username="annie")
    assert authenticate(None, username="annie", once="123456") is None


def test_a_body_in_chunks_to_another_app_asks_for_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing bounds it, so it is not read into memory."""
    seen: dict[str, object] = {}
    monkeypatch.setattr(wsgi, "_django", lambda environ, start: seen.update(environ) or [])
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO(b"12345")}
    wsgi.application({**chunked, "PATH_INFO": "/shop/form/"}, lambda *args: None)
    assert "HTTP_TRANSFER_ENCODING" in seen
    assert wsgi.application({**chunked, "PATH_INFO": "/signup/"}, lambda *args: None) == []
    assert seen["CONTENT_LENGTH"] == "5"


def test_errors_of_another_apps_calls_are_those_of_drf(client: Client) -> None:
    """Of any shape and code: those of our API know no `max_value` and no list."""
    answer = client.post("/shop/call/", {"items": [{"number": 9}]}, content_type="application/json")
    assert (answer.status_code, list(answer.json())) == (400, ["items"])
    refused = client.get("/shop/call/")
    assert (refused.status_code, refused.json()) == (403, {"detail": "Only on Mondays"})


def test_the_api_of_sign_up_follows_no_other_apps_rest_framework(tmp_path) -> None:
    """No cookie opens it, no throttle without Retry-After stops it, it answers in JSON, and its schema can be made."""
    (tmp_path / "shop_settings.py").write_text(
        "from core.settings import *\n"
        "REST_FRAMEWORK = {\n"
        "    'DEFAULT_AUTHENTICATION_CLASSES': ['rest_framework.authentication.SessionAuthentication'],\n"
        "    'DEFAULT_PERMISSION_CLASSES': ['rest_framework.permissions.AllowAny'],\n"
        "    'DEFAULT_RENDERER_CLASSES': ['rest_framework.renderers.BrowsableAPIRenderer'],\n"
        "    'DEFAULT_THROTTLE_CLASSES': ['rest_framework.throttling.AnonRateThrottle'],\n"
        "    'DEFAULT_VERSIONING_CLASS': 'rest_framework.versioning.URLPathVersioning',\n"
        "    'DATETIME_FORMAT': '%d.%m.%Y',\n"
        "    'UNAUTHENTICATED_USER': None,\n"
        "}\n"
        "SPECTACULAR_SETTINGS = {'TITLE': 'The shop'}\n"
    )
    show = (
        "import django; django.setup()\n"
        "from signup.api.views import Me; me = Me()\n"
        "parts = [me.get_authenticators(), me.get_permissions(), me.get_renderers(), me.get_throttles()]\n"
        "print([[type(each).__name__ for each in part] for part in parts], me.versioning_class)\n"
        "from signup.api.serializers import TokenSerializer; import datetime\n"
        "print(TokenSerializer().fields['expires_at'].to_representation(datetime.datetime(2026, 1, 2)))\n"
        "from signup.api.views import Schema; from django.test import RequestFactory\n"
        "calls = Schema.as_view()(RequestFactory().get('/api/schema/')).data['paths']\n"
        "print(calls['/api/logout/']['post']['tags'], len(calls))"
    )
    environment = {**ENVIRONMENT, "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "shop_settings"}
    environment["PYTHONPATH"] += f":{tmp_path}"
    shown = subprocess.run([sys.executable, "-c", show], cwd=ROOT, env=environment, capture_output=True, text=True)
    rules, time, calls = shown.stdout.splitlines()
    assert rules == "[['Authentication'], ['IsAuthenticated'], ['JSONRenderer'], []] None"
    assert time.startswith("2026-01-02T")
    assert calls == "['Doorcode'] 9"


def test_keys_of_another_size_in_the_project_need_no_migration_of_ours(tmp_path) -> None:
    """As in a site from before Django 3.2."""
    settings = "from core.settings import *\nDEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
    (tmp_path / "shop_settings.py").write_text(settings)
    environment = {**ENVIRONMENT, "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "shop_settings"}
    environment["PYTHONPATH"] += f":{tmp_path}"
    command = [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "No changes detected\n")


def test_another_apps_calls_are_not_in_the_schema_of_sign_up(client: Client) -> None:
    """Nor do they break its page, or the check before a deployment."""
    assert client.get("/api/docs/").status_code == 200
    assert "/shop/call/" not in client.get("/api/schema/").json()["paths"]
    assert "shop" not in str(run_checks(include_deployment_checks=True))


def test_a_project_whose_pages_all_need_an_account_has_sign_up_open(client: Client, settings) -> None:
    """By Django's LoginRequiredMiddleware: nobody could sign up there."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    public = ("/signup/", "/signup/verify/", "/login/", "/password-reset/", "/brand.css", "/api/docs/", "/admin/login/")
    assert [client.get(page).status_code for page in public] == [200] * len(public)
    assert client.post("/signup/", {"email": "ann@example.com"})["Location"] == "/signup/verify/"
    assert client.post("/i18n/setlang/?next=/signup/", {"language": "de"})["Location"] == "/signup/"
    for page in ("/shop/form/", "/account/", "/account/delete/", "/password-change/", "/admin/dashboard/", "/admin/"):
        assert "/login/?next=" in client.get(page)["Location"]


def test_view_on_site_opens_another_apps_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the objects that have one; ours have none, nor has a key that no object can have."""
    boss = User.objects.create_superuser(email="boss@example.com", username="theboss")
    client.force_login(boss)
    kind = ContentType.objects.get_for_model(User).pk
    found = f"/admin/r/{kind}/{boss.pk}/", f"/admin/r/{kind}/no%00thing/"
    assert [client.get(path).status_code for path in found] == [404, 404]
    monkeypatch.setattr(User, "get_absolute_url", lambda user: f"/shop/{user.pk}/", raising=False)
    assert client.get(found[0])["Location"] == f"http://testserver/shop/{boss.pk}/"
    assert client.get(found[1]).status_code == 404


def test_times_of_the_api_have_one_form_whatever_the_time_zone_of_the_site() -> None:
    with timezone.override("Asia/Shanghai"):
        answer = TokenSerializer(tokens.Issued("abc", datetime(2026, 11, 27, 8, tzinfo=UTC))).data
    assert answer["expires_at"] == "2026-11-27T08:00:00Z"
