"""The pages of the journey. A view translates between the browser and one service call."""

import secrets
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from core import client_ip
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import VerificationError

from . import devices, drafts, error_messages, handles, limits, progress, services
from .forms import ChangeForm, EmailForm, RegisterForm
from .handles import Entry

BACKEND = "signup.accounts.backends.EmailOrUsernameBackend"


class SeeOther(HttpResponseRedirect):
    status_code = 303


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect("account" if request.user.is_authenticated else "signup")


@limits.counted(limits.count_request)
@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Ask for a code."""
    if request.user.is_authenticated:
        return redirect("account")
    if not settings.SIGNUP_OPEN:
        return render(request, "signup/closed.html", status=403)
    after = _local_next(request)
    form = EmailForm(request.POST if request.method == "POST" else None, initial=drafts.read(request))
    if request.method != "POST" or not form.is_valid():
        return _page(request, "signup/signup.html", form, next=after, once=secrets.token_urlsafe(12))
    entries = handles.read(request)
    sign_up = services.request_code(
        address=form.cleaned_data["email"],
        language=_language(),
        held=handles.link_proofs(entries),
        once=_once(request, form),
        network=client_ip.pseudonym(request),
    )
    response = SeeOther(resolve_url("signup_verify"))
    known = handles.find(entries, sign_up.handle) or Entry(sign_up.handle)
    newest = replace(known, next=after or known.next, own=True)
    handles.write(response, [newest, *handles.without(entries, sign_up.handle)])
    return response


@sensitive_post_parameters("password", "captcha")
@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Type the code, choose username and password."""
    if request.POST.get("new_email"):  # Enter was pressed there, which presses the page's first button
        return change(request)
    if request.method == "POST":
        limits.count_code(request)
    entries, sign_ups = _held(request)
    if not sign_ups:
        if request.user.is_authenticated:
            return redirect("account")
        return render(request, "signup/lost.html", status=400 if request.method == "POST" else 200)
    form = _register_form(request, entries, sign_ups)
    user = form.save(language=_language()) if form.is_valid() else None
    if user is None or form.chosen is None:
        page = _verify_page(request, form)
        kept = [replace(each, link_proof=form.link_proofs.get(each.handle, "")) for each in entries]
        kept = [replace(each, own=True) if each.handle == form.proven_handle else each for each in kept]
        if kept != entries:  # the code was right, and something else was not
            handles.write(page, kept)
        return page
    login(request, user, backend=BACKEND)
    messages.success(request, _("Your account is ready. You're signed in"))
    mine = handles.find(entries, form.chosen.handle) or Entry("")
    response = SeeOther(mine.next or resolve_url(settings.LOGIN_REDIRECT_URL))
    done = {each.handle for each in sign_ups if each.address == form.chosen.address}
    handles.write(response, [each for each in entries if each.handle not in done])
    devices.remember(request, response, user)
    return response


@sensitive_post_parameters("password", "captcha")
@limits.counted(limits.count_request)
@require_POST
def resend(request: HttpRequest) -> HttpResponse:
    """Another mail for this browser's request."""
    entries, sign_ups = _held(request)
    address = request.POST.get("email", "")
    sign_up = next((each for each in sign_ups if each.address == address), sign_ups[0] if sign_ups else None)
    if sign_up is None:
        return render(request, "signup/lost.html", status=400)
    try:
        renewed = services.resend(sign_up=sign_up, language=_language(), network=client_ip.pseudonym(request))
    except verification.ResendTooSoon as error:
        messages.info(request, error_messages.explain(error).message)
        form = _register_form(request, entries, [sign_up], draft=drafts.typed(request))
        response = _verify_page(request, form, status=429)
        response["Retry-After"] = str(error.retry_after)
        return response
    except VerificationError:
        return render(request, "signup/lost.html", status=400)
    messages.info(
        request, _("We've sent a new code") if renewed else _("We've sent the email again. The code is the same")
    )
    response = SeeOther(resolve_url("signup_verify"))
    handles.write(response, handles.first(entries, sign_up.handle))
    drafts.keep(response, path=response.url, typed=drafts.typed(request, "username"))
    return response


@sensitive_post_parameters("password", "captcha")
@limits.counted(limits.count_request)
@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Another address for this sign-up: a request of its own, while that of the old address stays in the cookie."""
    if not settings.SIGNUP_OPEN:
        return render(request, "signup/closed.html", status=403)
    entries, sign_ups = _held(request)
    if not sign_ups:
        return render(request, "signup/lost.html", status=400)
    form = ChangeForm({"new_email": request.POST.get("suggested") or request.POST.get("new_email", "")})
    if not form.is_valid():
        page = _register_form(request, entries, sign_ups, draft=drafts.typed(request))
        return _verify_page(request, page, status=400, change=form)
    old = handles.find(entries, sign_ups[0].handle) or Entry(sign_ups[0].handle)
    address = form.cleaned_data["new_email"]
    sign_up = services.request_code(
        address=address,
        language=_language(),
        held=handles.link_proofs(entries),
        once=codes.handle_for("", old.handle, address),  # no form's `once` is empty: this seed is none of theirs
        network=client_ip.pseudonym(request),
    )
    response = SeeOther(resolve_url("signup_verify"))
    known = handles.find(entries, sign_up.handle) or Entry(sign_up.handle, next=old.next)
    handles.write(response, [known, *handles.without(entries, sign_up.handle)])
    drafts.keep(response, path=response.url, typed=drafts.typed(request, "username"))
    return response


@require_GET
def status(request: HttpRequest) -> JsonResponse:
    """The delivery state of this browser's newest request, or of the one with the reference `ref`."""
    _entries, sign_ups = _held(request)
    if not sign_ups:
        return JsonResponse({"state": "unknown"}, status=404)
    return JsonResponse(progress.delivery_state(sign_ups[0]))


