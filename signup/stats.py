"""The figures of the last hours, for a look from the command line; /metrics has those for a dashboard."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Now

from core import clock
from verification.models import CaptchaModel
from worker.models import Delivery

from .models import User

SAMPLE = 10_000  # of the newest mails, whose waits are looked at


def figures(*, hours: int) -> dict[str, Any]:
    """Return what was asked for, what became of it, and what waits now; times in seconds."""
    since = clock.now() - timedelta(hours=hours)
    return {
        "hours": hours,
        "sign_ups": _sign_ups(since),
        "mails": _counts(Delivery.objects.filter(created_at__gte=since), "state"),
        "seconds_to_acceptance": _waits(since),
        "waiting": _waiting(),
        "languages": _counts(User.objects.filter(activated_at__gte=since), "language"),
    }


def _sign_ups(since: Any) -> dict[str, int]:
    found: dict[str, int] = CaptchaModel.objects.filter(created_at__gte=since).aggregate(
        asked=Count("pk"),
        mailed=Count("pk", filter=Q(first_accepted_at__isnull=False)),
        proven=Count("pk", filter=Q(proven_at__isnull=False)),
    )
    return found | {"registered": User.objects.filter(activated_at__gte=since).count()}


def _counts(rows: Any, column: str) -> dict[str, int]:
    return dict(rows.values_list(column).annotate(number=Count("pk")).order_by(column))


def _waits(since: Any) -> dict[str, float]:
    sent = Delivery.objects.filter(sent_at__gte=since).order_by("-pk").values_list("created_at", "sent_at")[:SAMPLE]
    waits = sorted((end - begin).total_seconds() for begin, end in sent if end)
    return {f"p{part}": round(waits[len(waits) * part // 100], 1) for part in (50, 95)} if waits else {}


def _waiting() -> dict[str, int]:
    due = Delivery.objects.filter(state=Delivery.State.PENDING, next_attempt_at__lte=Now())
    found = due.aggregate(number=Count("pk"), since=Min("next_attempt_at"), now=Max(Now()))
    age = int((found["now"] - found["since"]).total_seconds()) if found["since"] else 0
    return {"due": found["number"], "oldest_seconds": age}
