"""The calls, in the order of a sign-up. Each is one serializer and one service, under the limits of the pages."""

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_safe
from django_ratelimit import UNSAFE
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from structlog.contextvars import bind_contextvars

from core import client_ip, languages
from signup import limits, progress, services
from signup.accounts import services as account_services
from signup.models import User

from . import idempotency, problems, schema, serializers, tokens
from .parsing import StrictJSONParser, require_json
from .problems import ErrorCode, Problem
from .schema import OperationSchema, extend_schema


class Call(APIView):
    """A call with a token. Another app may set REST_FRAMEWORK for its own calls: nothing here follows it."""

    authentication_classes: tuple[Any, ...] = (tokens.Authentication,)
    permission_classes: tuple[Any, ...] = (IsAuthenticated,)
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)
    throttle_classes = ()
    versioning_class = None
    schema = OperationSchema()
    http_method_names = ["get", "head", "post"]
    password_methods: tuple[str, ...] = ()  # those that take an account's password, and count as a sign-in
    ignores_body = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        translation.activate(problems.accepted_language(request))  # first, so that errors are in it
        if request.method not in self.allowed_methods:  # DRF would ask for a token before
            self.http_method_not_allowed(request)
        if request.method in self.password_methods:
            limits.count_sign_in(request)  # before the token is looked up
        super().initial(request, *args, **kwargs)
        if request.user and request.user.is_authenticated:  # none by REST_FRAMEWORK["UNAUTHENTICATED_USER"]
            bind_contextvars(user_id=request.user.pk)  # in each line of the log from here on
        if request.method in UNSAFE and not self.ignores_body:
            require_json(request)

    @sensitive_variables()
    def validated(self, serializer_class: type[serializers.FormSerializer]) -> serializers.FormSerializer:
        """The body of the request, validated. Raises Problem, RateLimited or SignUpError."""
        serializer = serializer_class(data=self.request.data, context={"request": self.request})
        serializer.is_valid(raise_exception=True)
        return serializer

    def get_exception_handler(self) -> Any:
        return problems.exception_handler

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """There is one kind of response, so the Accept header is ignored (RFC 9110 §12.1)."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type


class OpenCall(Call):
    """A call without a token. It ignores one that is sent, so that an expired one in an app's storage does no harm."""

    authentication_classes = ()
    permission_classes = ()


class Captchas(OpenCall):
    @extend_schema(
        operation_id="ask_code",
        summary=_("Request a code"),
        description=_(
            "Sends a code to the address. The response is the same for every address, whether it has an account or "
            "not. Calling again creates another request with another code, unless the Idempotency-Key is the same."
        ),
        parameters=[schema.IDEMPOTENCY_KEY],
        request=serializers.AskCodeSerializer,
        responses={202: serializers.CodeRequestSerializer},
        errors=(ErrorCode.EMAIL_REGISTERED, ErrorCode.SIGNUP_CLOSED, ErrorCode.IDEMPOTENCY_KEY, ErrorCode.RATE_LIMITED),
    )
    def post(self, request: Request) -> Response:
        if not settings.SIGNUP_OPEN:
            raise Problem(ErrorCode.SIGNUP_CLOSED)
        limits.MAIL_REQUESTS.hit(request)
        key = idempotency.key_of(request)
        serializer = self.validated(serializers.AskCodeSerializer)
        address, network = serializer.validated_data["email"], client_ip.pseudonym(request)
        if key is None:
            sign_up = services.request_code(address=address, language=languages.active(), held={}, network=network)
        else:
            sign_up = idempotency.request_code(key=key, address=address, language=languages.active(), network=network)
        return Response(serializers.CodeRequestSerializer(sign_up, context={"request": request}).data, status=202)


class Captcha(OpenCall):
    @extend_schema(
        operation_id="code_status",
        summary=_("Get the state of a sign-up and its email"),
        description=_(
            "queued and sending become sent; delayed is tried again by itself; failed and bounced come with a reason. "
            "After that, proven and finished are about the sign-up."
        ),
        responses={200: serializers.DeliveryStateSerializer},
        lost=(ErrorCode.SESSION_LOST,),
    )
    def get(self, request: Request, id: str) -> Response:
        sign_up = serializers.find_sign_up(id)
        return Response(progress.delivery_state(sign_up) | {"code_length": sign_up.length})


class Resend(OpenCall):
    @extend_schema(
        operation_id="resend_code",
        summary=_("Resend the email"),
        description=_(
            "While the code is valid, it stays the same and is valid for longer; otherwise a new one is sent."
        ),
        request=None,
        responses={202: serializers.CodeRequestSerializer},
        errors=(ErrorCode.RESEND_WAIT, ErrorCode.RATE_LIMITED),
        lost=schema.LOST_ID,
    )
    def post(self, request: Request, id: str) -> Response:
        limits.MAIL_REQUESTS.hit(request)
        sign_up = serializers.find_live(id)
        services.resend(sign_up=sign_up, language=languages.active(), network=client_ip.pseudonym(request))
        sign_up.refresh_from_db()
        return Response(serializers.CodeRequestSerializer(sign_up, context={"request": request}).data, status=202)


class Users(OpenCall):
    @extend_schema(
        operation_id="register",
        summary=_("Create the account"),
        description=_(
            "The id alone opens nothing: send the code with each try, also after the username was taken. A right code "
            "is never counted. If a response was lost, repeat the call: already_redeemed means that the account "
            "exists, so sign in."
        ),
        request=serializers.NewUserSerializer,
        responses={201: serializers.NewAccountSerializer},
        errors=(*problems.REFUSALS, ErrorCode.LOGIN_FAILED, ErrorCode.RATE_LIMITED),
    )
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """A client without cookies sends its code again with each try of another username (docs/decisions/0001)."""
        limits.VERIFY.hit(request)
        serializer = self.validated(serializers.NewUserSerializer)
        user = serializer.form.save()
        if user is None:
            serializer.refuse()
        token = _sign_in(request, user).token
        account = {"id": str(user.public_id), "username": user.username, "email": user.email}
        return Response(account | {"token": token}, status=201)


