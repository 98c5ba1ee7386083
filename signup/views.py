"""The pages of the journey. A view asks the visitor, calls one form and one service, and answers."""

import secrets
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views import i18n
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from core import client_ip
from verification import codes
from verification.models import CaptchaModel
from verification.states import ResendTooSoon, SignUpError
from worker import suppression

from . import error_messages, limits, progress, services
from .forms import ChangeForm, EmailForm, RegisterForm
from .visitor import Visitor

NEXT_LENGTH = 300  # characters; a longer path is dropped, as a cookie holds 4 KiB
DRAFT_PAGES = ("signup", "signup_verify", "login", "password_reset")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect("account" if request.user.is_authenticated else "signup")


@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Step one: ask for a code."""
    if request.method == "POST":
        limits.REQUESTS.hit(request)
    if request.user.is_authenticated:
        return redirect("account")
    if not settings.SIGNUP_OPEN:
        return render(request, "signup/closed.html", status=403)
    visitor = Visitor(request)
    next_page = _next_page(request)
    form = EmailForm(request.POST if request.method == "POST" else None, initial=visitor.typed)
    if not form.is_valid():
        return form_page(request, "signup/signup.html", form, next=next_page, once=secrets.token_urlsafe(12))
    address = form.cleaned_data["email"]
    once = visitor.handle_for(request.POST.get("once", ""), address)
    return _request_code(request, visitor, address, once=once, next_page=next_page)


@sensitive_post_parameters("password", "captcha")
@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """
    Step two: type the code, choose a username and password. A `new_email` is only for the button beside it: autofill
    may have typed there.
    """
    if request.method == "POST":
        limits.VERIFY.hit(request)
    visitor = Visitor(request)
    sign_up = visitor.sign_up
    if sign_up is None:
        return redirect("account") if request.user.is_authenticated else _lost(request)
    form = _register_form(visitor, sign_up, request.POST if request.method == "POST" else None)
    user = form.save(language=_language()) if form.is_valid() else None
    if user is None:
        page = _verify_page(request, sign_up, form)
        if form.new_proof:  # the mailbox is proven, and something else was not right
            visitor.keep(page, sign_up, link_proof=form.new_proof, own=True)
        return page
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    messages.success(request, _("Your account is ready. You're signed in"))
    response = _see_other(visitor.held[sign_up.handle].next or settings.LOGIN_REDIRECT_URL)
    return visitor.finish(response, sign_up, user)


@sensitive_post_parameters("password", "captcha")
@require_POST
def resend(request: HttpRequest) -> HttpResponse:
    """Another mail for this browser's request."""
    limits.REQUESTS.hit(request)
    visitor = Visitor(request)
    sign_up = visitor.sign_up
    if sign_up is None:
        return _lost(request)
    try:
        renewed = services.resend(sign_up=sign_up, language=_language(), network=client_ip.pseudonym(request))
    except ResendTooSoon as error:
        messages.info(request, error_messages.explain(error).message)
        page = _verify_page(request, sign_up, _register_form(visitor, sign_up))
        page.status_code, page["Retry-After"] = 429, str(error.retry_after)
        return page
    except SignUpError:
        return _lost(request)
    sent = _("We've sent a new code") if renewed else _("We've sent the email again. The code is the same")
    messages.info(request, sent)
    response = visitor.keep(_see_other("signup_verify"), sign_up)
    return visitor.keep_draft(response, path=reverse("signup_verify"), fields=("username",))


@sensitive_post_parameters("password", "captcha")
@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Another address for this sign-up. The request for the old one stays in the cookie."""
    limits.REQUESTS.hit(request)
    if not settings.SIGNUP_OPEN:
        return render(request, "signup/closed.html", status=403)
    visitor = Visitor(request)
    old = visitor.sign_up
    if old is None:
        return _lost(request)
    form = ChangeForm({"new_email": request.POST.get("suggested") or request.POST.get("new_email", "")})
    if not form.is_valid():
        page = _verify_page(request, old, _register_form(visitor, old), change=form)
        page.status_code = 400
        return page
    address = form.cleaned_data["new_email"]
    once = codes.handle_for("", old.handle, address)  # for a double click; no page's `once` is empty
    response = _request_code(request, visitor, address, once=once, next_page=visitor.held[old.handle].next)
    return visitor.keep_draft(response, path=reverse("signup_verify"), fields=("username",))


def _request_code(
    request: HttpRequest, visitor: Visitor, address: str, *, once: str | None, next_page: str
) -> HttpResponse:
    held, network = visitor.own_proofs, client_ip.pseudonym(request)
    sign_up = services.request_code(address=address, language=_language(), held=held, once=once, network=network)
    return visitor.keep(_see_other("signup_verify"), sign_up, next=next_page, own=True)


@require_GET
def status(request: HttpRequest) -> JsonResponse:
    """The delivery state of this browser's newest request, or of the one with the reference `ref`."""
    sign_up = Visitor(request).sign_up
    if sign_up is None:
        return JsonResponse({"state": "unknown"}, status=404)
    return JsonResponse(progress.delivery_state(sign_up))


