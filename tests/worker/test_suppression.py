"""Addresses that get no sign-up mail: muted by their owner, or suppressed after a bounce or a complaint."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.mail import EmailMessage

from core import clock
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery, make_muted, make_user
from tests.servers import Postgres, System
from verification import codes, services
from verification.models import CaptchaModel
from verification.states import HandleLost, state_of
from worker import mailers, outbox, sending, smtp, suppression
from worker.classification import Outcome, Reply
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

Asked = list[tuple[str, bool]]


@pytest.fixture
def server() -> list[Reply]:
    """What the mail server answers; what it was asked is in `asked`."""
    return [Reply(Outcome.ACCEPTED, "250 OK")]


@pytest.fixture
def asked(monkeypatch, server: list[Reply]) -> Asked:
    """(recipient, whether a message was handed over) of each visit to the mail server."""
    visits: Asked = []

    def deliver(backend: object, message: EmailMessage, *, probe: bool = False) -> Reply:
        visits.append((message.to[0], not probe))
        return server[0]

    monkeypatch.setattr(smtp.EmailBackend, "submit", deliver)
    return visits


def test_a_muted_address_gets_no_sign_up_mail(asked: Asked) -> None:
    """Of either kind; the mail server is asked for the recipient alone."""
    make_muted()
    for kind in ("code", "registered"):
        make_delivery(make_captcha(accepted=False), kind=kind)
    make_delivery(make_captcha(BOB, accepted=False), recipient=BOB)
    sending.deliver()
    assert sorted(asked) == [(ALICE, False), (ALICE, False), (BOB, True)]
    assert Delivery.objects.filter(last_reply="muted").count() == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(Outcome.ACCEPTED, "250 OK"),
        Reply(Outcome.DEFERRED, "450 later"),
        Reply(Outcome.REFUSED, "550 no"),
        Reply(Outcome.UNAVAILABLE, "refused"),
    ],
    ids=lambda reply: reply.outcome.value,
)
def test_whoever_asked_cant_tell(asked: Asked, server: list[Reply], frozen_clock: FrozenClock, reply: Reply) -> None:
    """The state that a stranger sees, and the life of the code, are those of any other mail."""
    server[0] = reply
    make_muted()
    seen = []
    for address in (ALICE, BOB):
        sign_up = make_captcha(address, accepted=False)
        delivery = make_delivery(sign_up, recipient=address)
        mailers.every.cache_clear()  # another process
        sending.deliver()
        delivery.refresh_from_db()
        sign_up.refresh_from_db()
        seen.append((delivery.visible_state, delivery.sent_at, sign_up.expires_at, state_of(sign_up)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("kind", ["password_reset", "password_changed"])
def test_other_mail_still_comes(asked: Asked, kind: str) -> None:
    """A mute is about sign-ups."""
    make_muted()
    make_delivery(kind=kind, user_id=make_user().pk)
    sending.deliver()
    assert asked == [(ALICE, True)]


def test_a_claimed_mail_knows_until_when_its_address_is_muted() -> None:
    """A mail about an account says it, and is sent."""
    make_muted()
    for address, until in ((ALICE, Suppression.objects.get().until), (BOB, None)):
        reset = make_delivery(kind="password_reset", user_id=make_user(address[:3], address).pk, recipient=address)
        (claimed,) = outbox.claim(limit=10)
        assert (claimed.pk, claimed.muted_until, claimed.is_muted) == (reset.pk, until, False)
        code = make_delivery(make_captcha(address, accepted=False), recipient=address)
        (claimed,) = outbox.claim(limit=10)
        assert (claimed.pk, claimed.muted_until, claimed.is_muted) == (code.pk, until, until is not None)


def test_a_token_of_an_address_is_about_no_request() -> None:
    """The mute's end needs no more."""
    assert suppression.read(suppression.undo_token_for(ALICE)) == suppression.Notice("", ALICE)


def test_a_mute_ends_by_itself(asked: Asked, frozen_clock: FrozenClock) -> None:
    """After thirty days."""
    make_muted()
    frozen_clock.move(days=30)
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert asked == [(ALICE, True)]


def test_the_disowned_request_is_spent_whoever_holds_it() -> None:
    """Neither its code nor its link opens anything, and the undo does not bring it back."""
    sign_up = make_captcha()
    notice = suppression.read(suppression.token_for(sign_up))
    suppression.mute(notice=notice)
    suppression.lift(address=notice.address)
    proof = codes.proof_of(sign_up)
    sign_up.refresh_from_db()
    with pytest.raises(HandleLost):
        services.prove(sign_up=sign_up, address=ALICE, code=codes.code_of(sign_up), proof=proof)
    assert CaptchaModel.objects.by_handles([sign_up.handle]) == []