class Login(OpenCall):
    password_methods = ("POST",)

    @extend_schema(
        operation_id="sign_in",
        summary=_("Sign in"),
        description=_("Returns a token, which works until it expires, is signed out, or the password changes."),
        request=serializers.SignInSerializer,
        responses={200: serializers.TokenSerializer},
        errors=(ErrorCode.LOGIN_FAILED, ErrorCode.RATE_LIMITED),
    )
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        serializer = self.validated(serializers.SignInSerializer)
        issued = _sign_in(request, serializer.form.get_user())
        return Response(serializers.TokenSerializer(issued).data)


class Logout(Call):
    ignores_body = True  # whatever its type, no page of another site can send the token without a preflight

    @extend_schema(
        operation_id="sign_out",
        summary=_("Sign out"),
        description=_("The token stops working."),
        request=None,
        responses={204: None},
        errors=schema.TOKEN_ERRORS,
    )
    def post(self, request: Request) -> Response:
        if request.auth:  # none by DRF's `force_authenticate`, in tests of other apps
            request.auth.delete()
        user_logged_out.send(sender=User, request=request, user=request.user)
        return Response(status=204)


class PasswordReset(OpenCall):
    @extend_schema(
        operation_id="request_password_reset",
        summary=_("Request a password reset"),
        description=_(
            "If the address has an account, it gets an email with a link to a page of the site, where its reader "
            "chooses a new password. The response is the same for every address."
        ),
        request=serializers.PasswordResetSerializer,
        responses={202: serializers.MessageSerializer},
        errors=(ErrorCode.RATE_LIMITED,),
    )
    def post(self, request: Request) -> Response:
        limits.MAIL_REQUESTS.hit(request)
        serializer = self.validated(serializers.PasswordResetSerializer)
        return Response({"detail": serializer.form.save(network=client_ip.pseudonym(request))}, status=202)


class Me(Call):
    http_method_names = ["get", "head", "patch", "delete"]
    password_methods = ("DELETE",)

    @extend_schema(
        operation_id="me",
        summary=_("Get the current account"),
        description=_("The account of the token."),
        responses={200: serializers.AccountSerializer},
        errors=schema.TOKEN_ERRORS,
    )
    def get(self, request: Request) -> Response:
        return Response(serializers.AccountSerializer(request.user).data)

    @extend_schema(
        operation_id="change_language",
        summary=_("Change the language"),
        description=_("The language of later emails to the account."),
        request=serializers.LanguageChangeSerializer,
        responses={200: serializers.AccountSerializer},
        errors=schema.TOKEN_ERRORS,
    )
    def patch(self, request: Request) -> Response:
        serializer = self.validated(serializers.LanguageChangeSerializer)
        user = cast(User, request.user)
        account_services.keep_language(user=user, language=serializer.validated_data["language"])
        return Response(serializers.AccountSerializer(user).data)

    @extend_schema(
        operation_id="delete_account",
        summary=_("Delete the account"),
        description=_(
            "Deletes the account and its tokens, after its password, and frees its username and address. Staff can't "
            "delete themselves."
        ),
        request=serializers.DeletionSerializer,
        responses={204: None},
        errors=(*schema.TOKEN_ERRORS, ErrorCode.FORBIDDEN, ErrorCode.RATE_LIMITED),
    )
    @sensitive_variables()
    def delete(self, request: Request) -> Response:
        if cast(User, request.user).is_in_log:
            raise Problem(ErrorCode.FORBIDDEN)  # as on the page
        self.validated(serializers.DeletionSerializer)
        request.user.delete()
        return Response(status=204)


class Password(Call):
    password_methods = ("POST",)

    @extend_schema(
        operation_id="change_password",
        summary=_("Change the password"),
        description=_(
            "All tokens and sessions of the account end. The response has a new token, and the owner gets an email."
        ),
        request=serializers.PasswordChangeSerializer,
        responses={200: serializers.TokenSerializer},
        errors=(*schema.TOKEN_ERRORS, ErrorCode.RATE_LIMITED),
    )
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        serializer = self.validated(serializers.PasswordChangeSerializer)
        try:
            issued = tokens.issue(user=serializer.form.save())
        except account_services.AccountChanged as error:  # before the new password was saved, or after
            raise Problem(ErrorCode.INVALID_TOKEN) from error
        return Response(serializers.TokenSerializer(issued).data)


class Schema(OpenCall):
    """OpenAPI 3.1 as JSON, its descriptions in the caller's language."""

    schema: Any = None  # DRF's way to leave a call out

    def get(self, request: Request) -> Response:
        translation.activate(languages.for_operators(languages.active()))
        return Response(schema.document(languages.active()))


@csrf_exempt  # so that a POST is a 405, too
@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The schema as a page without scripts. It follows the language switch of the pages."""
    translation.activate(languages.for_operators(languages.active()))
    codes = {"problems": problems.PROBLEMS, "field_errors": problems.FIELD_ERRORS}
    return render(request, "api/docs.html", {"schema": schema.page(languages.active()), **codes})


def _sign_in(request: Request, user: User) -> tokens.Issued:
    try:
        issued = tokens.issue(user=user)
    except account_services.AccountChanged as error:
        raise Problem(ErrorCode.LOGIN_FAILED) from error
    bind_contextvars(user_id=user.pk)
    user_logged_in.send(sender=User, request=request, user=user)
    return issued
