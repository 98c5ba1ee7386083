"""How sign-ups and mails fare: the figures of the admin's dashboard and of `manage.py stats`."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, F, Q, Sum, Value
from django.db.models.functions import StrIndex, Substr, TruncHour
from django.utils.translation import gettext_lazy as _

from core import clock
from verification.models import CaptchaModel, SiteGuesses
from worker.models import Delivery, DeliveryQuerySet

from .models import User

State = Delivery.State
HOUR = timedelta(hours=1)
TOP = 8  # domains and languages
SAMPLE = 20_000  # mails whose waits are read

# Each step of the funnel is a part of the one before. A new generation of a code has no acceptance until it is mailed.
_PROVEN = Q(proven_at__isnull=False)
_FUNNEL = {
    "asked": Count("pk"),
    "accepted": Count("pk", filter=_PROVEN | Q(first_accepted_at__isnull=False)),
    "proven": Count("pk", filter=_PROVEN),
    "accounts": Count("pk", filter=_PROVEN & Q(redeemed_at__isnull=False)),
}
FUNNEL_LABELS = {
    "asked": _("asked for a code"),
    "accepted": _("mail accepted"),
    "proven": _("email verified"),
    "accounts": _("account created"),
}


class Period(NamedTuple):
    """All figures are of the requests and mails that were created since then."""

    since: datetime
    hours: int

    def starts(self) -> list[datetime]:
        """The time that each hour begins."""
        return [self.since + number * HOUR for number in range(self.hours)]

    @property
    def requests(self) -> Any:
        return CaptchaModel.objects.filter(created_at__gte=self.since)

    @property
    def mails(self) -> DeliveryQuerySet:
        return Delivery.objects.filter(created_at__gte=self.since)


class Step(NamedTuple):
    """The requests of one hour, and how many of these came how far by now."""

    hour: datetime
    asked: int = 0
    accepted: int = 0
    proven: int = 0
    accounts: int = 0


class Wait(NamedTuple):
    """Seconds from the creation of a mail to its acceptance, of the mails of one hour; None where there was none."""

    hour: datetime
    median: float | None
    p95: float | None


class Domain(NamedTuple):
    name: str
    mails: int
    sent: int
    waiting: int
    failed: int
    expired: int


class Figure(NamedTuple):
    name: Any
    number: int


def last_hours(hours: int) -> Period:
    """Exactly so many hours, up to now."""
    return Period(clock.now() - hours * HOUR, hours)


def full_hours(hours: int) -> Period:
    """Hours as a clock shows them, up to now; the last one is not over."""
    return Period(clock.now().replace(minute=0, second=0, microsecond=0) - (hours - 1) * HOUR, hours)


def summary(*, hours: int) -> dict[str, Any]:
    """All that `manage.py stats --json` prints; times in seconds."""
    period = last_hours(hours)
    steps = _sign_ups(period).aggregate(**_FUNNEL)
    waits = sorted(wait for _created, wait in _waits(period))
    accounts = User.objects.filter(activated_at__gte=period.since)
    names = {"asked": "asked", "mailed": "accepted", "proven": "proven", "registered": "accounts"}
    return {
        "hours": hours,
        "sign_ups": {name: steps[step] for name, step in names.items()},
        "mails": _count_by(period.mails, "state"),
        "seconds_to_acceptance": {f"p{part}": percentile(waits, part) for part in (50, 95)} if waits else {},
        "waiting": due_mails(),
        "languages": _count_by(accounts, "language"),
    }


def funnel_by_hour(period: Period) -> list[Step]:
    rows = _sign_ups(period).values(hour=TruncHour("created_at")).annotate(**_FUNNEL)
    found = {row["hour"]: Step(**row) for row in rows}
    return [found.get(hour, Step(hour)) for hour in period.starts()]


def waits_by_hour(period: Period) -> list[Wait]:
    by_hour: dict[datetime, list[float]] = defaultdict(list)
    for created_at, wait in _waits(period):
        by_hour[created_at.replace(minute=0, second=0, microsecond=0)].append(wait)
    ranked = {hour: sorted(by_hour[hour]) for hour in period.starts()}
    return [Wait(hour, percentile(waits, 50), percentile(waits, 95)) for hour, waits in ranked.items()]


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The nearest rank among values in rising order, to a tenth; None of nothing."""
    rank = -(-len(values) * percent // 100)
    return round(values[rank - 1], 1) if values else None


def domains(period: Period) -> list[Domain]:
    """What became of the mails to the domains with the most of them."""
    rows = (
        period.mails.values(name=Substr("recipient", StrIndex("recipient", Value("@")) + 1))
        .annotate(
            mails=Count("pk"),
            sent=Count("pk", filter=Q(state=State.SENT)),
            waiting=Count("pk", filter=Q(state__in=[State.PENDING, State.SENDING])),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            expired=Count("pk", filter=Q(state=State.EXPIRED)),
        )
        .order_by("-mails", "name")[:TOP]
    )
    return [Domain(**row) for row in rows]


def languages(period: Period) -> list[Figure]:
    """The mails by language."""
    names = dict(settings.LANGUAGES)
    rows = period.mails.values_list("language").annotate(mails=Count("pk")).order_by("-mails")[:TOP]
    return [Figure(names.get(code, code), mails) for code, mails in rows]


def limits(period: Period) -> list[Figure]:
    """What the limits in the database did. What was answered 429 is counted for /metrics."""
    codes = period.requests.aggregate(
        used_up=Count("pk", filter=Q(attempts__gte=settings.CAPTCHA_MAX_ATTEMPTS)),
        longer=Count("pk", filter=Q(length__gt=settings.CAPTCHA_LENGTH)),
    )
    guesses = SiteGuesses.objects.filter(hour__gte=period.since).aggregate(wrong=Sum("guesses"))
    return [
        Figure(_("wrong codes (kept for two days)"), max(0, guesses["wrong"] or 0)),
        Figure(_("codes whose tries are used up"), codes["used_up"]),
        Figure(_("codes made longer"), codes["longer"]),
        Figure(_("mails delayed by a mail limit"), period.mails.delayed_by_limit().count()),
    ]


def waiting_mails() -> int:
    """How many mails wait in the outbox now. Each state has an index of its own."""
    return sum(Delivery.objects.filter(state=state).count() for state in (State.PENDING, State.SENDING))


def due_mails() -> dict[str, int]:
    """How many mails are due now, and for how long the oldest has been."""
    longest = Delivery.objects.longest_due()
    return {"due": Delivery.objects.due().count(), "oldest_seconds": int(longest[1].total_seconds()) if longest else 0}


def _sign_ups(period: Period) -> Any:
    """The requests without those for addresses that have an account: no code of theirs is ever right."""
    return period.requests.filter(decoy=False)


def _waits(period: Period) -> list[tuple[datetime, float]]:
    """The time of creation, and the seconds to acceptance, of about SAMPLE accepted mails, evenly spread."""
    sent = period.mails.filter(sent_at__isnull=False)
    every = 1 + sent.count() // SAMPLE
    sample = sent.annotate(remainder=F("pk") % every).filter(remainder=0).values_list("created_at", "sent_at")
    return [(created_at, (sent_at - created_at).total_seconds()) for created_at, sent_at in sample if sent_at]


def _count_by(rows: Any, column: str) -> dict[str, int]:
    return dict(rows.values_list(column).annotate(number=Count("pk")).order_by(column))
