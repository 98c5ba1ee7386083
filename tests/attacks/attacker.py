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
from math import ceil

from django.conf import settings
from django.db import transaction

from signup import services
from signup.accounts import services as account_services
from tests.factories import PASSWORD, FrozenClock, wrong
from tests.steps import accept, deliver
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import CodeMismatch, SignUpError
from worker.models import Delivery

DAY = timedelta(hours=24)
OWNER = "owner"  # the network of a besieged address's owner


@dataclass
class Chances:
    """The guesses that were compared, each with its time and the chance that it would have been right."""

    guesses: list[tuple[datetime, float]] = field(default_factory=list)

    def worst_day(self) -> float:
        """The most that any 24 hours add up to."""
        return max(
            (sum(chance for at, chance in self.guesses if start <= at < start + DAY) for start in self._edges()),
            default=0.0,
        )

    def _edges(self) -> Iterable[datetime]:
        times = sorted({at for at, _ in self.guesses})
        return times[:: max(1, len(times) // 200)]

    def guess(self, sign_up: CaptchaModel, frozen_clock: FrozenClock) -> bool:
        """Type a wrong code; whether it was compared, which is when tries are told."""
        sign_up.refresh_from_db()
        length = sign_up.length
        try:
            services.prove(sign_up=sign_up, address=sign_up.address, code=wrong(sign_up))
        except CodeMismatch as error:
            if error.attempts_left is not None:
                self.guesses.append((frozen_clock.now(), 10.0**-length))
                return True
        except SignUpError:
            pass
        return False


def at_one_address(frozen_clock: FrozenClock, *, address: str, hours: int = 48, browsers: int = 6) -> Chances:
    """
    Guess at one address. Each mail is accepted at once, whatever the mail limits say: that is the stranger's best case.

    Every quarter of an hour, and just before and after each full day: ask from new browsers, ask old ones again,
    guess until nothing is compared any more.
    """
    chances, held = Chances(), []
    end = frozen_clock.now() + timedelta(hours=hours)
    while frozen_clock.now() < end:
        for number in range(browsers):
            held += [services.request_code(address=address, language="en", held={}, network=str(number))]
        for sign_up in held[-3 * browsers :]:
            with suppress(SignUpError):
                services.resend(sign_up=sign_up, language="en")
            accept(sign_up)
            while chances.guess(sign_up, frozen_clock):
                frozen_clock.move(seconds=1)
        frozen_clock.move(seconds=_until_next(frozen_clock.now()))
    return chances


def _until_next(at: datetime) -> float:
    """Seconds to the next quarter of an hour; at midnight in three small steps, for who waits at the window's edge."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    left = (midnight - at).total_seconds()
    return 900 if left > 900 else left - 1 if left > 1 else 1


def at_many_addresses(frozen_clock: FrozenClock, *, hours: int = 24) -> Chances:
    """
    Guess at as many addresses as the site's mails allow, each new, five tries each: nobody's own limit is touched.

    Mails leave by the real outbox and its limits; as soon as one is accepted, its code is guessed at.
    """
    chances, names = Chances(), _names()
    rate = max((count / seconds for count, seconds in settings.LIMIT_MAILS_SITE), default=1)
    end = frozen_clock.now() + timedelta(hours=hours)
    while frozen_clock.now() < end:
        for _ in range(ceil(rate * 60) + 1):  # more than may leave: the queue is never empty
            services.request_code(address=next(names), language="en", held={}, network="")
        while mails := deliver():
            for mail in mails:
                if mail.sign_up:
                    while chances.guess(mail.sign_up, frozen_clock):
                        pass
        frozen_clock.move(minutes=1)
    return chances


@dataclass
class Siege:
    """
    A stranger who uses up an address's mails: from each of so many networks they ask for one every ten minutes, a
    sign-up's and a reset's alike, as long as the owner is out. `networks` None: from another network each time. If the
    stranger `spoils`, they use up the tries of each code as soon as it is sent, and ask for a new one.

    The owner comes now and then, asks once, from their own network, and opens whichever mail is in the mailbox.
    """

    frozen_clock: FrozenClock
    address: str
    networks: int | None
    step: int = 10  # minutes, of ten at most
    spoils: bool = False

    def waits(self, *, hours: int, every: int) -> list[float]:
        """The minutes that an owner waits who comes every so many hours of the siege: each as if none came before."""
        waits = []
        for step in range(hours * 60 // self.step):
            self._ask(step)
            if step and step % (every * 60 // self.step) == 0:
                waits.append(self._owner_waits(step))
            self.frozen_clock.move(minutes=self.step)
        return waits

    def mails_in_a_day(self) -> int:
        """The most that any 24 hours of the siege brought, of all kinds."""
        brought = Delivery.objects.filter(recipient=self.address, state=Delivery.State.SENT)
        sent = sorted(brought.values_list("sent_at", flat=True))
        return max(sum(start <= time < start + DAY for time in sent) for start in sent)

    def _ask(self, step: int) -> None:
        names = [f"n{step}"] if self.networks is None else [f"n{number}" for number in range(self.networks)]
        for name in names:
            self.want(network=name)
        self._deliver()

    def _deliver(self) -> None:
        while mails := deliver():
            for mail in mails:
                if self.spoils and mail.sign_up and mail.network != OWNER:
                    self._spoil(mail.sign_up, mail.network)

    def _spoil(self, sign_up: CaptchaModel, network: str) -> None:
        # Without `prove`, which counts guesses in transactions of its own: this stranger has any number of them.
        CaptchaModel.objects.filter(pk=sign_up.pk).update(attempts=settings.CAPTCHA_MAX_ATTEMPTS)
        with suppress(SignUpError):
            services.resend(sign_up=sign_up, language="en", network=network)

    def _owner_waits(self, step: int) -> float:
        start = self.frozen_clock.now()
        with transaction.atomic():
            self.want(network=OWNER)
            self._deliver()
            while not self.gets_in() and self.frozen_clock.now() < start + DAY:  # no bound allows as much
                self.frozen_clock.move(minutes=self.step)
                step += 1
                self._ask(step)
            waited = self.frozen_clock.now() - start
            transaction.set_rollback(True)
        self.frozen_clock.set(start)
        return waited.total_seconds() / 60

    def want(self, *, network: str) -> None:
        services.request_code(address=self.address, language="en", held={}, network=network)

    def gets_in(self) -> bool:
        """Finish the sign-up by the link of a mail in the mailbox, if one works; whether it did."""
        for mail in Delivery.objects.filter(state=Delivery.State.SENT).order_by("-sent_at")[:3]:
            proof = mail.sign_up and _proof_in(mail, mail.sign_up)
            if mail.sign_up and verification.holds_proof(mail.sign_up, proof=proof):
                services.prove(sign_up=mail.sign_up, address=self.address, code="", proof=proof)
                account = {"username": "owner", "password": PASSWORD, "language": "en"}
                return services.register(sign_up=mail.sign_up, **account).is_active
        return False


class SiegeOfResets(Siege):
    """The same for the mails that reset a password; the address has an account."""

    def want(self, *, network: str) -> None:
        services.request_code(address=self.address, language="en", held={}, network=network)
        account_services.request_password_reset(address=self.address, language="en", network=network)

    def gets_in(self) -> bool:
        """Whether a reset's link is in the mailbox that works: it does for PASSWORD_RESET_TIMEOUT, whoever asked."""
        since = self.frozen_clock.now() - timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
        return Delivery.objects.filter(kind=Delivery.Kind.PASSWORD_RESET, sent_at__gt=since).exists()


def _proof_in(mail: Delivery, sign_up: CaptchaModel) -> str:
    """The proof in the link of a mail, which may be of an earlier generation than the request is now."""
    facts = {"handle": sign_up.handle, "nonce": sign_up.nonce, "generation": mail.generation}
    return codes.derive_proof(key=settings.SECRET_KEY, **facts)


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
