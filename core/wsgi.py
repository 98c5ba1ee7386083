"""The WSGI application: `gunicorn core.wsgi`. It bounds what Django would parse before any middleware runs."""

import os
import re
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.core.wsgi import get_wsgi_application

from core import lengths, paths  # absolute: mod_wsgi runs this file by its path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    bound_headers(environ)
    is_chunked = environ.get("wsgi.input_terminated") and "HTTP_TRANSFER_ENCODING" in environ
    if is_chunked and (limit := paths.body_limit(environ["PATH_INFO"])):
        _read_chunked_body(environ, limit)
    return _django(environ, start_response)


def bound_headers(environ: dict[str, Any]) -> None:
    """Empty each header, and the query, that is too long or would be a server error: it counts as not sent."""
    limits = {"QUERY_STRING": lengths.QUERY, **lengths.HEADERS}
    for name, value in environ.items():
        limit = limits.get(name, lengths.HEADER if name.startswith("HTTP_") else None)
        if limit is not None and len(value) > limit:
            environ[name] = ""
    # A parameter in an encoding (RFC 2231), which Django may not know; */* is none.
    if "*" in environ.get("CONTENT_TYPE", ""):
        environ["CONTENT_TYPE"] = ""
    if re.search(r"^$|;[^,]*\*", environ.get("HTTP_ACCEPT", "*/*")):
        environ["HTTP_ACCEPT"] = "*/*"  # an empty one would accept nothing
    cookies = environ.get("HTTP_COOKIE", "")
    # A NUL, as a cookie in quotes has it: PostgreSQL has no such text. And many escapes are slow to read for Python
    # before 3.11.10 and 3.12.6 (CVE-2024-7592).
    if r"\000" in cookies or cookies.count("\\") > lengths.ESCAPES:
        environ["HTTP_COOKIE"] = ""
    elif cookies:
        # Django strips any white space of Unicode from a cookie's name, browsers only that of ASCII: a neighbouring
        # subdomain could set "\u3000__Host-sessionid", which Django takes for ours. Names are in ASCII (RFC 6265).
        pairs = cookies.split(";")
        environ["HTTP_COOKIE"] = ";".join(pair for pair in pairs if re.match("[ -~]*(=|$)", pair))


def _read_chunked_body(environ: dict[str, Any], limit: int) -> None:
    """Read a body that came in chunks, and set the Content-Length that Django needs."""
    chunks = environ["wsgi.input"]
    try:  # one byte over the limit is enough: core.middleware.LimitBody refuses it by its length
        body = chunks.read(limit + 1)
        if len(body) > limit:
            chunks.read(lengths.DISCARDED)
        environ["CONTENT_LENGTH"] = str(len(body))
    except Exception:  # the server's own error for chunks that are malformed or cut off
        body, environ["CONTENT_LENGTH"] = b"", "malformed"
    environ["wsgi.input"] = BytesIO(body)
    del environ["HTTP_TRANSFER_ENCODING"]
