"""What the dashboard counts: each a query over one index range, the rows that began within the span."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, F, FloatField, Func, Q, QuerySet, Sum, Value
from django.db.models.functions import Round, StrIndex, Substr, TruncHour
from django.utils.translation import gettext_lazy as _

from core import clock
from verification.models import CaptchaModel, GuessTally
from worker.models import Delivery

State = Delivery.State
HOUR = timedelta(hours=1)
TOP = 8  # domains
BUDGETED = timedelta(seconds=5)  # an admission later than this was put off by a budget; a worker's claim takes less


class Span(NamedTuple):
    """Full hours up to now; the last one is under way."""

    since: datetime
    hours: int

    def moments(self) -> list[datetime]:
        return [self.since + number * HOUR for number in range(self.hours)]


class Step(NamedTuple):
    """The requests of one hour, and how many of these came how far by now."""

    hour: datetime
    asked: int = 0
    accepted: int = 0
    proven: int = 0
    accounts: int = 0


class Wait(NamedTuple):
    """Seconds from request to acceptance of the mails of one hour; None where there was none."""

    hour: datetime
    median: float | None = None
    p95: float | None = None


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


def span(*, hours: int) -> Span:
    now = clock.now().replace(minute=0, second=0, microsecond=0)
    return Span(now - (hours - 1) * HOUR, hours)


def funnel(asked: Span) -> list[Step]:
    """Hour by hour. Requests for addresses that have an account are left out: no code of theirs is ever right."""
    proven = Q(proven_at__isnull=False)
    rows = (
        _requests(asked)
        .filter(decoy=False)
        .values(hour=TruncHour("created_at"))
        .annotate(
            asked=Count("pk"),
            accepted=Count("pk", filter=proven | Q(first_accepted_at__isnull=False)),
            proven=Count("pk", filter=proven),
            accounts=Count("pk", filter=proven & Q(redeemed_at__isnull=False)),
        )
    )
    found = {row["hour"]: Step(**row) for row in rows}
    return [found.get(hour, Step(hour)) for hour in asked.moments()]


def waits(asked: Span) -> list[Wait]:
    """Hour by hour, to a tenth of a second: the database counts equal waits, so that few rows come from it."""
    rows = (
        _mails(asked)
        .filter(sent_at__isnull=False)
        .values(hour=TruncHour("created_at"), tenths=Round(_Seconds("sent_at", "created_at") * 10))
        .annotate(mails=Count("pk"))
        .order_by("hour", "tenths")
    )
    by_hour: dict[datetime, list[tuple[float, int]]] = {}
    for row in rows:
        by_hour.setdefault(row["hour"], []).append((row["tenths"] / 10, row["mails"]))
    return [
        Wait(hour, percentile(by_hour.get(hour, []), 50), percentile(by_hour.get(hour, []), 95))
        for hour in asked.moments()
    ]


def percentile(counted: Sequence[tuple[float, int]], percent: int) -> float | None:
    """The nearest rank among (value, how many), in rising order; None of nothing."""
    rank = -(-sum(number for _value, number in counted) * percent // 100)
    for value, number in counted:
        rank -= number
        if rank <= 0:
            return value
    return None


def domains(asked: Span) -> list[Domain]:
    """What became of the mails to the domains with the most of them."""
    name = Substr("recipient", StrIndex("recipient", Value("@")) + 1)
    waiting = Q(state__in=[State.PENDING, State.SENDING])
    rows = (
        _mails(asked)
        .values(name=name)
        .annotate(
            mails=Count("pk"),
            sent=Count("pk", filter=Q(state=State.SENT)),
            waiting=Count("pk", filter=waiting),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            expired=Count("pk", filter=Q(state=State.EXPIRED)),
        )
        .order_by("-mails", "name")[:TOP]
    )
    return [Domain(**row) for row in rows]


def languages(asked: Span) -> list[Figure]:
    names = dict(settings.LANGUAGES)
    rows = _mails(asked).values_list("language").annotate(mails=Count("pk")).order_by("-mails")[:TOP]
    return [Figure(names.get(code, code), mails) for code, mails in rows]


def limits(asked: Span) -> list[Figure]:
    """
    What the budgets in the database did. What the outer layer refused is counted by core.metrics, process by process;
    a figure of that which all processes share belongs at the end of this list.
    """
    codes = _requests(asked).aggregate(
        used_up=Count("pk", filter=Q(attempts__gte=settings.CAPTCHA_MAX_ATTEMPTS)),
        longer=Count("pk", filter=Q(length__gt=settings.CAPTCHA_LENGTH)),
    )
    put_off = Q(admitted_at__gt=F("created_at") + BUDGETED) | Q(
        state=State.PENDING, admitted_at=None, attempts=0, next_attempt_at__gt=clock.now()
    )
    mails = _mails(asked).exclude(mailbox="").aggregate(put_off=Count("pk", filter=put_off))
    guesses = GuessTally.objects.filter(hour__gte=asked.since).aggregate(wrong=Sum("guesses"))
    return [
        Figure(_("wrong codes (kept for two days)"), max(0, guesses["wrong"] or 0)),
        Figure(_("codes whose tries are used up"), codes["used_up"]),
        Figure(_("codes made longer"), codes["longer"]),
        Figure(_("mails put off by a budget"), mails["put_off"]),
    ]


def waiting_mails() -> int:
    """Mails that wait in the outbox now, by its own partial indexes."""
    return Delivery.objects.filter(state=State.PENDING).count() + Delivery.objects.filter(state=State.SENDING).count()


def _requests(asked: Span) -> QuerySet[CaptchaModel]:
    return CaptchaModel.objects.filter(created_at__gte=asked.since)


def _mails(asked: Span) -> QuerySet[Delivery]:
    return Delivery.objects.filter(created_at__gte=asked.since)


class _Seconds(Func):
    """Seconds from the second moment to the first, on both databases."""

    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM (%(expressions)s))"
    arg_joiner = " - "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        days = "(julianday(%(expressions)s)) * 86400.0"
        return self.as_sql(compiler, connection, template=days, arg_joiner=") - julianday(", **context)
