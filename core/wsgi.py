"""The WSGI application: `gunicorn core.wsgi`. It bounds what Django would parse before any middleware runs."""

import os
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from . import lengths

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
    lengths.bound_headers(environ)
    if environ.get("wsgi.input_terminated") and "HTTP_TRANSFER_ENCODING" in environ:
        _read_chunked_body(environ)
    return _django(environ, start_response)


def _read_chunked_body(environ: dict[str, Any]) -> None:
    """
    Give a body that came in chunks, without a length, the length that Django goes by.

    One byte over the limit is enough: `core.middleware.limit_body` refuses the request by its length, as any other.
    """
    try:
        body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ["CONTENT_LENGTH"] = str(len(body))
    except Exception:  # the server's own error for chunks that are malformed or cut off
        body, environ["CONTENT_LENGTH"] = b"", "malformed"
    environ["wsgi.input"] = BytesIO(body)
    del environ["HTTP_TRANSFER_ENCODING"]
