"""Muting sign-up mail to an address."""

import pytest
from django.core.mail import EmailMessage

from tests.factories import ALICE, BOB, Hands, make_captcha, make_delivery, make_user, muted
from verification import codes, services
from verification.models import CaptchaModel
from verification.states import HandleLost, state_of
from worker import mailers, outbox, sending, smtp, suppression
from worker.classification import Outcome, Reply
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

Asked = list[tuple[str, bool]]


@pytest.fixture
def server(monkeypatch) -> list[Reply]:
    """What the mail server answers; what it was asked is in `asked`."""
    return [Reply(Outcome.ACCEPTED, "250 OK")]


@pytest.fixture
def asked(monkeypatch, server: list[Reply]) -> Asked:
    """(recipient, whether a message was handed over) of each visit to the mail server."""
    visits: Asked = []

    def deliver(backend: object, message: EmailMessage, *, only_ask: bool = False) -> Reply:
        visits.append((message.to[0], not only_ask))
        return server[0]

    monkeypatch.setattr(smtp.EmailBackend, "submit", deliver)
    return visits


def test_a_muted_address_gets_no_sign_up_mail(asked: Asked) -> None:
    """Of either kind; the mail server is asked for the recipient alone."""
    muted()
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
def test_whoever_asked_cant_tell(asked: Asked, server: list[Reply], hands: Hands, reply: Reply) -> None:
    """The state that a stranger sees, and the life of the code, are those of any other mail."""
    server[0] = reply
    muted()
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
    muted()
    make_delivery(kind=kind, user_id=make_user().pk)
    sending.deliver()
    assert asked == [(ALICE, True)]


def test_a_claimed_mail_knows_until_when_its_address_is_muted() -> None:
    """A mail about an account says it, and is sent."""
    muted()
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


def test_a_mute_ends_by_itself(asked: Asked, hands: Hands) -> None:
    """After thirty days."""
    muted()
    hands.move(days=30)
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert asked == [(ALICE, True)]


def test_the_disowned_request_is_spent_whoever_holds_it() -> None:
    """Neither its code nor its link opens anything, and the undo does not bring it back."""
    sign_up = make_captcha()
    notice = suppression.read(suppression.token_for(sign_up))
    suppression.mute(notice=notice)
    suppression.unmute(address=notice.address)
    proof = codes.link_proof_of(sign_up)
    sign_up.refresh_from_db()
    with pytest.raises(HandleLost):
        services.prove(sign_up=sign_up, address=ALICE, code=codes.code_of(sign_up), link_proof=proof)
    assert CaptchaModel.objects.by_handles([sign_up.handle]) == []


def test_a_proof_of_before_is_void_too() -> None:
    """A stranger who had the code of an unwatched screen can't go on."""
    sign_up = make_captcha()
    services.prove(sign_up=sign_up, address=ALICE, code=codes.code_of(sign_up))
    suppression.mute(notice=suppression.Notice(sign_up.handle, ALICE))
    assert not services.redeem(sign_up=sign_up)


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
        assert not codes.is_link_proof(sign_up, forged)
        assert not services.holds_proof(sign_up, link_proof=forged)
    assert suppression.read(f"{body}.{link.partition('.')[2]}") is None


@pytest.mark.parametrize("token", ["", "a", "a.b", "W10.x", "." * 40, "é.é", "\x00.\x00"])
def test_what_is_no_token_mutes_nobody(token: str) -> None:
    """Whatever is left of it."""
    assert suppression.read(token) is None


def test_muting_twice_is_muting_once(hands: Hands) -> None:
    """From the later time."""
    muted()
    hands.move(days=1)
    muted()
    assert Suppression.objects.get().until == suppression.muted_until(address=ALICE)
    assert (Suppression.objects.get().until - hands.moment).days == 30
