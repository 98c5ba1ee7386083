"""
How many mails a mailbox and the site get. The limits delay mails, at the claim, and never change an answer.

Sign-up mails and password resets have limits of their own, so that neither can starve the other. A mail takes its place
when it is first claimed: a retry of it is free, and so is one that is held back or superseded.

No order of service protects a mailbox from a stranger with any number of networks. But every sign-up mail serves its
reader, whoever asked for it, so it is enough that the next place is never far: places are spread over the longest
window, and each goes to the network that had the fewest, and there to the newest request.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, F, Q

from core import clock

from . import resets, suppression
from .models import ACCOUNT_KINDS, PAST_LIMITS, Delivery, DeliveryQuerySet, SiteMails

MINUTE = timedelta(minutes=1)  # the mails of each are a row of SiteMails
# A sign-up and one more mail, as people need them, are sent at once. Then NEWCOMERS further networks wait for
# 1/NEWCOMER_SHARE of the window (an hour), and all others so long that the mails of a day last until its end.
AT_ONCE = 2
NEWCOMERS = 2
NEWCOMER_SHARE = 24
# Rows of a mailbox that one claim considers for a place, and that it puts off at most; the next claim sees the others.
CONSIDERED, PUT_OFF = 50, 1_000
# How far in the future an admission may be, as other machines' clocks may be ahead. A later time comes from a clock
# that has been set back since: such a mail does not count, or no other would leave until that time.
AHEAD = timedelta(minutes=1)

Rates = list[tuple[int, int]]  # (mails, seconds)
Sent = list[tuple[str, datetime]]  # the (network, time) of a mailbox's mails, oldest first


@dataclass(frozen=True)
class MailLimit:
    """The limits of a group of mails: its deliveries, the settings that hold its rates, and its column of SiteMails."""

    mails: Q
    mailbox_setting: str
    site_setting: str
    column: str

    @property
    def mailbox_rates(self) -> Rates:
        """Shortest window first."""
        return sorted(getattr(settings, self.mailbox_setting), key=lambda rate: rate[1])

    @property
    def site_rates(self) -> Rates:
        rates: Rates = getattr(settings, self.site_setting)
        return rates


SIGN_UP_MAILS = MailLimit(~Q(kind__in=ACCOUNT_KINDS), "LIMIT_MAILS_MAILBOX", "LIMIT_MAILS_SITE", "mails")
ACCOUNT_MAILS = MailLimit(Q(kind__in=ACCOUNT_KINDS), "LIMIT_RESETS_MAILBOX", "LIMIT_RESETS_SITE", "resets")


def due_within(limit: MailLimit, *, at: datetime) -> DeliveryQuerySet:
    """
    The due mails of a limit that its rates for the site let pass now. The last places are for networks that asked for
    at most a hundredth of them: a stranger who fills the site's limit from some networks does not stop the others.
    """
    due = Delivery.objects.due().filter(limit.mails)
    room = site_room(limit, at=at)
    if room == 0:
        return due.filter(PAST_LIMITS)
    if room is None or room > _reserved(limit):
        return due
    return due.filter(PAST_LIMITS | ~Q(network__in=_busy(limit, at=at)))


def claimable() -> DeliveryQuerySet:
    """The due mails that the site's limits let pass now."""
    at = clock.now()
    return due_within(ACCOUNT_MAILS, at=at) | due_within(SIGN_UP_MAILS, at=at)


def drop_useless(rows: Sequence[Delivery]) -> list[Delivery]:
    """
    Take locked mails that help nobody any more out of the outbox; return the others, with what is known of their
    recipients now: a suppression, and the account of a password reset.
    """
    useful = [each for each in rows if each.is_wanted]
    if len(useful) < len(rows):  # rarely: most claims build no update
        Delivery.objects.filter(pk__in={each.pk for each in rows} - {each.pk for each in useful}).supersede()
    suppression.mark(useful)
    resets.find_accounts(useful)
    return useful


