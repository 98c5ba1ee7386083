from django.urls import include, path
from django.views.generic import RedirectView

from . import views
from .accounts import views as accounts

urlpatterns = [
    path("", views.home, name="home"),
    path("signup/", views.signup, name="signup"),
    path("signup/verify/", views.verify, name="signup_verify"),
    path("signup/verify/username/", views.check_username, name="signup_check_username"),
    path("signup/common-passwords.txt", views.common_passwords, name="signup_common_passwords"),
    path("signup/resend/", views.resend, name="signup_resend"),
    path("signup/change/", views.change, name="signup_change"),
    path("signup/status/", views.status, name="signup_status"),
    path("signup/link/<str:token>/", views.link, name="signup_link"),
    path("signup/mute/<str:token>/", views.mute, name="signup_mute"),
    path("api/", include("signup.api.urls")),
    path("login/", accounts.Login.as_view(), name="login"),
    path("logout/", accounts.Logout.as_view(), name="logout"),
    path("account/", accounts.account, name="account"),
    path("account/delete/", accounts.delete, name="account_delete"),
    path("password-change/", accounts.PasswordChange.as_view(), name="password_change"),
    # Where password managers look for it: https://www.w3.org/TR/change-password-url/
    path(".well-known/change-password", RedirectView.as_view(pattern_name="password_change")),
    path("password-reset/", accounts.password_reset, name="password_reset"),
    path("password-reset/done/", accounts.password_reset_done, name="password_reset_done"),
    path("password-reset/<uidb64>/<token>/", accounts.PasswordResetConfirm.as_view(), name="password_reset_confirm"),
]
