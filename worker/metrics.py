"""What `/metrics` shows of mails and workers; read at the scrape, and by an index of what waits, not of what was."""

from collections.abc import Iterator

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric

from core import clock

from . import bell, counts, mail_limits
from .heartbeat import ALIVE
from .models import Delivery, Heartbeat

State = Delivery.State

__all__ = ["broker", "counts", "mails", "workers"]


def mails() -> Iterator[Metric]:
    """How many mails wait, how long the longest has been due, and how many the site may send now."""
    pending = Delivery.objects.filter(state=State.PENDING)
    due = _summary(pending.filter(next_attempt_at__lte=Now()), "next_attempt_at")
    later = _summary(pending.filter(next_attempt_at__gt=Now()), "next_attempt_at")
    sending = _summary(Delivery.objects.filter(state=State.SENDING, lease_until__gt=Now()), "lease_until")
    left = _summary(Delivery.objects.filter(state=State.SENDING, lease_until__lte=Now()), "lease_until")

    waiting = GaugeMetricFamily("doorcode_mails_waiting", "Mails in the outbox", labels=["state"])
    for state, (number, _) in {"due": due, "later": later, "sending": sending, "left": left}.items():
        waiting.add_metric([state], number)
    yield waiting
    oldest = max(due[1], left[1])
    yield GaugeMetricFamily("doorcode_mail_oldest_due_seconds", "How long the longest has been due", value=oldest)
    room = mail_limits.site_room(mail_limits.SIGN_UPS, at=clock.now())
    if room is not None:
        yield GaugeMetricFamily(
            "doorcode_mail_budget_left", "Sign-up mails that the site's limit lets pass now", value=room
        )


def workers() -> Iterator[Metric]:
    """Who is at work, by the heartbeats of their sweepers."""
    beats = Heartbeat.objects.annotate(alive=Q(beat_at__gt=Now() - ALIVE)).aggregate(
        workers=Count("pk", filter=Q(alive=True)),
        mail_server=Count("pk", filter=Q(alive=True, mail_server_broken=True)),
        broker=Count("pk", filter=Q(alive=True, broker_broken=True)),
        last=Max("beat_at"),
    )
    yield GaugeMetricFamily("doorcode_workers", "Worker processes heard of", value=beats["workers"])
    breakers = GaugeMetricFamily("doorcode_breakers_open", "Workers whose breaker is open", labels=["breaker"])
    breakers.add_metric(["mail_server"], beats["mail_server"])
    breakers.add_metric(["broker"], beats["broker"])
    yield breakers
    last = beats["last"].timestamp() if beats["last"] else 0
    yield GaugeMetricFamily("doorcode_sweeper_last_run_timestamp_seconds", "When a sweeper last ran", value=last)


def broker() -> Iterator[Metric]:
    """How many bells no worker has heard yet."""
    yield GaugeMetricFamily("doorcode_broker_messages", "Bells that wait in the broker", value=bell.waiting())


def _summary(rows: "QuerySet[Delivery]", moment: str) -> tuple[int, float]:
    """The number of rows, and seconds since the earliest of their moments."""
    found = rows.aggregate(number=Count("pk"), first=Min(F(moment)))
    first = found["first"]
    return found["number"], max(0.0, (clock.now() - first).total_seconds()) if first else 0.0
