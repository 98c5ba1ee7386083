"""
A stranger who wants an account at an address that isn't theirs, and plays as well as the rules let them.

They have any number of networks and browsers, know everything but the keys, read no mail, and are quick: they guess
whenever a guess is to be had, at the shortest code that is to be had. The services are the real ones, on a database;
the clock stands still and is moved. What counts is not luck but chance: a wrong guess at a code of L digits that was
compared is a chance of 1 in 10^L.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from signup import services
from tests.factories import Hands, wrong
from tests.visits import accept, deliver
from verification.models import CaptchaModel
from verification.states import CodeMismatch, VerificationError

DAY = timedelta(hours=24)


@dataclass
class Chances:
    """The guesses that were compared, each with its moment and the chance that it would have been right."""

    guesses: list[tuple[datetime, float]] = field(default_factory=list)

    def worst_day(self) -> float:
        """The most that any 24 hours add up to."""
        return max(
            (sum(chance for at, chance in self.guesses if start <= at < start + DAY) for start in self._edges()),
            default=0.0,
        )

    def _edges(self) -> Iterable[datetime]:
        moments = sorted({at for at, _ in self.guesses})
        return moments[:: max(1, len(moments) // 200)]

    def guess(self, captcha: CaptchaModel, hands: Hands) -> bool:
        """Type a wrong code; whether it was compared, which is when tries are told."""
        captcha.refresh_from_db()
        length = captcha.length
        try:
            services.prove(captcha=captcha, address=captcha.address, code=wrong(captcha), link_proof=None)
        except CodeMismatch as error:
            if error.attempts_left is not None:
                self.guesses.append((hands.moment, 10.0**-length))
                return True
        except VerificationError:
            pass
        return False


def at_one_address(hands: Hands, *, address: str, hours: int = 48, browsers: int = 6) -> Chances:
    """
    Guess at one address. Each mail is accepted at once, whatever the budgets say: that is the stranger's best case.

    Every quarter of an hour, and a moment before and after each full day: ask from new browsers, ask old ones again,
    guess until nothing is compared any more.
    """
    chances, held = Chances(), []
    end = hands.moment + timedelta(hours=hours)
    while hands.moment < end:
        for number in range(browsers):
            held += [services.request_code(address=address, language="en", held={}, network=str(number))]
        for captcha in held[-3 * browsers :]:
            with suppress(VerificationError):
                services.resend(captcha=captcha, language="en")
            accept(captcha)
            while chances.guess(captcha, hands):
                hands.move(seconds=1)
        hands.move(seconds=_until_next(hands.moment))
    return chances


def _until_next(moment: datetime) -> float:
    """Seconds to the next quarter of an hour; at midnight in three small steps, for who waits at the window's edge."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    left = (midnight - moment).total_seconds()
    return 900 if left > 900 else left - 1 if left > 1 else 1


def at_many_addresses(hands: Hands, *, hours: int = 24) -> Chances:
    """
    Guess at as many addresses as the site's mails allow, each new, five tries each: nobody's own budget is touched.

    Mails leave by the real outbox and its budgets; as soon as one is accepted, its code is guessed at.
    """
    chances, names = Chances(), _names()
    rate = max((count / seconds for count, seconds in settings.LIMIT_MAILS_SITE), default=1)
    end = hands.moment + timedelta(hours=hours)
    while hands.moment < end:
        for _ in range(round(rate * 60) + 5):
            services.request_code(address=next(names), language="en", held={}, network="")
        while mails := deliver():
            for mail in mails:
                if mail.captcha:
                    while chances.guess(mail.captcha, hands):
                        pass
        hands.move(minutes=1)
    return chances


def _names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"person{number}@example.com"


def bound_of_address() -> float:
    """A/N by the settings: each wrong guess of 24 hours at the length that codes then have."""
    steps = [*settings.LIMIT_GUESSES_ADDRESS]
    return _bound(steps, most=max((threshold for threshold, _ in steps), default=0))


def bound_of_site(*, hours: int = 24) -> float:
    """W/N by the settings, for as many guesses as the site's mails allow in a day."""
    mails = min((count * hours * 3_600 / seconds for count, seconds in settings.LIMIT_MAILS_SITE), default=0.0)
    return _bound(settings.LIMIT_GUESSES_SITE, most=int(mails * settings.CAPTCHA_MAX_ATTEMPTS))


def _bound(tiers: list[tuple[int, int | None]], *, most: int) -> float:
    chance, done, length = 0.0, 0, settings.CAPTCHA_LENGTH
    for threshold, digits in [*tiers, (most, None)]:
        chance += max(0, min(threshold, most) - done) / 10**length
        done, length = max(done, min(threshold, most)), digits or length
    return chance