def admit(candidates: Sequence[Delivery], limit: MailLimit, *, at: datetime) -> list[Delivery]:
    """
    Return the mails that may be sent now, marked as admitted `at`. Those over a mailbox's limit are put off, those
    over the site's stay due.

    Call it in the transaction that locked the candidates. The caller saves `admitted_at`, and calls `count` with the
    mails that it saved. If a mailbox has a place, another mail that waits for it may be returned in place of a
    candidate. The limits are exact: claims for the same mailbox, or for the site's last places, wait for each other.
    """
    asking = [each for each in candidates if each.mailbox and not each.admitted_at and not each.is_held_back]
    admitted = [each for each in candidates if each not in asking]
    passed = _admit_to_mailboxes(asking, limit, at) if asking and limit.mailbox_rates else asking
    for delivery in _admit_to_site(passed, limit, at) if limit.site_rates else passed:
        delivery.admitted_at = at
        admitted.append(delivery)
    return admitted


def count(leased: Sequence[Delivery], limit: MailLimit, *, at: datetime) -> None:
    """Count for the site those of leased mails that were admitted `at`."""
    number = sum(each.admitted_at == at for each in leased)
    if number and limit.site_rates:
        of_minute, more = SiteMails.objects.filter(minute=_minute(at)), {limit.column: F(limit.column) + number}
        if not of_minute.update(**more):
            SiteMails.objects.get_or_create(minute=_minute(at))
            of_minute.update(**more)


# --- Places of a mailbox ----------------------------------------------------------------------------------------------


def next_place(sent: Sent, network: str | None, rates: Rates, *, at: datetime) -> datetime:
    """
    Return when a mailbox takes another mail that `network` asked for; None stands for any that had no mail yet.

    `rates` are sorted by their windows: none is exceeded, and the mails of the longest window are spread over it.
    However many networks ask for mails all the time, a third network waits for at most window / NEWCOMER_SHARE, and two
    mails are at most as far apart as `_wait` says: 3 h 9 min at 10 a day.
    """
    free, longest = at, rates[-1][1]
    for most, seconds in rates:
        window = timedelta(seconds=seconds)
        inside = [(name, time) for name, time in sent if time > at - window]
        if len(inside) >= most:  # until the first of the last `most` mails leaves the window
            free = max(free, inside[-most][1] + window)
        if seconds == longest and len(inside) >= AT_ONCE:
            free = max(free, inside[-1][1] + _wait({name for name, _ in inside}, network, most, window))
    return free


def _wait(known: set[str], network: str | None, most: int, window: timedelta) -> timedelta:
    """The pause after a mailbox's last mail, in its longest window."""
    # A window has as many pauses as mails: AT_ONCE - 1 of none, NEWCOMERS of `soon`, and these, which are alike.
    spread_over = most - (AT_ONCE - 1) - NEWCOMERS
    if spread_over <= 0:
        return timedelta(0)  # so few that the rate alone spreads them
    soon = window / NEWCOMER_SHARE
    if network not in known and len(known) <= NEWCOMERS:
        return soon
    return (window - NEWCOMERS * soon) / spread_over


def _admit_to_mailboxes(asking: Sequence[Delivery], limit: MailLimit, at: datetime) -> list[Delivery]:
    """Return which mails go to their mailboxes now, and put off all others that wait for these."""
    mailboxes: dict[str, list[Delivery]] = {}
    for delivery in asking:
        mailboxes.setdefault(delivery.mailbox, []).append(delivery)
    Delivery.objects.advisory_lock(mailboxes)
    sent: dict[str, Sent] = {mailbox: [] for mailbox in mailboxes}
    longest = timedelta(seconds=limit.mailbox_rates[-1][1])
    since, until = at - longest, at + AHEAD
    recent = Delivery.objects.filter(limit.mails, mailbox__in=mailboxes, admitted_at__gt=since, admitted_at__lte=until)
    for mailbox, network, time in recent.order_by("admitted_at").values_list("mailbox", "network", "admitted_at"):
        sent[mailbox].append((network, time or at))
    admitted: list[Delivery] = []
    for mailbox, mine in mailboxes.items():
        if not sent[mailbox] and len(mine) == 1:  # nearly always
            admitted += mine
            continue
        waiting = Delivery.objects.due().filter(limit.mails, mailbox=mailbox, admitted_at=None)
        while winner := _choose(waiting, sent[mailbox], limit.mailbox_rates, at):
            admitted.append(winner)
            sent[mailbox].append((winner.network, at))
            waiting = waiting.exclude(pk=winner.pk)
        _put_off(waiting, sent[mailbox], limit.mailbox_rates, at)
    return admitted


