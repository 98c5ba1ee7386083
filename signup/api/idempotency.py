"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request for a code that may be repeated."""

import re
from datetime import timedelta

from django.db import transaction
from rest_framework.request import Request

from core import clock
from signup import services
from signup.models import User
from verification import codes
from verification.models import CaptchaModel

from .problems import ErrorCode, Problem

LIFETIME = timedelta(minutes=10)
_KEY = re.compile(r"[ -~]{1,255}")


def key_of(request: Request) -> str | None:
    """The client's key as it was sent, quotes included; None without one. Raises Problem for one that can't be used."""
    key: str | None = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Problem(ErrorCode.IDEMPOTENCY_KEY)
    return key


@transaction.atomic
def request_code(*, key: str, address: str, language: str, network: str) -> CaptchaModel:
    """
    Have a code mailed as `signup.services.request_code` does, but return the request of an earlier call if one had the
    same key, address and network less than LIFETIME ago: also one that is finished by now.

    Nothing else is stored: the handle is derived from these values and from the present window of LIFETIME. An earlier
    call was in this window or in the last. It may also have been in the next: by another machine's clock, or because
    this call had to wait for it, as calls for one address wait for each other.
    """
    window = int(clock.now().timestamp() // LIFETIME.total_seconds())
    handles = [
        codes.handle_for("api", str(number), network, address, key) for number in (window, window - 1, window + 1)
    ]
    User.objects.lock_or_create(email=address)
    repeated = CaptchaModel.objects.filter(handle__in=handles, created_at__gt=clock.now() - LIFETIME).first()
    return repeated or services.request_code(
        address=address, language=language, held={}, handle=handles[0], network=network
    )