@require_safe
def link(request: HttpRequest, token: str) -> HttpResponse:
    """
    The mail's link. Mail scanners open links too, so this changes the browser's cookie alone; the form's POST proves.

    The redirect takes the token out of the address bar, the history entry and any Referer.
    """
    handle, _dot, link_proof = token.partition(".")
    sign_ups = CaptchaModel.objects.by_handles([handle] if codes.is_handle(handle) else [])
    response = _see_other("signup_verify")
    response["Referrer-Policy"] = "no-referrer"
    if not sign_ups or not codes.is_link_proof(sign_ups[0], link_proof):
        return response
    if Visitor(request).open_link(response, sign_ups[0], link_proof):
        messages.info(request, _("You can finish here and close the page where you began"))
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def mute(request: HttpRequest, token: str) -> HttpResponse:
    """A mail's "This wasn't me" link. Mail scanners open links too, so only the buttons change anything."""
    notice = suppression.read(token)
    if notice is None:
        return render(request, "signup/mute_broken.html", status=404)
    if request.method != "POST":
        until = suppression.muted_until(address=notice.address)
        page = {"email": notice.address, "until": until, "days": suppression.DAYS, "site": settings.SITE_NAME}
        return render(request, "signup/mute.html", page)
    if "undo" in request.POST:
        suppression.unmute(address=notice.address)
        messages.success(request, _("Undone. Sign-up email is sent to this address again"))
    else:
        suppression.mute(notice=notice)
    return _see_other(request.path)


@sensitive_post_parameters("password", "captcha")
def set_language(request: HttpRequest) -> HttpResponse:
    """
    Django's own view, which also keeps a draft: the language switch is part of the page's form.

    `?next=` is the page to go back to, as the form may have a `next` of its own.
    """
    if "next" in request.GET:
        fields = request.POST.copy()
        fields["next"] = request.GET["next"]
        request.POST = fields  # type: ignore[assignment]
    response = i18n.set_language(request)
    path = urlsplit(response.headers.get("Location", "")).path
    if request.method == "POST" and path in [reverse(page) for page in DRAFT_PAGES]:
        Visitor(request).keep_draft(response, path=path)
    return response


def form_page(request: HttpRequest, template: str, form: Form, **context: Any) -> HttpResponse:
    """A page with a form: 400 if it shows errors, so that no password manager takes it for a success."""
    page = render(request, template, {"form": form, **context}, status=400 if form.errors else 200)
    return Visitor(request).drop_draft(page)


def _verify_page(request: HttpRequest, sign_up: CaptchaModel, form: RegisterForm, **context: Any) -> HttpResponse:
    change = ChangeForm(initial={"new_email": request.POST.get("new_email", "")})
    context = {"change": change, **context, **progress.page_context(sign_up, proven=form.is_proven)}
    if not form["captcha"].errors:  # they say how many tries are left themselves
        form["captcha"].help_text = context["tries_left"]
    # The language switch goes back here: /signup/resend/ and /signup/change/ answer POST only.
    return form_page(request, "signup/verify.html", form, here=reverse("signup_verify"), **context)


def _register_form(visitor: Visitor, sign_up: CaptchaModel, posted: Any = None) -> RegisterForm:
    link_proof = visitor.held[sign_up.handle].link_proof
    initial = {**visitor.typed, "email": sign_up.address}
    return RegisterForm(posted, sign_up=sign_up, link_proof=link_proof, initial=initial)


def _lost(request: HttpRequest) -> HttpResponse:
    """There is no such sign-up in this browser: start again."""
    return render(request, "signup/lost.html", status=400 if request.method == "POST" else 200)


def _see_other(to: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(resolve_url(to), status=303)


def _language() -> str:
    return get_language() or settings.LANGUAGE_CODE


def _next_page(request: HttpRequest) -> str:
    """The page to go to afterwards, if it is one of this site's."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    target = iri_to_uri(asked)  # as long as it is in the cookie
    safe = url_has_allowed_host_and_scheme(asked, allowed_hosts=None, require_https=request.is_secure())
    return target if safe and target.startswith("/") and len(target) <= NEXT_LENGTH else ""