def _choose(waiting: DeliveryQuerySet, sent: Sent, rates: Rates, at: datetime) -> Delivery | None:
    """Return the mail that gets the mailbox's next place, if it has one: the newest of the network that had fewest."""
    newest = waiting.select_related("sign_up").lock_available().order_by("-pk")
    turns = Counter(network for network, _ in sent)
    by_turn: list[tuple[str | None, DeliveryQuerySet]] = [(None, newest.exclude(network__in=turns))]
    by_turn += [(network, newest.filter(network=network)) for network, _ in reversed(turns.most_common())]
    for network, rows in by_turn:
        if next_place(sent, network, rates, at=at) > at:
            continue
        if found := next((each for each in drop_useless(list(rows[:CONSIDERED])) if not each.is_held_back), None):
            return found
    return None


def _put_off(others: DeliveryQuerySet, sent: Sent, rates: Rates, at: datetime) -> None:
    """Have mails that wait for a mailbox wait until the next place for their network; one update for each time."""
    until: dict[datetime, list[int]] = {}
    for pk, network in others.lock_available().values_list("pk", "network")[:PUT_OFF]:
        until.setdefault(next_place(sent, network, rates, at=at), []).append(pk)
    for time, pks in until.items():
        Delivery.objects.filter(pk__in=pks).update(next_attempt_at=time)


# --- Places of the site -----------------------------------------------------------------------------------------------


def site_room(limit: MailLimit, *, at: datetime) -> int | None:
    """
    Mails that the site may send now; None if nothing limits them. Half of a rate may go at once, the other half
    comes back evenly over its window.
    """
    return min((_room(most, seconds, limit.column, at) for most, seconds in limit.site_rates), default=None)


def _room(most: int, seconds: int, column: str, at: datetime) -> int:
    minute, window = _minute(at), timedelta(seconds=seconds)
    at_once = math.ceil(most / 2)
    room, total, last = float(at_once), 0, minute - window
    counted = SiteMails.objects.filter(minute__gt=at - window - MINUTE, minute__lte=at + AHEAD).order_by("minute")
    for then, mails in [*counted.values_list("minute", column), (minute, 0)]:
        came_back = (most - at_once) * ((then - last) / window)
        room = min(at_once, room + came_back) - mails
        total, last = total + mails, then
    return max(0, min(int(room + 1e-6), most - total))


def _admit_to_site(passed: Sequence[Delivery], limit: MailLimit, at: datetime) -> Sequence[Delivery]:
    if not passed:
        return passed
    # Until the commit, so that two claims can't take the same place, even if they count in different minutes.
    Delivery.objects.advisory_lock([limit.site_setting])
    # Queried again: other claims may have taken places since. Never None: the caller has seen a rate.
    room = site_room(limit, at=at) or 0
    open_to_all = max(0, room - _reserved(limit))
    if len(passed) <= open_to_all:
        return passed
    busy = _busy(limit, at=at)
    few = _newest_and_oldest([each for each in passed if each.network not in busy], room)
    many = [each for each in passed if each.network in busy]
    return few + _newest_and_oldest(many, min(open_to_all, room - len(few)))


def _reserved(limit: MailLimit) -> int:
    """The last places of the site: a quarter of its number."""
    return min(limit.site_rates)[0] // 4


def _busy(limit: MailLimit, *, at: datetime) -> list[str]:
    """The networks that asked for more than a hundredth of the site's mails."""
    most, seconds = min(limit.site_rates)
    asked = Delivery.objects.filter(limit.mails, created_at__gt=at - timedelta(seconds=seconds)).exclude(mailbox="")
    networks = asked.values("network").annotate(mails=Count("pk")).filter(mails__gt=max(1, most // 100))
    return list(networks.values_list("network", flat=True))


def _newest_and_oldest(due: Sequence[Delivery], places: int) -> list[Delivery]:
    """The mails that get the places, half of them the oldest and half the newest; the others stay due."""
    if len(due) <= places:
        return [*due]
    by_age = sorted(due, key=lambda each: each.next_attempt_at)
    newest = (places + random.getrandbits(1)) // 2  # rounded at random: places may come back one at a time
    return [*by_age[: places - newest], *by_age[len(by_age) - newest :]]


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