def test_a_proof_of_before_is_void_too() -> None:
    """A stranger who had the code of an unwatched screen can't go on."""
    sign_up = make_captcha()
    services.prove(sign_up=sign_up, address=ALICE, code=codes.code_of(sign_up))
    suppression.mute(notice=suppression.Notice(sign_up.handle, ALICE))
    assert not services.redeem(sign_up=sign_up)
    sign_up.refresh_from_db()
    assert not sign_up.is_finished  # no page says that an account was made of it


def test_a_token_says_its_request_and_address_long_after_both_are_gone() -> None:
    """The link undoes at any time; under a former key too."""
    sign_up = make_captcha()
    token = suppression.token_for(sign_up)
    CaptchaModel.objects.all().delete()
    assert suppression.read(token) == suppression.Notice(sign_up.handle, ALICE)


def test_a_token_of_a_former_key_is_read_until_the_key_goes(settings) -> None:
    """SECRET_KEY_FALLBACKS."""
    token = suppression.token_for(make_captcha())
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key"
    assert suppression.read(token)
    settings.SECRET_KEY_FALLBACKS = []
    assert suppression.read(token) is None


def test_a_mute_token_proves_nothing_and_a_link_mutes_nothing() -> None:
    """Each has a salt of its own."""
    sign_up = make_captcha()
    mute, link = suppression.token_for(sign_up), codes.link_token(sign_up)
    assert suppression.read(link) is None
    body, _, mac = mute.partition(".")
    for forged in (mac, mac[:32]):
        assert not codes.is_proof(sign_up, forged)
        assert not services.holds_proof(sign_up, proof=forged)
    assert suppression.read(f"{body}.{link.partition('.')[2]}") is None


@pytest.mark.parametrize("token", ["", "a", "a.b", "W10.x", "." * 40, "é.é", "\x00.\x00"])
def test_what_is_no_token_mutes_nobody(token: str) -> None:
    """Whatever is left of it."""
    assert suppression.read(token) is None


def test_muting_twice_is_muting_once(frozen_clock: FrozenClock) -> None:
    """From the later time."""
    make_muted()
    frozen_clock.move(days=1)
    make_muted()
    assert Suppression.objects.get().until == suppression.muted_until(address=ALICE)
    assert (Suppression.objects.get().until - frozen_clock.now()).days == 30


RETURNED = [Suppression.Reason.BOUNCED, Suppression.Reason.COMPLAINED]


def suppress(reason: Suppression.Reason = Suppression.Reason.BOUNCED, address: str = ALICE) -> Suppression:
    suppression.suppress(address=address, reason=reason)
    return Suppression.objects.get(address=address)


@pytest.mark.parametrize("reason", RETURNED)
def test_a_suppressed_address_gets_no_sign_up_mail(asked: Asked, reason: Suppression.Reason) -> None:
    """Of either kind; the mail server hears nothing of it. Whoever asked learns that it failed, and neither why nor which."""
    suppress(reason)
    mails = [make_delivery(make_captcha(accepted=False), kind=kind) for kind in ("code", "registered")]
    make_delivery(make_captcha(BOB, accepted=False), recipient=BOB)
    sending.deliver()
    assert asked == [(BOB, True)]
    for each in mails:
        each.refresh_from_db()
        assert (each.state, each.reason, each.sent_at) == ("expired", Delivery.Reason.SUPPRESSED, None)
        assert (each.visible_state, each.visible_reason) == ("failed", "unclear")


@pytest.mark.parametrize("reason", RETURNED)
@pytest.mark.parametrize("kind", ["password_reset", "password_changed"])
def test_a_suppressed_address_gets_mail_about_its_account(asked: Asked, reason: Suppression.Reason, kind: str) -> None:
    """Its owner asked for it; it tells of no mute."""
    suppress(reason)
    make_delivery(kind=kind, user_id=make_user().pk)
    (claimed,) = outbox.claim(limit=1)
    assert (claimed.muted_until, claimed.is_held_back) == (None, False)
    outbox.release(deliveries=[claimed])
    sending.deliver()
    assert asked == [(ALICE, True)]


