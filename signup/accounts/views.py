"""The pages of people who have an account: Django's own views with our forms, and mail through the outbox."""

from typing import Any, cast

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.contrib.messages.views import SuccessMessageMixin
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse, reverse_lazy
from django.utils import translation
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe
from django.views.generic import FormView, TemplateView
from structlog.contextvars import bind_contextvars

from core import client_ip, languages, passwords
from core.views import error_page
from signup import limits
from signup.models import User
from signup.views import form_page
from signup.visitor import Visitor, draft_cookie

from . import backends, services
from .forms import CurrentPasswordForm, LoginForm, NewPasswordForm, PasswordChangeForm, PasswordResetForm, reset_answer


class FormPage(SuccessMessageMixin, FormView):  # type: ignore[type-arg]
    """Answer 400 if the form shows errors, as `signup.views.form_page` does."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().post(request, *args, **kwargs)
        except services.AccountChanged:  # the same page now leads to the sign-in, or says that the link is of no use
            return redirect(request.path)

    def form_invalid(self, form: Form) -> Any:
        return self.render_to_response(self.get_context_data(form=form), status=400)


@method_decorator(limits.sign_ins_counted, name="dispatch")
class Login(FormPage, auth.LoginView):
    template_name = "account/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_initial(self) -> dict[str, Any]:
        return {**super().get_initial(), **Visitor(self.request).typed}

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        return Visitor(self.request).drop_draft(super().render_to_response(context, **kwargs))

    def get_redirect_url(self) -> str:
        """`next` may not be this page: a visitor who is signed in would be redirected forever."""
        url = super().get_redirect_url()
        return "" if url.partition("?")[0] == self.request.path else url

    def form_valid(self, form: Any) -> HttpResponse:
        return _signed_in(self.request, super().form_valid(form))


class Logout(auth.LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Drop messages that no page has shown: "You're signed in" would be shown to a visitor who is not."""
        list(messages.get_messages(request))
        return super().post(request, *args, **kwargs)


@limits.sign_ins_counted  # before the admin reads the form
def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin's own page. It remembers the browser too, so that strangers can't lock an operator out."""
    response = admin.site.login(request)
    # Only a redirect means the right password: a form with errors answers 200, also in a session that is open.
    if request.method == "POST" and response.status_code == 302 and request.user.is_authenticated:
        _signed_in(request, response)
    return response


def _signed_in(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """
    Remember the browser, and by which name it signed in: its password manager knows the account by that, and the forms
    with a password name the account to it.
    """
    visitor = Visitor(request)
    request.session["by_address"] = "@" in visitor.typed.get("username", "")
    return visitor.remember(response, cast(User, request.user))


@method_decorator(limits.sign_ins_counted, name="dispatch")
class PasswordChange(FormPage, auth.PasswordChangeView):
    template_name = "account/password_change.html"
    form_class = PasswordChangeForm
    success_url = reverse_lazy("account")
    success_message = _("Your password is changed")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """
        403 if the session ended before the form was sent: no password manager may keep that password. The form may have
        ended it itself, if its answer got lost and the browser sent it again: so the page leads to sign-in.
        """
        if request.method == "POST" and not request.user.is_authenticated:
            return error_page(request, 403)
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        return Visitor(self.request).remember(super().form_valid(form), form.user)


@method_decorator(require_http_methods(["GET", "HEAD", "POST"]), name="dispatch")  # Django's looks at the link first
@method_decorator(limits.sign_ins_counted, name="dispatch")
class PasswordResetConfirm(FormPage, auth.PasswordResetConfirmView):
    """The new password signs its owner in: only the owner gets the account's mail."""

    template_name = "account/password_reset_confirm.html"
    form_class = NewPasswordForm
    token_generator = passwords.reset_tokens
    post_reset_login_backend = cached_property(lambda self: backends.session_backend())

    @cached_property
    def post_reset_login(self) -> bool:  # type: ignore[override]
        """Whether the account works, once the password is saved: an operator may have disabled it meanwhile."""
        return User.objects.filter(pk=self.user.pk, is_active=True).exists()

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """400 if the link ended before the form was sent: no password manager may keep that password."""
        if self.request.method == "POST" and not self.validlink:
            kwargs["status"] = 400
        return super().render_to_response(context, **kwargs)

    def get_success_url(self) -> str:
        return resolve_url(settings.LOGIN_REDIRECT_URL if self.post_reset_login else "login")

    def get_success_message(self, cleaned_data: dict[str, Any]) -> Any:
        if self.post_reset_login:
            with translation.override(languages.supported(self.user.language) or languages.active()):  # the next page's
                return str(_("Your password is changed. You're signed in"))
        return _("Your password is changed. Sign in with it")

    def form_valid(self, form: Any) -> HttpResponse:
        """Remember this browser: wrong passwords from elsewhere can't lock it out from now on."""
        response = Visitor(self.request).remember(super().form_valid(form), form.user)
        if not self.post_reset_login:
            draft_cookie(reverse("login")).write(response, {"username": form.user.email})
        return response


@require_http_methods(["GET", "HEAD", "POST"])
def password_reset(request: HttpRequest) -> HttpResponse:
    """Request a reset mail: one answer for all addresses."""
    if request.method == "POST":
        limits.MAIL_REQUESTS.hit(request)
    form = PasswordResetForm(request.POST if request.method == "POST" else None, initial=Visitor(request).typed)
    if not form.is_valid():
        return form_page(request, "account/password_reset.html", form)
    form.save(network=client_ip.pseudonym(request))
    response = redirect("password_reset_done")
    draft_cookie(response.url).write(response, {"email": form.cleaned_data["email"]})
    return response


@require_safe
def password_reset_done(request: HttpRequest) -> HttpResponse:
    """The answer, also after a change of language or a reload: a message would be shown once."""
    email = Visitor(request).typed.get("email")
    return render(request, "account/password_reset_done.html", {"answer": email and reset_answer(email)})


account = login_required(TemplateView.as_view(template_name="account/account.html"))


@sensitive_post_parameters("old_password")
@limits.sign_ins_counted
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Delete the account once its password is confirmed, and free its names. The purge deletes its sign-up's rows."""
    user = cast(User, request.user)
    if user.is_in_log:
        raise PermissionDenied  # another operator deletes it in the admin, and sees what goes with it
    form = CurrentPasswordForm(request.POST if request.method == "POST" else None, request=request)
    if not form.is_valid():
        return form_page(request, "account/delete.html", form)
    bind_contextvars(user_id=user.pk)  # the session, by which the log names the account, ends
    user.delete()
    logout(request)
    messages.success(request, _("Your account is deleted"))
    return Visitor(request).forget(redirect("signup"), user)
