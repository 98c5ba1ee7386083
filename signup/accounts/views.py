"""Pages of who has an account: Django's own views, in our words, with their mail through the outbox."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from core import client_ip, passwords
from signup import devices, drafts, limits
from signup.models import User

from . import services
from .forms import CurrentPasswordForm, LoginForm, NewPasswordForm, PasswordChangeForm, PasswordResetForm


class FormPage:
    """Answers 400 where the form shows errors, as all our forms do."""

    def form_invalid(self, form: Form) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        response.status_code = 400
        return response


@method_decorator(limits.counted(limits.count_sign_in), name="dispatch")
class Login(FormPage, auth.LoginView):
    template_name = "account/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_initial(self) -> dict[str, Any]:
        return {**super().get_initial(), **drafts.read(self.request)}

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        return drafts.drop(self.request, super().render_to_response(context, **kwargs))

    def get_redirect_url(self) -> str:
        """`next` may not lead back here: who is signed in would go round for ever."""
        url = super().get_redirect_url()
        return "" if url.partition("?")[0] == self.request.path else url

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        devices.remember(self.request, response, form.get_user())
        return response


@method_decorator(limits.counted(limits.count_sign_in), name="dispatch")
class PasswordChange(FormPage, auth.PasswordChangeView):
    template_name = "account/password_change.html"
    form_class = PasswordChangeForm
    success_url = reverse_lazy("account")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, _("Your password is changed"))
        return super().form_valid(form)


class PasswordResetConfirm(FormPage, auth.PasswordResetConfirmView):
    template_name = "account/password_reset_confirm.html"
    form_class = NewPasswordForm
    token_generator = passwords.reset_tokens
    success_url = reverse_lazy("login")

    def form_valid(self, form: Any) -> HttpResponse:
        """Who reads the account's mail has a browser of the owner's: no stranger's wrong tries keep it out."""
        messages.success(self.request, _("Your password is changed. Sign in with it"))
        response = super().form_valid(form)
        devices.remember(self.request, response, form.user)
        return response


@limits.counted(limits.count_request)
def password_reset(request: HttpRequest) -> HttpResponse:
    """Ask for a reset mail: one answer for all addresses."""
    form = PasswordResetForm(request.POST if request.method == "POST" else None, initial=drafts.read(request))
    if request.method != "POST" or not form.is_valid():
        page = render(request, "account/password_reset.html", {"form": form}, status=400 if form.errors else 200)
        return drafts.drop(request, page)
    email = form.cleaned_data["email"]
    where = client_ip.pseudonym(request)
    services.request_password_reset(address=email, language=get_language() or "", network=where)
    messages.info(request, _("If %(email)s has an account, we've sent instructions") % {"email": email})
    return redirect("password_reset_done")


@require_safe
def password_reset_done(request: HttpRequest) -> HttpResponse:
    return render(request, "account/password_reset_done.html")


@sensitive_post_parameters("old_password")
@limits.counted(limits.count_sign_in)
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Delete the account, behind its password."""
    user = cast(User, request.user)
    if user.is_staff:
        raise PermissionDenied  # the admin's own log hangs on operators: another operator deletes them, there
    form = CurrentPasswordForm(user, request.POST if request.method == "POST" else None, request=request)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/delete.html", {"form": form}, status=400 if form.errors else 200)
    services.delete_account(user=user)
    logout(request)
    messages.success(request, _("Your account is deleted"))
    return redirect("signup")


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return render(request, "account/account.html")