def test_a_suppression_grows_with_each_time(asked: Asked, frozen_clock: FrozenClock) -> None:
    """A day, a week, then 90 days each; mail is sent in between."""
    for times, days in enumerate((1, 7, 90, 90), 1):
        row = suppress()
        assert (row.times, row.until - frozen_clock.now()) == (times, timedelta(days=days))
        assert suppress().until == row.until
        frozen_clock.move(days=days)
        make_delivery(make_captcha(accepted=False))
        sending.deliver()
        assert len(asked) == times


def test_mails_that_bounce_together_count_once(frozen_clock: FrozenClock) -> None:
    """They left before the first of them came back."""
    first = suppress()
    frozen_clock.move(hours=23)
    second = suppress(Suppression.Reason.COMPLAINED)
    assert (second.times, second.until, second.reason) == (1, first.until, first.reason)


def test_a_bounce_does_not_end_a_mute(frozen_clock: FrozenClock) -> None:
    """Its owner asked for it, and whoever asks for a code must not notice."""
    make_muted()
    until = Suppression.objects.get().until
    row = suppress()
    assert (row.reason, row.until) == (Suppression.Reason.DISOWNED, until)


def test_a_mute_shortens_no_suppression(frozen_clock: FrozenClock) -> None:
    """The third complaint holds for 90 days, also where its owner presses the button then, which means 30."""
    for days in (1, 7):
        suppress(Suppression.Reason.COMPLAINED)
        frozen_clock.move(days=days)
    until = suppress(Suppression.Reason.COMPLAINED).until
    make_muted()
    row = Suppression.objects.get()
    assert (row.reason, row.until) == (Suppression.Reason.DISOWNED, until)


def test_a_bounce_does_not_end_a_mute_of_the_same_time(monkeypatch) -> None:
    """Its owner pressed the button while the report was being recorded."""
    real, owner = clock.now, iter([make_muted])

    def now() -> datetime:
        for press in owner:
            press()
        return real()

    monkeypatch.setattr("core.clock.now", now)
    assert suppress().reason == Suppression.Reason.DISOWNED


@pytest.mark.parametrize("reason", RETURNED)
def test_a_suppressed_address_is_not_muted(reason: Suppression.Reason) -> None:
    """The page of the mail's link says that sign-up mail comes, and offers to stop it."""
    suppress(reason)
    assert suppression.muted_until(address=ALICE) is None


def test_what_becomes_of_one_address_changes_no_other(frozen_clock: FrozenClock) -> None:
    """Neither its bounces, nor its owner, nor an operator: the other is suppressed as before, and known as before."""
    suppress(address=ALICE)
    before = suppress(Suppression.Reason.COMPLAINED, BOB)
    frozen_clock.move(days=1)
    assert suppress(address=ALICE).times == 2
    assert not suppression.holds(address=BOB)
    assert not suppression.lift(address="carol@example.com")
    make_muted()
    suppression.lift(address=ALICE)
    row = Suppression.objects.get()
    assert (row.address, row.reason, row.times, row.until) == (BOB, before.reason, 1, before.until)


@pytest.mark.parametrize("reason", RETURNED)
def test_a_suppression_is_lifted_by_hand(asked: Asked, reason: Suppression.Reason) -> None:
    """By an operator, for the mailbox works again; the next bounce counts as the first."""
    suppress(reason)
    assert suppression.lift(address=ALICE)
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert asked == [(ALICE, True)]
    assert suppress(reason).times == 1


CROWD = """
import threading
from django.db import connection, transaction
from worker import suppression
from worker.models import Suppression

def bounce():
    with transaction.atomic():
        suppression.suppress(address="a@example.com", reason=Suppression.Reason.BOUNCED)

def mute():
    suppression.mute(notice=suppression.Notice("", "a@example.com"))

def lift():
    suppression.lift(address="a@example.com")

errors, works = set(), [bounce, mute, lift] * 3
start = threading.Barrier(len(works))
def work(act):
    start.wait()
    for _ in range(100):
        try:
            act()
        except Exception as error:
            errors.add((act.__name__, type(error).__name__))
    connection.close()

threads = [threading.Thread(target=work, args=[act]) for act in works]
for each in threads: each.start()
for each in threads: each.join()
print("ENDED", errors)
"""


@pytest.mark.postgres
def test_bounces_and_mutes_meet_the_lifting_of_their_suppression(postgres: Postgres, tmp_path: Path) -> None:
    """One was first, and nobody gets an error."""
    system = System(database=postgres.migrated_database(), logs=tmp_path)
    assert "ENDED set()" in system.shell(CROWD)
