"""The language of a call: its Accept-Language, else LANGUAGE_CODE. Cookies, which belong to pages, say nothing."""

from django.http import HttpRequest
from django.utils import translation


def spoken(request: HttpRequest) -> str:
    """Return the language that a caller asks for."""
    header_alone = HttpRequest()
    header_alone.META["HTTP_ACCEPT_LANGUAGE"] = request.META.get("HTTP_ACCEPT_LANGUAGE", "")
    return translation.get_language_from_request(header_alone)
