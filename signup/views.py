"""The pages of the journey. A view asks the visitor, calls one form and one service, and answers."""

import secrets
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import iri_to_uri
from django.utils.html import strip_tags
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views import i18n
from django.views.decorators.cache import cache_control
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core import client_ip, languages, lengths, passwords
from core.views import error_page
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import ResendTooSoon, SignUpError
from worker import suppression

from . import error_messages, limits, progress, services
from .accounts import backends
from .accounts import services as account_services
from .forms import ChangeForm, CodeForm, EmailForm, RegisterForm
from .visitor import Visitor, draft_cookie

DRAFT_PAGES = ("signup", "signup_verify", "login", "password_reset")
# Views that take POST alone, each with the one to open when a change of language goes back to its path.
POST_ONLY = {"signup_resend": "signup_verify", "signup_change": "signup_verify", "logout": "home"}
# Pages for visitors who are not signed in. Signing in replaces the token of their forms.
BEFORE_SIGN_IN = ("signup", "signup_verify", "login", "password_reset_confirm")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect("account" if request.user.is_authenticated else "signup")


@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Step one: ask for a code."""
    if request.method == "POST":
        limits.MAIL_REQUESTS.hit(request)
    next_page = _next_page(request)
    if request.user.is_authenticated:
        return redirect(next_page or settings.LOGIN_REDIRECT_URL)
    if not settings.SIGNUP_OPEN:
        return render(request, "signup/closed.html", {"next": next_page}, status=403)
    visitor = Visitor(request)
    form = EmailForm(request.POST if request.method == "POST" else None, initial=visitor.typed)
    if not form.is_valid():
        return form_page(request, "signup/signup.html", form, next=next_page, once=secrets.token_urlsafe(12))
    form_id = request.POST.get("once", "")
    return _request_code(visitor, form.cleaned_data["email"], form_id=form_id, next_page=next_page)


def _next_page(request: HttpRequest) -> str:
    """The page to go to afterwards, if it is one of this site's."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    target = iri_to_uri(asked)  # the form, and the length, that the cookie will hold
    safe = url_has_allowed_host_and_scheme(asked, allowed_hosts=None, require_https=request.is_secure())
    return target if safe and target.startswith("/") and len(target) <= lengths.NEXT else ""


def _request_code(visitor: Visitor, address: str, *, form_id: str, next_page: str) -> HttpResponse:
    """Begin a sign-up, or go on with one that was begun here. The same form sent twice makes one request."""
    if not settings.SIGNUP_OPEN:
        return render(visitor.request, "signup/closed.html", {"next": next_page}, status=403)
    sign_up = services.request_code(
        address=address,
        language=languages.active(),
        held=visitor.own_proofs,
        handle=visitor.handle_for(form_id, address),
        network=client_ip.pseudonym(visitor.request),
    )
    return visitor.keep(_see_other("signup_verify"), sign_up, next=next_page, own=True)


@sensitive_post_parameters("password", "captcha")
@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """
    Step two, the code; then, once the mailbox is proven, step three, the username and password. A POST may bring them
    all at once.
    """
    if request.method == "POST":
        limits.VERIFY.hit(request)
    visitor = Visitor(request)
    sign_up = visitor.sign_up
    if sign_up is None or sign_up.is_finished:
        return _finished_or_lost(visitor, sign_up)
    form = _form_of(visitor, sign_up, request.POST if request.method == "POST" else None)
    if not form.is_bound and form.is_proven and services.is_registered(address=sign_up.address):
        # The account was made by another request for this address, as on a phone.
        return _end_page(visitor, sign_up, "signup/finished.html")
    if form.is_valid():
        if not isinstance(form, RegisterForm):
            return visitor.keep(_see_other("signup_verify"), sign_up, proof=form.new_proof, own=True)
        if user := form.save(terms=_terms(request)):
            login(request, user, backend=backends.session_backend())
            messages.success(request, _("Your account is ready. You're signed in"))
            response = _see_other(visitor.held[sign_up.handle].next or settings.LOGIN_REDIRECT_URL)
            return visitor.finish(response, sign_up, user)
    # If another POST was faster, as at a double click, `prove` or `register` has refreshed `sign_up`.
    page = _finished_or_lost(visitor, sign_up) if sign_up.is_finished else _verify_page(visitor, sign_up, form)
    # If the code was right and another field was not, the browser keeps the proof.
    return visitor.keep(page, sign_up, proof=form.new_proof, own=True) if form.new_proof else page


