from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from core.views import not_found

from . import views

ID = "(?P<id>[A-Za-z0-9_-]{1,64})"  # any that a client may have kept: one that is no handle is lost, too

urlpatterns = [
    path("", csrf_exempt(RedirectView.as_view(pattern_name="api_docs", http_method_names=["get", "head"]))),
    path("captchas/", views.Captchas.as_view(), name="api_captchas"),
    re_path(rf"^captchas/{ID}/$", views.Captcha.as_view(), name="api_captcha"),
    re_path(rf"^captchas/{ID}/resend/$", views.Resend.as_view(), name="api_resend"),
    path("users/", views.Users.as_view(), name="api_users"),
    path("login/", views.Login.as_view(), name="api_login"),
    path("logout/", views.Logout.as_view(), name="api_logout"),
    path("password-reset/", views.PasswordReset.as_view(), name="api_password_reset"),
    path("users/me/", views.Me.as_view(), name="api_me"),
    path("users/me/password/", views.Password.as_view(), name="api_password"),
    path("schema/", views.Schema.as_view(), name="api_schema"),
    path("docs/", views.docs, name="api_docs"),
    path("<path:path>", not_found),  # Django's own page for developers is no JSON
]
