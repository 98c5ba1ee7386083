"""The calls, in the order of a sign-up. Each is one serializer and one service, under the limits of the pages."""

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import client_ip
from signup import limits, progress, services
from signup.models import User
from verification.models import CaptchaModel
from verification.states import HandleLost

from . import parsing, schema, tokens
from .problems import FIELD_ERRORS, PROBLEMS, REFUSALS, ErrorCode, Problem, accepted_language
from .schema import errors
from .serializers import (
    AccountSerializer,
    AskCodeSerializer,
    CodeRequestSerializer,
    DeliveryStateSerializer,
    NewAccountSerializer,
    NewUserSerializer,
    SignInSerializer,
    TokenSerializer,
    find_sign_up,
)

LOST_ID = (ErrorCode.SESSION_LOST, ErrorCode.ALREADY_REDEEMED)


class Call(APIView):
    """A call with a token. The language is active before anything can fail."""

    http_method_names = ["get", "head", "post"]

    def language(self, request: HttpRequest) -> str:
        return accepted_language(request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        translation.activate(self.language(request))
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            parsing.refuse_other_types(request)


class OpenCall(Call):
    """A call without a token. It ignores one that is sent, so that an expired one in an app's storage does no harm."""

    authentication_classes = ()
    permission_classes = ()


class Captchas(OpenCall):
    @extend_schema(
        operation_id="ask_code",
        summary=_("Ask for a code"),
        description=_(
            "A code goes to the address. The response is the same for every address, whether it has an account or not. "
            "Asking again makes another request with another code."
        ),
        request=AskCodeSerializer,
        responses={202: CodeRequestSerializer}
        | errors(ErrorCode.EMAIL_REGISTERED, ErrorCode.SIGNUP_CLOSED, ErrorCode.RATE_LIMITED, body=AskCodeSerializer),
    )
    def post(self, request: Request) -> Response:
        if not settings.SIGNUP_OPEN:
            raise Problem(ErrorCode.SIGNUP_CLOSED)
        limits.REQUESTS.hit(request)
        serializer = AskCodeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        sign_up = services.request_code(
            address=serializer.validated_data["email"],
            language=_language(),
            held={},
            network=client_ip.pseudonym(request),
        )
        return _code_request(request, sign_up)


class Captcha(OpenCall):
    @extend_schema(
        operation_id="code_status",
        summary=_("See whether the email has left"),
        description=_(
            "queued and sending become sent; delayed is tried again by itself; failed calls for another address."
        ),
        responses={200: DeliveryStateSerializer} | errors(in_path=LOST_ID),
    )
    def get(self, request: Request, id: str) -> Response:
        return Response(progress.delivery_state(_in_path(id)))


class Resend(OpenCall):
    @extend_schema(
        operation_id="resend_code",
        summary=_("Ask for the email again"),
        description=_("The code stays the same while it works, and works for longer; else a new one comes."),
        request=None,
        responses={202: CodeRequestSerializer}
        | errors(ErrorCode.RESEND_WAIT, ErrorCode.RATE_LIMITED, ErrorCode.UNSUPPORTED_MEDIA_TYPE, in_path=LOST_ID),
    )
    def post(self, request: Request, id: str) -> Response:
        limits.REQUESTS.hit(request)
        sign_up = _in_path(id)
        try:
            services.resend(sign_up=sign_up, language=_language(), network=client_ip.pseudonym(request))
        except HandleLost as error:  # somebody proved it: without the code it is over
            raise Problem(ErrorCode.SESSION_LOST, status=404) from error
        sign_up.refresh_from_db()
        return _code_request(request, sign_up)


class Users(OpenCall):
    @extend_schema(
        operation_id="register",
        summary=_("Create the account"),
        description=_(
            "The id alone opens nothing: send the code with each try, also after the username was taken. A right code "
            "is never counted. If a response was lost, repeat the call: already_redeemed means that the account "
            "exists, so sign in."
        ),
        request=NewUserSerializer,
        responses={201: NewAccountSerializer} | errors(*REFUSALS, ErrorCode.RATE_LIMITED, body=NewUserSerializer),
    )
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """A client without cookies sends its code again with each try of another username (docs/decisions/0001)."""
        limits.VERIFY.hit(request)
        serializer = NewUserSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = serializer.save(language=_language())
        token = _sign_in(request, user).token
        return Response({"id": user.pk, "username": user.username, "email": user.email, "token": token}, status=201)


class Login(OpenCall):
    @extend_schema(
        operation_id="sign_in",
        summary=_("Sign in"),
        description=_("Returns a token, which works until it expires, is signed out, or the password changes."),
        request=SignInSerializer,
        responses={200: TokenSerializer}
        | errors(ErrorCode.LOGIN_FAILED, ErrorCode.RATE_LIMITED, body=SignInSerializer),
    )
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        limits.count_sign_in(request)
        serializer = SignInSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        issued = _sign_in(request, serializer.form.get_user())
        return Response(TokenSerializer(issued).data)


class Logout(Call):
    @extend_schema(
        operation_id="sign_out",
        summary=_("Sign out"),
        description=_("The token stops working."),
        request=None,
        responses={204: None}
        | errors(ErrorCode.NOT_AUTHENTICATED, ErrorCode.INVALID_TOKEN, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
    )
    def post(self, request: Request) -> Response:
        request.auth.delete()
        user_logged_out.send(sender=User, request=request, user=request.user)
        return Response(status=204)


class Me(Call):
    @extend_schema(
        operation_id="me",
        summary=_("Get the current account"),
        description=_("The account of the token."),
        responses={200: AccountSerializer} | errors(ErrorCode.NOT_AUTHENTICATED, ErrorCode.INVALID_TOKEN),
    )
    def get(self, request: Request) -> Response:
        return Response(AccountSerializer(cast(User, request.user)).data)


@extend_schema(exclude=True)
class Schema(OpenCall):
    """OpenAPI 3.1 as JSON, its descriptions in the caller's language."""

    def get(self, request: Request) -> JsonResponse:
        return JsonResponse(schema.document(_language()), json_dumps_params={"ensure_ascii": False})


@extend_schema(exclude=True)
class Docs(OpenCall):
    """The schema as a page without scripts. It follows the language switch of the pages."""

    renderer_classes = (TemplateHTMLRenderer,)

    def language(self, request: HttpRequest) -> str:
        return translation.get_language_from_request(request)

    def get(self, request: Request) -> Response:
        context = {"calls": schema.calls(_language()), "problems": PROBLEMS, "field_errors": FIELD_ERRORS}
        return Response(context, template_name="api/docs.html")


@extend_schema(exclude=True)
class Unknown(OpenCall):
    """Any other path below /api/."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Http404


def _sign_in(request: Request, user: User) -> tokens.Issued:
    issued = tokens.issue(user=user)
    if issued is None:
        raise Problem(ErrorCode.LOGIN_FAILED)
    user_logged_in.send(sender=User, request=request, user=user)
    return issued


def _in_path(handle: str) -> CaptchaModel:
    """The sign-up request that a path names. A lost one makes it a path to nowhere: a 404."""
    try:
        return find_sign_up(handle)
    except HandleLost as error:
        raise Problem(ErrorCode(error.code), status=404) from error


def _language() -> str:
    return translation.get_language() or settings.LANGUAGE_CODE


def _code_request(request: Request, sign_up: CaptchaModel) -> Response:
    return Response(CodeRequestSerializer(sign_up, context={"request": request}).data, status=202)
