"""
How long input may be. Length comes before meaning: Unicode normalization takes time quadratic in the number of
combining marks, and some header parsers in the length of a header. 64 KiB of either cost seconds of processor time.

Pages, API, admin and commands share the functions that give a text its meaning: `core.email_addresses.canonical`,
`signup.usernames`, `verification.codes.normalize` and the authentication backend. Each refuses a longer text before it
looks at it. What Django's own code reads is bounded before that runs: headers and the query in core/wsgi.py, the fields
of forms in `core.middleware.limit_fields`.
"""

from typing import Any

from django.http import QueryDict

# Characters of a text as it is typed.
ADDRESS = 320  # 64, an at-sign and 255 (RFC 3696, erratum 1690); a canonical address has at most 254
USERNAME = 64  # 20 letters, each with two combining marks
CODE = 64  # 10 digits, separators, and a few words around them
LOGIN_NAME = 254  # an email address or a username
PASSWORD = 128
NEXT = 512  # a path to go to afterwards
FIELD = 4_096  # any field of a form; the longest is the admin's list of 200 confirmed rows

# Bytes of what stands around a body. gunicorn refuses a longer request line or header by itself.
QUERY = 4_094
HEADER = 8_190
# Headers whose parsers are slow, and which no honest client makes this long.
HEADERS = {"CONTENT_TYPE": 255, "HTTP_ACCEPT": 1_000, "HTTP_ACCEPT_LANGUAGE": 500}


def bound_headers(environ: dict[str, Any]) -> None:
    """Take out of a WSGI environ each header, and the query, that is too long: it counts as not sent."""
    for name, value in environ.items():
        if name == "QUERY_STRING":
            most = QUERY
        elif name.startswith("HTTP_") or name == "CONTENT_TYPE":
            most = HEADERS.get(name, HEADER)
        else:
            continue
        if len(value) > most:
            environ[name] = ""


def bound_fields(fields: QueryDict) -> QueryDict:
    """
    Return a copy whose values are short enough to be validated and shown again.

    A value is cut to FIELD characters, which every field that people fill in still refuses as too long. `next`, which
    Django's own views read, is left out instead: half a path leads elsewhere.
    """
    short = fields.copy()
    for name, values in fields.lists():
        short.setlist(name, [value[:FIELD] for value in values])
    if any(len(value) > NEXT for value in short.getlist("next")):
        del short["next"]
    return short
