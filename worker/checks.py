"""System check: every mail can be built with the settings and templates of this site."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.translation import gettext as _

from verification import codes

from . import messages
from .models import Delivery


def register() -> None:
    checks.register(mails, "doorcode", deploy=True)


def mails(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Build each kind of mail in each language. The database isn't asked."""
    hint = _("Check SITE_NAME, DEFAULT_FROM_EMAIL and the mail templates in BRAND_DIR")
    return [checks.Error(text, hint=hint, id="doorcode.E020") for text in faults()]


def faults() -> Iterator[str]:
    """Yield, for each mail that can't be sent as it is, its kind and language, and why."""
    for kind, (language, _name) in product([*Delivery.Kind.values, messages.TEST], settings.LANGUAGES):
        try:
            fault = _fault(kind, language)
        except Exception as error:
            notes = " ".join(getattr(error, "__notes__", []))
            fault = f"{type(error).__name__}: {error} {notes}".strip()
        if fault:
            yield _("The mail %(kind)s in %(language)s: %(fault)s") % {
                "kind": kind,
                "language": language,
                "fault": fault,
            }


def _fault(kind: str, language: str) -> str:
    """Return what is wrong with a mail that can be built; raise what keeps it from being built."""
    delivery = messages.sample(kind=kind, language=language)
    message = messages.build(delivery)
    message.message().as_bytes()
    code = codes.code_of(delivery.sign_up) if delivery.sign_up and kind == Delivery.Kind.CODE else None
    if code and code not in message.body.splitlines():
        return _("its text has no line with the code alone")
    return "" if message.subject else _("its subject is empty")