@require_safe
def link(request: HttpRequest, token: str) -> HttpResponse:
    """
    The mail's link. Mail scanners open links too, so this only marks the browser; the form's POST proves.

    The redirect takes the token out of the address bar, the history entry and any Referer.
    """
    handle, link_proof = codes.split_link(token)
    sign_up = next(iter(CaptchaModel.objects.by_handles([handle] if codes.is_handle(handle) else [])), None)
    response = SeeOther(resolve_url("signup_verify"))
    response["Referrer-Policy"] = "no-referrer"
    if sign_up and codes.is_link_proof(sign_up, link_proof):
        _mark(request, response, sign_up, link_proof)
    return response


def _mark(request: HttpRequest, response: HttpResponse, sign_up: CaptchaModel, link_proof: str) -> None:
    """
    Have this browser hold a request, whose mail's link it opened, before all others. Whoever asked for that mail, the
    link proves; a request that was begun here, for the same address or for another, stays.
    """
    entries, sign_ups = _held(request)
    same = {each.handle for each in sign_ups if each.address == sign_up.address}
    known = handles.find(entries, sign_up.handle)
    if known is None:
        begun = next((each for each in entries if each.own and each.handle in same), None)
        if begun and not verification.holds_proof(sign_up, link_proof=link_proof):
            return  # a link that is over is worth less than the code of the request that was begun here
        known = Entry(sign_up.handle, next=begun.next if begun else "", own=False)
        messages.info(request, _("You can finish here and close the page where you began"))
    if link_proof == codes.link_proof_of(sign_up):
        known = replace(known, link_proof=link_proof)
    others = [each for each in handles.without(entries, sign_up.handle) if each.own or each.handle not in same]
    handles.write(response, [known, *others])


def _held(request: HttpRequest) -> tuple[list[Entry], list[CaptchaModel]]:
    """
    The requests of this browser, newest first; before them those that this page is about, if it says which. Of two for
    one address, one that is proven comes first, then the one that was begun here: its code is what people type.
    """
    entries = handles.read(request)
    sign_ups = CaptchaModel.objects.by_handles(each.handle for each in entries)
    held = {each.handle: each for each in entries}
    addresses = [each.address for each in sign_ups]
    address = request.POST.get("email") or drafts.read(request).get("email")
    reference = request.GET.get("ref")

    def order(sign_up: CaptchaModel) -> tuple[bool | int, ...]:
        entry = held[sign_up.handle]
        return (
            codes.reference_of(sign_up) != reference,
            sign_up.address != address,
            addresses.index(sign_up.address),
            not verification.holds_proof(sign_up, link_proof=entry.link_proof),
            not entry.own,
        )

    return entries, sorted(sign_ups, key=order)


def _once(request: HttpRequest, form: EmailForm) -> str | None:
    """The handle that a double click gets twice: of this rendering of the form, in this browser, for this address."""
    rendering, browser = request.POST.get("once", ""), request.COOKIES.get(settings.CSRF_COOKIE_NAME, "")
    if not rendering or not browser:
        return None
    return codes.handle_for(rendering, browser, form.cleaned_data["email"])


def _register_form(
    request: HttpRequest, entries: list[Entry], sign_ups: list[CaptchaModel], *, draft: dict[str, str] | None = None
) -> RegisterForm:
    """The form as it was sent; or, with a `draft`, and on GET, one to go on with."""
    return RegisterForm(
        request.POST if request.method == "POST" and draft is None else None,
        sign_ups=sign_ups,
        link_proofs={each.handle: each.link_proof for each in entries if each.link_proof},
        initial={**(draft or drafts.read(request)), "email": sign_ups[0].address},
    )


def _verify_page(
    request: HttpRequest, form: RegisterForm, status: int | None = None, change: ChangeForm | None = None
) -> HttpResponse:
    extra = progress.page_context(form.chosen, proven=form.is_proven) if form.chosen else {}
    if not form["captcha"].errors:  # which say it themselves
        form["captcha"].help_text = extra.get("tries_left", "")
    here = resolve_url("signup_verify")  # the page may be the answer to a POST elsewhere, which nobody can go back to
    return _page(request, "signup/verify.html", form, status=status, change=change or ChangeForm(), here=here, **extra)


def _page(request: HttpRequest, template: str, form: Form, status: int | None = None, **extra: Any) -> HttpResponse:
    """A page with a form: 400 where it shows errors, so that no password manager takes it for a success."""
    page = render(request, template, {"form": form, **extra}, status=status or (400 if form.errors else 200))
    return drafts.drop(request, page)


def _language() -> str:
    return get_language() or settings.LANGUAGE_CODE


def _local_next(request: HttpRequest) -> str:
    """The page to go to afterwards, if it is one of this site's."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    target = iri_to_uri(asked)  # what goes into the cookie is as short as it looks
    safe = url_has_allowed_host_and_scheme(asked, allowed_hosts=None, require_https=request.is_secure())
    return target if safe and target.startswith("/") and len(target) <= handles.NEXT_LENGTH else ""
