"""docs/reference/defects.md, from the tables."""

from collections.abc import Iterable

from tests.servers import ROOT

from .model import Defect

PAGE = ROOT / "docs/reference/defects.md"

ATTACKS = {
    1: "new, waiting and registered addresses told apart by the answer",
    2: "told apart by time",
    3: "told apart while something is down",
    4: "resend and verify for an unknown handle",
    5: "told apart by when a limit trips",
    6: "usernames found out before the proof",
    7: "200 wrong codes at once",
    8: "50 right codes at once",
    9: "a failing request takes its count back",
    10: "wrong codes, another mail, wrong codes, and so on",
    11: "an answer that says more than the state",
    12: "a code with another's address or request",
    13: "many live requests of one address",
    14: "Redis is emptied",
    15: "a burst at a window's edge",
    16: "codes that can be guessed or computed",
    17: "variants of one mailbox",
    18: "JSON beside forms, for limits of its own",
    19: "what resembles a code",
    20: "text outside ASCII",
    21: "letters that fold into others",
    22: "domains in disguise",
    23: "two accounts at one address",
    24: "line breaks in headers",
    25: "NUL",
    26: "half surrogates, other encodings",
    27: "JSON that is deep, huge or ambiguous",
    28: "large bodies, files, many fields",
    29: "endless passwords",
    30: "usernames that look like something else",
    31: "an account prepared for its owner",
    32: "asking again at another's cost",
    33: "squatting",
    34: "a disabled account comes back",
    35: "signing in before the proof",
    36: "a planted session",
    37: "posts from other sites",
    38: "`next` leads elsewhere",
    39: "another host in a mail",
    40: "extra fields",
    41: "GET, HEAD, methods in disguise, and scanners that press buttons",
    42: "made-up X-Forwarded-For",
    43: "Redis is down",
    44: "pages in shared caches",
    45: "secrets in logs, pages or the database",
    46: "secrets in the broker",
    47: "secrets in error reports",
    48: "pickled tasks",
    49: "open databases",
    50: "mail bombing",
    51: "framing, scripts, the admin, error pages",
    52: "input that costs processor time",
    53: "X-Forwarded-For with ports and brackets",
    54: "bodies in chunks",
    55: "a flood of readiness",
    56: "keys of limits in Redis",
    57: "metrics through a proxy on the same machine",
    58: "a name that stops all mail, or adds a header",
    59: "staff makes itself superuser, or takes an account of staff over",
    60: "the admin activates an account that nobody has proven",
    61: "guessing, and changing a password unseen, in the admin",
    62: "sessions, tokens and links of a disabled account",
    63: "secrets found out by the admin's lists",
    71: "a mailbox whose mails a stranger uses up",
    72: "resets starved by other mails",
    73: "places used up by what is not sent",
    74: "told apart by a neighbour's mail",
    75: "times finer than a second",
    76: "the site's mails used up",
    77: "reports of bounces that are forged or repeated",
    78: "a mail server kept alone after an outage",
    79: "a mail taken from the worker that sends it",
    64: "links that evict or spoil the browser's own request",
    65: "keys that can be guessed",
    66: "the web process reached past its proxy",
    67: "Redis and the broker behind a false certificate",
    68: "longer codes as a mail bomb",
    69: "a lengthening meets a right code",
    70: "cookies from a neighbouring subdomain",
}

_HEAD = """\
# Planted defects

Each attack of the catalogue is a test in `tests/attacks/` whose name has its number, and a test proves something only if
it was seen to fail. So for each attack there is at least one mistake that somebody could really make. `make defects`
plants each in a copy of the project, alone, and runs the tests beside it, which must turn red; then it writes this page.
`make defects ARGS="--only 7 8"` does so for some of the attacks. The changes themselves are in `tests/attacks/defects/`.

| | attack | planted mistake | caught by |
|---|---|---|---|
"""


def render(defects: Iterable[Defect]) -> str:
    """Return the page."""
    return _HEAD + "".join(_row(each) for each in sorted(defects, key=lambda each: each.attack))


def _row(defect: Defect) -> str:
    tests = "<br>".join(f"`{name}`" for name in defect.caught_by)
    return f"| {defect.attack} | {ATTACKS[defect.attack]} | {defect.mistake} | {tests} |\n"
