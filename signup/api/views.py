"""The calls. Each translates between JSON and one service call, by the forms and limits of the pages."""

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import network
from signup import handles, limits, progress, services
from signup.account_forms import LoginForm
from signup.forms import EmailForm, RegisterForm
from signup.models import User
from verification import lookup
from verification.models import CaptchaModel
from verification.states import HandleLost

from . import parsing, problems, shapes, tokens
from .codes import Code
from .language import spoken
from .problems import Refusal
from .schema import describe


class Call(APIView):
    """A call with a token. It speaks the caller's language from its first error on."""

    http_method_names = ["get", "head", "post"]

    def language(self, request: HttpRequest) -> str:
        return spoken(request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        translation.activate(self.language(request))
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            parsing.refuse_other_types(request)


class OpenCall(Call):
    """A call that needs no token, and looks at none: an old one in an app's storage stands in nobody's way."""

    authentication_classes = ()
    permission_classes = ()


class Captchas(OpenCall):
    @describe("ask_code")
    def post(self, request: Request) -> Response:
        if not settings.SIGNUP_OPEN:
            raise Refusal(Code.SIGNUP_CLOSED)
        limits.charge_request(request._request)
        form = EmailForm(parsing.texts(request, shapes.AskCode))
        if not form.is_valid():
            raise problems.of_form(form)
        captcha = services.request_code(
            address=form.cleaned_data["email"],
            language=_language(),
            held={},
            network=network.fingerprint(request._request),
        )
        return Response(_code_request(request, captcha), status=202)


class Resend(OpenCall):
    @describe("resend_code")
    def post(self, request: Request, id: str) -> Response:
        limits.charge_request(request._request)
        captcha = _in_path(id)
        try:
            services.resend(captcha=captcha, language=_language(), network=network.fingerprint(request._request))
        except HandleLost as error:  # it is proven, and so over for who has no code
            raise Refusal(Code.SESSION_LOST, status=404) from error
        captcha.refresh_from_db()
        return Response(_code_request(request, captcha), status=202)


class Captcha(OpenCall):
    @describe("code_status")
    def get(self, request: Request, id: str) -> Response:
        return Response(progress.delivery_state(_in_path(id)))


class Users(OpenCall):
    @describe("register")
    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """A client without cookies shows its code again with each try of another username (docs/decisions/0001)."""
        limits.charge_verify(request._request)
        given = parsing.texts(request, shapes.NewUser)
        handle = given.get("id", "")
        form = RegisterForm(given, captchas=[_find(handle)])
        user = form.save(language=_language()) if form.is_valid() else None
        if user is None:
            _find(handle)  # a parallel call may have made the account, and taken the username with it
            raise problems.of_form(form)
        token = _sign_in(request, user).token
        return Response({"id": user.pk, "username": user.username, "email": user.email, "token": token}, status=201)


class Login(OpenCall):
    @describe("sign_in")
    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        limits.charge_sign_in(request._request)
        form = LoginForm(request._request, parsing.texts(request, shapes.SignIn))
        if not form.is_valid():
            raise Refusal(Code.LOGIN_FAILED) if form.has_error("__all__") else problems.of_form(form)
        return Response(shapes.Token(_sign_in(request, form.get_user())._asdict()).data)


class Logout(Call):
    @describe("sign_out")
    def post(self, request: Request) -> Response:
        request.auth.delete()
        user_logged_out.send(sender=User, request=request._request, user=request.user)
        return Response(status=204)


class Me(Call):
    @describe("me")
    def get(self, request: Request) -> Response:
        user = cast(User, request.user)
        language = user.language or settings.LANGUAGE_CODE  # an operator's account may have chosen none
        return Response({"id": user.pk, "username": user.username, "email": user.email, "language": language})


class Unknown(OpenCall):
    """Whatever else is below /api/."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Http404


def _sign_in(request: Request, user: User) -> tokens.Issued:
    issued = tokens.issue(user=user)
    if issued is None:
        raise Refusal(Code.LOGIN_FAILED)
    user_logged_in.send(sender=User, request=request._request, user=user)
    return issued


def _find(handle: str) -> CaptchaModel:
    """Raises HandleLost, or AlreadyRedeemed."""
    if not handles.is_handle(handle):
        raise HandleLost
    return lookup.get(handle=handle)


def _in_path(handle: str) -> CaptchaModel:
    """The request that a path names. A lost one is a path that leads nowhere."""
    try:
        return _find(handle)
    except HandleLost as error:
        raise Refusal(Code(error.code), status=404) from error


def _language() -> str:
    return translation.get_language() or settings.LANGUAGE_CODE


def _code_request(request: Request, captcha: CaptchaModel) -> dict[str, Any]:
    """What a client may know of its request: the same for every address."""
    return {
        "id": captcha.handle,
        "code_length": captcha.length,
        "expires_in": lookup.seconds_left(captcha),
        "resend_after": lookup.resend_wait(captcha),
        "status_url": request.build_absolute_uri(reverse("api_captcha", args=[captcha.handle])),
    }
