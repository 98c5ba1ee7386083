"""What the schema and the docs say of each call, by operation id, in the order of a sign-up."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.serializers import Serializer

from . import shapes
from .codes import Code

Shape = type[Serializer[Any]]

ANYWHERE = (Code.BAD_REQUEST, Code.UNAVAILABLE)
WITH_A_BODY = (Code.MALFORMED, Code.VALIDATION, Code.TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
WITH_A_TOKEN = (Code.NOT_AUTHENTICATED, Code.INVALID_TOKEN)
OF_A_LOST_ID = (Code.SESSION_LOST, Code.ALREADY_REDEEMED)


@dataclass(frozen=True)
class CallDoc:
    """One call, and the refusals of its own."""

    summary: Any
    description: Any
    status: int
    takes: Shape | None = None
    gives: Shape | None = None
    refusals: tuple[Code, ...] = ()

    @property
    def all_refusals(self) -> list[Code]:
        return [*self.refusals, *(WITH_A_BODY if self.takes else ()), *ANYWHERE]


CALLS = {
    "ask_code": CallDoc(
        _("Ask for a code"),
        _(
            "A code goes to the address. The answer is the same for every address, whether it has an account or not. "
            "Asking again makes another request with another code."
        ),
        202,
        shapes.AskCode,
        shapes.CodeRequest,
        (Code.EMAIL_REGISTERED, Code.SIGNUP_CLOSED, Code.RATE_LIMITED),
    ),
    "code_status": CallDoc(
        _("See whether the email has left"),
        _("queued and sending become sent; delayed is tried again by itself; failed calls for another address."),
        200,
        gives=shapes.DeliveryState,
        refusals=OF_A_LOST_ID,
    ),
    "resend_code": CallDoc(
        _("Ask for the email again"),
        _("The code stays the same while it works, and works for longer; else a new one comes."),
        202,
        gives=shapes.CodeRequest,
        refusals=(*OF_A_LOST_ID, Code.RESEND_WAIT, Code.RATE_LIMITED, Code.UNSUPPORTED_MEDIA_TYPE),
    ),
    "register": CallDoc(
        _("Make the account"),
        _(
            "The id alone opens nothing: send the code with each try, also after the username was taken. A right code "
            "is never counted. Repeat a call whose answer was lost: already_redeemed says that the account is made, so "
            "sign in."
        ),
        201,
        shapes.NewUser,
        shapes.NewAccount,
        (
            Code.MISMATCH,
            Code.TOO_MANY,
            Code.EXPIRED,
            Code.LENGTHENED,
            Code.LINK_ONLY,
            Code.USERNAME_TAKEN,
            Code.EMAIL_REGISTERED,
            *OF_A_LOST_ID,
            Code.RATE_LIMITED,
        ),
    ),
    "sign_in": CallDoc(
        _("Sign in"),
        _("Gives a token, which works until it expires, is signed out, or the password changes."),
        200,
        shapes.SignIn,
        shapes.Token,
        (Code.LOGIN_FAILED, Code.RATE_LIMITED),
    ),
    "sign_out": CallDoc(
        _("Sign out"), _("The token works no more."), 204, refusals=(*WITH_A_TOKEN, Code.UNSUPPORTED_MEDIA_TYPE)
    ),
    "me": CallDoc(
        _("See whose token it is"), _("The account of the token."), 200, gives=shapes.Account, refusals=WITH_A_TOKEN
    ),
}