def _form_of(visitor: Visitor, sign_up: CaptchaModel, posted: Any = None) -> CodeForm:
    """The form of the step at which a visitor is: by what they posted, else by whether they proved the mailbox."""
    proof = visitor.held[sign_up.handle].proof
    if posted is None:
        is_last_step = verification.holds_proof(sign_up, proof=proof)
    else:
        is_last_step = not {"username", "password"}.isdisjoint(posted)
    form_class = RegisterForm if is_last_step else CodeForm
    return form_class(posted, sign_up=sign_up, proof=proof, initial={**visitor.typed, "email": sign_up.address})


def _verify_page(
    visitor: Visitor, sign_up: CaptchaModel, form: CodeForm, change: ChangeForm | None = None
) -> HttpResponse:
    """Step three for a visitor who proved the mailbox, or who sent its fields with a code; else step two."""
    context = progress.page_context(sign_up, proven=form.is_proven)
    shows_register = form.is_proven or (isinstance(form, RegisterForm) and context["stage"] == "enter")
    template = "signup/register.html" if shows_register else "signup/verify.html"
    form.fields["captcha"].widget.attrs["data-digits"] = sign_up.length  # of now: the form may have lengthened the code
    if not form["captcha"].errors:  # they say how many tries are left themselves
        form["captcha"].help_text = context["code_hint"]
    context |= {"shortest": passwords.LengthValidator(), "next": visitor.held[sign_up.handle].next}
    return form_page(visitor.request, template, form, change=change or ChangeForm(), **context)


def _finished_or_lost(visitor: Visitor, sign_up: CaptchaModel | None) -> HttpResponse:
    """This browser's sign-up is finished, perhaps in another tab, or it has none: start again."""
    if visitor.request.user.is_authenticated:
        return redirect(settings.LOGIN_REDIRECT_URL)
    finished = sign_up and sign_up.is_finished
    return _end_page(visitor, sign_up, "signup/finished.html" if finished else "signup/lost.html")


def _end_page(visitor: Visitor, sign_up: CaptchaModel | None, template: str) -> HttpResponse:
    next_page = visitor.held[sign_up.handle].next if sign_up else ""
    status = 400 if visitor.request.method == "POST" else 200
    return render(visitor.request, template, {"next": next_page}, status=status)


def _terms(request: HttpRequest) -> str:
    """The terms beside the button, in words; "" if the site has none."""
    return " ".join(unescape(strip_tags(render_to_string("brand/terms.html", request=request))).split())


@require_POST
def check_username(request: HttpRequest) -> JsonResponse:
    """The error of a username that is being typed; empty for a visitor who has not proven the mailbox."""
    limits.USERNAME_CHECKS.hit(request)
    visitor = Visitor(request)
    sign_up = visitor.sign_up
    form = _form_of(visitor, sign_up, {"username": request.POST.get("username", "")}) if sign_up else None
    errors = form.errors if form and form.is_proven else {}  # no guess is counted: without an email no code is compared
    return JsonResponse({"errors": errors.get("username", [])})


@require_safe
@gzip_page
@cache_control(public=True, max_age=86_400)
def common_passwords(request: HttpRequest) -> HttpResponse:
    """The passwords that are refused as common, a line each, for a browser that checks while one is typed."""
    return HttpResponse("\n".join(passwords.common()), content_type="text/plain")


