from django.urls import path, register_converter
from django.views.generic import RedirectView

from . import views


class HandleConverter:
    """A handle in a path. Whatever else stands there is no path of ours, and never reaches the database."""

    regex = "[A-Za-z0-9_-]{24}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(HandleConverter, "handle")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api_docs")),
    path("captchas/", views.Captchas.as_view(), name="api_captchas"),
    path("captchas/<handle:id>/", views.Captcha.as_view(), name="api_captcha"),
    path("captchas/<handle:id>/resend/", views.Resend.as_view(), name="api_resend"),
    path("users/", views.Users.as_view(), name="api_users"),
    path("login/", views.Login.as_view(), name="api_login"),
    path("logout/", views.Logout.as_view(), name="api_logout"),
    path("users/me/", views.Me.as_view(), name="api_me"),
    path("schema/", views.Schema.as_view(), name="api_schema"),
    path("docs/", views.Docs.as_view(), name="api_docs"),
    path("<path:rest>", views.Unknown.as_view()),
]
