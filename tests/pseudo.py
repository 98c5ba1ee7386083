"""A language that nobody speaks: every visitor's text in it is marked, so that what escapes translation shows."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.conf import settings
from django.conf.locale import LANG_INFO
from django.test import override_settings

from tests.tools import catalogues

CODE = "xx"
OPEN, CLOSE = "⟦", "⟧"


def mark(text: str) -> str:
    return f"{OPEN}{text}{CLOSE}"


@cache
def _compiled() -> bytes:
    marked = Catalog(locale="en")
    for message in catalogues.extract_all():
        if message.id and not catalogues.is_for_operators(message):
            both = isinstance(message.id, (tuple, list))
            string = tuple(map(mark, message.id)) if both else mark(message.id)
            marked.add(message.id, string, context=message.context)
    buffer = BytesIO()
    write_mo(buffer, marked)
    return buffer.getvalue()


@contextmanager
def spoken(*, right_to_left: bool = False) -> Generator[None]:
    """The site speaks the pseudo-language, and it alone beside English."""
    LANG_INFO[CODE] = {"bidi": right_to_left, "code": CODE, "name": "Pseudo", "name_local": mark("Pseudo")}
    with TemporaryDirectory() as folder:
        catalogue = Path(folder) / CODE / "LC_MESSAGES" / "django.mo"
        catalogue.parent.mkdir(parents=True)
        catalogue.write_bytes(_compiled())
        with override_settings(
            LANGUAGES=[(CODE, mark("Pseudo"))],
            LANGUAGES_BIDI=[*settings.LANGUAGES_BIDI, *([CODE] if right_to_left else [])],
            LOCALE_PATHS=[folder, *settings.LOCALE_PATHS],
        ):
            yield
    del LANG_INFO[CODE]
