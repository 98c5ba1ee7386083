"""What is counted of mails, for `/metrics`."""

import re
from itertools import product

from core.observability.counters import Counter, Histogram

from .models import Delivery
from .smtp import Outcome, Reply

WAITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)  # seconds
REPLIES = ("2xx", "4xx", "5xx", "5.3.x", "5.7.x", "none")

tries = Counter(
    "doorcode_mail_tries",
    "Tries to send a mail, by what came of it",
    ["kind", "outcome"],
    known=product(Delivery.Kind.values, [outcome.value for outcome in Outcome]),
)
replies = Counter(
    "doorcode_mail_replies", "Answers of the mail server", ["reply"], known=[(reply,) for reply in REPLIES]
)
failed = Counter(
    "doorcode_mails_failed",
    "Mails that ended without being delivered, by why",
    ["reason"],
    known=[("refused",), ("given_up",)],
)
accepted_after = Histogram("doorcode_mail_acceptance_seconds", "From the request of a mail to its acceptance", WAITS)
reclaimed = Counter("doorcode_leases_reclaimed", "Mails taken over from a worker whose lease had ended")
fenced = Counter("doorcode_settles_fenced", "Outcomes that came after another worker had taken the mail over")
publish_failures = Counter("doorcode_publish_failures", "Bells that could not be rung: the broker is away")


def count_try(delivery: Delivery, reply: Reply) -> None:
    """Count what came of one try."""
    tries.add(delivery.kind, reply.outcome.value)
    replies.add(reply_class(reply.text))


def reply_class(text: str) -> str:
    """The class of an SMTP answer (RFC 5321 §4.2.1); 5.3.x and 5.7.x, the service and its policy, for themselves."""
    found = re.match(r"([245])\d\d\b(?:[ -](5\.[37])\.\d)?", text)
    if not found:
        return "none"
    return f"{found[2]}.x" if found[2] else f"{found[1]}xx"
