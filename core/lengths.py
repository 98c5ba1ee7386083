"""
How long input may be. Length is checked before anything else: Unicode normalization takes time quadratic in the number
of combining marks, and some header parsers in the length of a header. 64 KiB of either cost seconds of processor time.

Pages, API, admin and commands share the functions that read a text: `core.email_addresses.canonical`,
`signup.usernames`, `verification.codes.normalize` and the authentication backend. Each refuses a longer text first.
What Django's own code reads is bounded before it runs: headers and the query in core/wsgi.py, the fields of forms in
`core.middleware.LimitFields`. Paths of other apps in the project have Django's own limits: `core.paths`.
"""

# Characters of a text as it is typed.
ADDRESS = 320  # 64, an at-sign and 255 (RFC 3696, erratum 1690); a canonical address has at most 254
USERNAME = 64  # 20 letters, each with two combining marks
CODE = 64  # 10 digits, separators, and a few words around them
LOGIN_NAME = 254  # an email address or a username
PASSWORD = 128  # after its normalization
PASSWORD_TYPED = 4 * PASSWORD  # decomposed; a letter has at most four parts
NEXT = 1_024  # a path to go to afterwards: a request of OpenID Connect to an app of a site is the longest, 300 to 800
FIELDS = 100  # of a query or a form of ours; Django allows other apps 1,000
FIELD = 4_096  # any field of a form; the longest is the admin's list of 200 confirmed rows

# Bytes of a body. Mail services report many mails at once.
BODY, WEBHOOK_BODY = 65_536, 1_048_576
DISCARDED = 2_097_152  # of a body that is refused, so that its sender gets the answer; of a longer one nothing is read

# Bytes around a body. gunicorn itself refuses a longer request line or header.
QUERY = 4_094
HEADER = 8_190
ESCAPES = 100  # backslashes in all cookies; ours have none
# Headers whose parsers are slow, and which no honest client makes this long.
HEADERS = {"CONTENT_TYPE": 255, "HTTP_ACCEPT": 1_000, "HTTP_ACCEPT_LANGUAGE": 500}