@sensitive_post_parameters("captcha")
@require_POST
def resend(request: HttpRequest) -> HttpResponse:
    """Another mail for this browser's request."""
    limits.MAIL_REQUESTS.hit(request)
    visitor = Visitor(request)
    sign_up = visitor.sign_up
    if sign_up is None or not visitor.is_about(sign_up):
        return _finished_or_lost(visitor, None)
    held = visitor.held[sign_up.handle]
    if verification.holds_proof(sign_up, proof=held.proof):  # by another tab: no code is needed any more
        return visitor.keep(_see_other("signup_verify"), sign_up)
    # A mail's link brought this request here: the person who began it could use up the tries of its next code. Begin a
    # new one by the form of step one, and by its button, as some mail scanners press the one that they find here.
    if not sign_up.is_finished and not held.own:
        response = _see_other("signup")
        draft_cookie(response.url).write(response, {"email": sign_up.address})
        return response
    if not sign_up.is_finished and sign_up.proven_at:  # by another browser
        return _request_code(visitor, sign_up.address, form_id=held.handle, next_page=held.next)
    try:
        resent = services.resend(sign_up=sign_up, language=languages.active(), network=client_ip.pseudonym(request))
    except ResendTooSoon as error:
        messages.info(request, error_messages.explain(error).message)
        page = _verify_page(visitor, sign_up, _form_of(visitor, sign_up))
        page.status_code, page["Retry-After"] = 429, str(error.retry_after)
        return page
    except SignUpError:
        return _finished_or_lost(visitor, sign_up)
    messages.info(request, error_messages.resent(resent))
    return visitor.keep(_see_other("signup_verify"), sign_up)


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Another address for this sign-up. The request for the old one stays in the cookie."""
    limits.MAIL_REQUESTS.hit(request)
    visitor = Visitor(request)
    old = visitor.sign_up
    if old is None or old.is_finished:
        return _finished_or_lost(visitor, old)
    form = ChangeForm({"new_email": request.POST.get("suggested") or request.POST.get("new_email", "")})
    if not form.is_valid():
        return _verify_page(visitor, old, _form_of(visitor, old), form)
    next_page = visitor.held[old.handle].next
    return _request_code(visitor, form.cleaned_data["new_email"], form_id=old.handle, next_page=next_page)


@require_safe
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
    handle, _dot, proof = token.partition(".")
    sign_up = CaptchaModel.objects.by_handle(handle)
    response = _see_other("signup_verify")
    response["Referrer-Policy"] = "no-referrer"
    if sign_up is None or not codes.is_proof(sign_up, proof):
        return response
    is_new = Visitor(request).open_link(response, sign_up, proof)
    if is_new and verification.holds_proof(sign_up, proof=proof):  # else the page says what to do
        messages.info(request, _("You can finish here and close the page where you began"))
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def mute(request: HttpRequest, token: str) -> HttpResponse:
    """
    A mail's "This wasn't me" link, or the link that undoes it. Mail scanners open links, and some press the buttons
    that they find there. So a press is only answered by another button, and that one acts.
    """
    notice = suppression.read(token)
    if notice is None:
        text = _("Check that the link is complete: copy all of it from the email.")
        return error_page(request, 404, (_("This link doesn't work any more"), text))
    undo = "undo" in request.POST
    context: dict[str, Any] = {"notice": notice, "undo": undo}
    if request.method != "POST" or not (undo or notice.handle):
        context |= {"until": suppression.muted_until(address=notice.address), "days": suppression.MUTE_DAYS}
        response = render(request, "signup/mute.html", context)
    elif not suppression.is_confirmed(request.POST.get("confirm", ""), token, undo=undo):
        context["confirmation"] = suppression.confirmation(token, undo=undo)
        response = render(request, "signup/mute_confirm.html", context)
    else:
        if undo:
            suppression.lift(address=notice.address)
            messages.success(request, _("Undone. Sign-up email is sent to this address again"))
        else:
            suppression.mute(notice=notice)
        return _see_other(request.path)
    # The token in its address is in no referrer of its style and script: a proxy's log of errors has referrers. Not
    # "no-referrer", by which a POST has no Origin.
    response["Referrer-Policy"] = "strict-origin"
    return response


@sensitive_post_parameters("password", "captcha")
def set_language(request: HttpRequest) -> HttpResponse:
    """
    Django's own view, which also keeps a draft: the language switch is part of the page's form.

    `?next=` is the page to go back to, as the form may have a `next` of its own. Django's view would take every
    language that Django itself has, and in any spelling; this takes those that the site offers, as `?lang=` does.
    """
    fields = request.POST.copy()
    language = fields["language"] = languages.supported(fields.get("language", "")) or ""
    if "next" in request.GET:
        pages = {reverse(name): reverse(page) for name, page in POST_ONLY.items()}
        fields["next"] = pages.get(request.GET["next"].partition("?")[0], request.GET["next"])
    request.POST = fields  # type: ignore[assignment]
    response = i18n.set_language(request)
    if language:
        account_services.keep_language(user=request.user, language=language)
    path = urlsplit(response.headers.get("Location", "")).path
    typed = Visitor(request).typed
    if typed and path in [reverse(page) for page in DRAFT_PAGES]:
        draft_cookie(path).write(response, typed)
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """
    Refuse a form whose token is wrong. If it is of a page of ours, and the visitor has signed in since that was opened,
    as by a first press of the same button while the next page is slow, go on to that page.
    """
    page = request.resolver_match
    is_ours = request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"
    if is_ours and page and page.url_name in BEFORE_SIGN_IN and request.user.is_authenticated:
        return redirect(_next_page(request) or settings.LOGIN_REDIRECT_URL)
    text = _("Go back, reload the page and send it again. Cookies have to be allowed")
    return error_page(request, 403, (_("This page has expired"), text))


def form_page(request: HttpRequest, template: str, form: Form, **context: Any) -> HttpResponse:
    """
    A page with a form: 400 if it shows errors, so that no password manager takes it for a success. Their summary has
    the focus then, and no field: HTML allows one `autofocus` in a page. A second form may be in the context.
    """
    is_wrong = any(each.errors for each in (form, *context.values()) if isinstance(each, Form))
    for field in form.fields.values() if is_wrong else ():
        field.widget.attrs.pop("autofocus", None)
    page = render(request, template, {"form": form, **context}, status=400 if is_wrong else 200)
    return Visitor(request).drop_draft(page)


def _see_other(to: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(resolve_url(to), status=303)
