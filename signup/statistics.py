"""
The results of sign-ups and mails: the figures of the admin's dashboard and of `manage.py stats`. All are of the
requests and mails created `since` a time, or in `hours`: a list of the times at which each hour begins.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q, Sum, Value
from django.db.models.functions import StrIndex, Substr, TruncHour
from django.utils.translation import gettext_lazy as _

from core import clock
from verification.models import FINISHED, CaptchaModel, CaptchaQuerySet, SiteGuesses
from worker.models import UNSETTLED, Delivery, DeliveryQuerySet

from .models import User

HOUR = timedelta(hours=1)
TOP = 8  # domains and languages
SAMPLE = 20_000  # mails whose waits are read

# Each step of the funnel is a part of the one before. A new generation of a code has no acceptance until it is mailed.
_PROVEN = Q(proven_at__isnull=False)
_STEPS = {
    "asked": (_("asked for a code"), Q()),
    "mailed": (_("mail accepted"), _PROVEN | Q(first_accepted_at__isnull=False)),
    "proven": (_("email verified"), _PROVEN),
    "registered": (_("account created"), FINISHED),
}
FUNNEL_LABELS = {name: label for name, (label, _condition) in _STEPS.items()}
_FUNNEL = {name: Count("pk", filter=condition) for name, (_label, condition) in _STEPS.items()}


def summary(*, hours: int) -> dict[str, Any]:
    """All that `manage.py stats --json` prints, of exactly so many hours up to now; times in seconds."""
    since = clock.now() - hours * HOUR
    waits = [wait for _created, wait in _waits(since)]
    accounts = User.objects.filter(activated_at__gte=since)
    longest = Delivery.objects.longest_due()
    oldest_seconds = int(longest[1].total_seconds()) if longest else 0
    return {
        "hours": hours,
        "sign_ups": _sign_ups(since).aggregate(**_FUNNEL),
        "mails": _count_by(_mails(since), "state"),
        "seconds_to_acceptance": {f"p{part}": percentile(waits, part) for part in (50, 95)} if waits else {},
        "waiting": {"due": Delivery.objects.due().count(), "oldest_seconds": oldest_seconds},
        "languages": _count_by(accounts, "language"),
    }


def full_hours(number: int) -> list[datetime]:
    """The times at which the last hours of the clock began; the last one is not over."""
    last = clock.hour_of(clock.now())
    return [last - back * HOUR for back in reversed(range(number))]


def funnel_by_hour(hours: Sequence[datetime]) -> list[dict[str, Any]]:
    """The requests of each hour, and how many of them have reached each step: {"hour", "asked", "mailed", …}."""
    rows = _sign_ups(hours[0]).values(hour=TruncHour("created_at", tzinfo=UTC)).annotate(**_FUNNEL)
    found = {row["hour"]: row for row in rows}
    return [found.get(hour, {"hour": hour, **dict.fromkeys(_FUNNEL, 0)}) for hour in hours]


def waits_by_hour(hours: Sequence[datetime]) -> list[dict[str, Any]]:
    """Seconds from creation to acceptance of the mails of each hour: {"hour", "median", "p95"}; None without a mail."""
    waits: dict[datetime, list[float]] = defaultdict(list)
    for created_at, wait in _waits(hours[0]):
        waits[clock.hour_of(created_at)].append(wait)
    return [{"hour": hour, "median": percentile(waits[hour], 50), "p95": percentile(waits[hour], 95)} for hour in hours]


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value at the nearest rank, to a tenth; None without values."""
    rank = math.ceil(len(values) * percent / 100)
    return round(sorted(values)[rank - 1], 1) if values else None


def domains(since: datetime) -> list[dict[str, Any]]:
    """The domains with the most mails, and what became of these: {"name", "mails", "sent", "waiting", …}."""
    rows = _mails(since).values(name=Substr("recipient", StrIndex("recipient", Value("@")) + 1))
    waiting = Count("pk", filter=Q(state__in=UNSETTLED))
    settled = [state for state in Delivery.State.values if state not in UNSETTLED]
    by_state = {state: Count("pk", filter=Q(state=state)) for state in settled}
    counted = rows.annotate(mails=Count("pk"), waiting=waiting, **by_state)
    return list(counted.order_by("-mails", "name")[:TOP])


def languages(since: datetime) -> list[tuple[str, int]]:
    names = dict(settings.LANGUAGES)
    rows = _mails(since).values_list("language").annotate(mails=Count("pk")).order_by("-mails")[:TOP]
    return [(names.get(code, code), mails) for code, mails in rows]


def limits(since: datetime) -> list[tuple[Any, int]]:
    """The effects of the limits in the database. Requests that were answered 429 are counted for /metrics."""
    codes = CaptchaModel.objects.filter(created_at__gte=since).aggregate(
        used_up=Count("pk", filter=Q(attempts__gte=settings.CAPTCHA_MAX_ATTEMPTS)),
        longer=Count("pk", filter=Q(length__gt=settings.CAPTCHA_LENGTH)),
    )
    guesses = SiteGuesses.objects.filter(hour__gte=since).aggregate(wrong=Sum("guesses", default=0))
    return [
        (_("wrong codes (kept for two days)"), guesses["wrong"]),
        (_("codes whose tries are used up"), codes["used_up"]),
        (_("codes made longer"), codes["longer"]),
        (_("mails delayed by a mail limit"), _mails(since).delayed_by_limit().count()),
    ]


def waiting_mails() -> int:
    """How many mails wait in the outbox now. Each state has an index of its own."""
    return sum(Delivery.objects.filter(state=state).count() for state in UNSETTLED)


def _sign_ups(since: datetime) -> CaptchaQuerySet:
    """The requests without those for addresses that have an account: no code of theirs is ever right."""
    return CaptchaModel.objects.filter(created_at__gte=since, decoy=False)


def _mails(since: datetime) -> DeliveryQuerySet:
    return Delivery.objects.filter(created_at__gte=since)


def _waits(since: datetime) -> list[tuple[datetime, float]]:
    """The time of creation, and the seconds to acceptance, of about SAMPLE accepted mails, evenly spread."""
    sent = _mails(since).filter(sent_at__isnull=False)
    every = 1 + sent.count() // SAMPLE
    sample = sent.annotate(remainder=F("pk") % every).filter(remainder=0).values_list("created_at", "sent_at")
    return [(created_at, (sent_at - created_at).total_seconds()) for created_at, sent_at in sample if sent_at]


def _count_by(rows: Any, column: str) -> dict[str, int]:
    return dict(rows.values_list(column).annotate(number=Count("pk")).order_by(column))
