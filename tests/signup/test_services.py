"""The services of the journey."""

from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest
from django.contrib.auth import authenticate
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from signup import services
from signup.accounts import services as account_services
from signup.models import User
from signup.signals import user_activated
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, make_captcha, make_pending, make_user, right
from verification import codes
from verification.models import CaptchaModel
from verification.services import prove
from verification.states import CodeExpired, CodeMismatch, HandleLost, ResendTooSoon
from worker import outbox
from worker.classification import Outcome, Reply
from worker.models import Delivery

pytestmark = pytest.mark.django_db


def ask(address: str = ALICE, handles: tuple[str, ...] = (), language: str = "en") -> CaptchaModel:
    return services.request_code(address=address, language=language, held=dict.fromkeys(handles, ""))


def deliver(reply: Reply = Reply(Outcome.ACCEPTED, "250 OK")) -> None:  # noqa: B008
    for delivery in outbox.claim(limit=50):
        outbox.settle(results=[(delivery, reply)])


def proven(address: str = ALICE) -> CaptchaModel:
    if not User.objects.filter(email=address).exists():
        make_pending(address)
    sign_up = make_captcha(address)
    prove(sign_up=sign_up, address=address, code=right(sign_up))
    return sign_up


def register(sign_up: CaptchaModel, username: str = "alice") -> User:
    return services.register(sign_up=sign_up, username=username, password=PASSWORD, language="zh-hans")


def test_asking_makes_an_inactive_user_a_code_and_a_mail() -> None:
    """One row each; the user still has no name and no password."""
    sign_up = ask(language="zh-hans")
    user, delivery = User.objects.get(), Delivery.objects.get()
    assert (user.email, user.is_active, user.username, user.has_usable_password()) == (ALICE, False, None, False)
    assert (delivery.kind, delivery.recipient, delivery.language, delivery.sign_up) == (
        "code",
        ALICE,
        "zh-hans",
        sign_up,
    )


def test_every_kind_of_address_costs_the_same_statements() -> None:
    """New, pending and registered: three of them, between BEGIN and COMMIT."""
    make_pending("pending@example.com")
    make_user("bob", BOB)
    counts = []
    for address in (ALICE, "pending@example.com", BOB):
        with CaptureQueriesContext(connection) as queries:
            ask(address)
        counts.append([query["sql"].split()[0] for query in queries])
    assert counts == [["SAVEPOINT", "INSERT", "SELECT", "SELECT", "INSERT", "INSERT", "RELEASE"]] * 3


def test_asking_again_makes_another_request_for_another_visitor() -> None:
    """One user; the first visitor's request stays as it is."""
    first, second = ask(), ask()
    assert User.objects.count() == 1
    assert first.handle != second.handle
    assert CaptchaModel.objects.count() == 2


@pytest.mark.parametrize("state", ["active", "disabled", "disabled before activation", "staff"])
def test_a_registered_address_gets_a_decoy_and_another_mail(state: str) -> None:
    """Active or disabled, it is never activated by a code."""
    user = make_user()
    User.objects.filter(pk=user.pk).update(is_active=state == "active", is_staff=state == "staff")
    sign_up = ask()
    assert sign_up.decoy
    assert Delivery.objects.get().kind == "registered"


def test_asking_again_in_the_same_browser_is_a_resend(frozen_clock: FrozenClock) -> None:
    """The same request, the same code, another mail."""
    sign_up = ask()
    deliver()
    frozen_clock.move(seconds=60)
    again = ask(handles=("forged", sign_up.handle))
    assert again.handle == sign_up.handle
    assert Delivery.objects.count() == 2
    assert CaptchaModel.objects.get().generation == 1


def test_asking_again_within_the_cooldown_sends_nothing(frozen_clock: FrozenClock) -> None:
    """A double click is no error: the mail is on its way."""
    sign_up = ask()
    assert ask(handles=(sign_up.handle,)) == sign_up
    assert Delivery.objects.count() == 1


def test_another_address_is_another_request() -> None:
    """A handle for one address does not count for another."""
    sign_up = ask()
    assert ask(BOB, (sign_up.handle,)).address == BOB
    assert CaptchaModel.objects.count() == 2


def test_a_mail_that_waits_is_sent_sooner_and_not_twice(
    frozen_clock: FrozenClock, django_capture_on_commit_callbacks, notified
) -> None:
    """However often it is requested while the mail server is down; in the language of the last request."""
    sign_up = ask()
    frozen_clock.move(seconds=60)
    with django_capture_on_commit_callbacks(execute=True):
        resent = services.resend(sign_up=sign_up, language="zh-hans")
    delivery = Delivery.objects.get()
    assert resent == (False, delivery)
    assert (notified, delivery.language) == ([delivery.pk], "zh-hans")


def test_a_mail_in_its_backoff_goes_on_waiting(
    frozen_clock: FrozenClock, django_capture_on_commit_callbacks, notified
) -> None:
    """The notified worker finds nothing to send."""
    sign_up = ask()
    deliver(Reply(Outcome.DEFERRED, "450 later"))
    frozen_clock.move(seconds=60)
    with django_capture_on_commit_callbacks(execute=True):
        services.resend(sign_up=sign_up, language="en")
    assert outbox.claim(limit=1) == []


def test_silence_about_a_former_code_delays_no_mail_of_the_present_one(frozen_clocks: FrozenClock) -> None:
    """After silence behind the dot twice, that mail rests for an hour; once another code replaced its own it is over."""
    sign_up = ask()
    for _ in range(2):
        deliver(Reply(Outcome.UNKNOWN, "timed out"))
        frozen_clocks.move(seconds=61)
        outbox.reclaim()
    frozen_clocks.move(minutes=31)
    assert services.resend(sign_up=sign_up, language="en").is_new_code
    deliver()
    frozen_clocks.move(seconds=60)
    assert services.resend(sign_up=sign_up, language="en") == (False, None)
    assert [each.generation for each in outbox.claim(limit=9)] == [2]


def test_a_proof_stays_when_its_visitor_asks_again() -> None:
    """The address is confirmed: nothing is mailed."""
    sign_up = proven()
    held = {sign_up.handle: codes.proof_of(sign_up)}
    assert services.request_code(address=ALICE, language="en", held=held) == sign_up
    assert Delivery.objects.count() == 0


def test_a_used_up_code_is_replaced_and_its_mail_withdrawn(frozen_clock: FrozenClock) -> None:
    """No crossed codes: the old generation's waiting mail never leaves."""
    sign_up = ask()
    deliver()
    frozen_clock.move(seconds=60)
    services.resend(sign_up=sign_up, language="en")  # its mail waits …
    CaptchaModel.objects.update(attempts=5)  # … while the tries are used up
    frozen_clock.move(seconds=60)
    assert services.resend(sign_up=sign_up, language="en").is_new_code
    states = Delivery.objects.order_by("pk").values_list("state", "generation")
    assert list(states) == [("sent", 1), ("expired", 1), ("pending", 2)]


def test_a_code_in_flight_is_not_replaced(frozen_clock: FrozenClock) -> None:
    """Acceptance of the mail renews its lifetime."""
    sign_up = ask()
    deliver()
    frozen_clock.move(seconds=590)
    services.resend(sign_up=sign_up, language="en")
    outbox.claim(limit=1)
    frozen_clock.move(seconds=60)
    assert not services.resend(sign_up=sign_up, language="en").is_new_code


def test_a_code_that_expired_while_the_mail_server_is_silent_is_replaced(frozen_clocks: FrozenClock) -> None:
    """The mail is tried again much later, and no worker has it in hand; the old code's never leaves again."""
    sign_up = ask()
    Delivery.objects.update(attempts=1, last_reply="unanswered: TimeoutError")
    [mine] = outbox.claim(limit=1)
    outbox.settle(results=[(mine, Reply(Outcome.UNKNOWN, "TimeoutError"))])
    frozen_clocks.move(minutes=31)
    assert services.resend(sign_up=sign_up, language="en").is_new_code
    deliver()
    frozen_clocks.move(hours=2)
    outbox.reclaim()
    deliver()
    assert list(Delivery.objects.order_by("pk").values_list("state", "generation")) == [("expired", 1), ("sent", 2)]


def test_a_proven_request_sends_no_more(frozen_clock: FrozenClock) -> None:
    """The visitor who proved it needs no mail; others start again."""
    sign_up = proven()
    frozen_clock.move(seconds=60)
    with pytest.raises(HandleLost):
        services.resend(sign_up=sign_up, language="en")
    assert Delivery.objects.count() == 0
    assert ask(handles=(sign_up.handle,)).handle != sign_up.handle


def test_a_finished_request_does_not_hide_a_new_one_for_its_address(frozen_clock: FrozenClock) -> None:
    """A browser that opened the old mail's link holds the finished one before the other."""
    finished = proven()
    register(finished)
    sign_up = ask()
    assert ask(handles=(finished.handle, sign_up.handle)) == sign_up


@pytest.mark.parametrize("first_mail", ["sent", "waits"])
def test_an_address_whose_account_is_deleted_gets_a_code_by_the_same_request(
    frozen_clock: FrozenClock, first_mail: str
) -> None:
    """Its browser asks again, and would get the mail for registered addresses else. Nothing else tells the two apart."""
    owner = make_user()
    sign_up = ask()
    if first_mail == "sent":
        deliver()
    owner.delete()
    frozen_clock.move(seconds=61)
    assert ask(handles=(sign_up.handle,)) == sign_up
    again = CaptchaModel.objects.get()
    assert (again.generation, again.attempts, again.length) == (sign_up.generation, sign_up.attempts, sign_up.length)
    assert [each.kind for each in Delivery.objects.filter(state="pending")] == ["code"]
    deliver()
    again.refresh_from_db()
    prove(sign_up=again, address=ALICE, code=right(again))
    assert register(CaptchaModel.objects.get()).is_active


def test_a_new_generation_checks_again_whether_the_address_is_registered(frozen_clock: FrozenClock) -> None:
    """The account was deleted since the request began."""
    user = make_user()
    sign_up = ask()
    deliver()
    user.delete()
    frozen_clock.move(seconds=700)
    services.resend(sign_up=sign_up, language="en")
    assert (CaptchaModel.objects.get().decoy, Delivery.objects.latest("pk").kind) == (False, "code")


def test_mails_to_an_account_are_in_its_language(frozen_clock: FrozenClock) -> None:
    """Whatever the language of the visitor, who asks twice."""
    make_user(language="zh-hant")
    sign_up = ask(language="en")
    deliver()
    frozen_clock.move(seconds=60)
    services.resend(sign_up=sign_up, language="en")
    assert [each.language for each in Delivery.objects.all()] == ["zh-hant"] * 2


def test_resending_too_soon_or_too_late(frozen_clock: FrozenClock) -> None:
    """Wait, or start again."""
    sign_up = ask()
    with pytest.raises(ResendTooSoon):
        services.resend(sign_up=sign_up, language="en")
    frozen_clock.move(days=1)
    with pytest.raises(HandleLost):
        services.resend(sign_up=sign_up, language="en")
    CaptchaModel.objects.all().delete()
    with pytest.raises(HandleLost):
        services.resend(sign_up=sign_up, language="en")


def test_asking_again_after_registering_makes_a_new_request(frozen_clock: FrozenClock) -> None:
    """The handle of a finished request is not used again."""
    sign_up = proven()
    register(sign_up)
    assert ask(handles=(sign_up.handle,)).pk != sign_up.pk


@pytest.fixture
def received() -> Iterator[list[User]]:
    """The accounts that user_activated was sent for."""
    users: list[User] = []

    def receive(sender: object, user: User, **kwargs: object) -> None:
        users.append(user)

    user_activated.connect(receive)
    yield users
    user_activated.disconnect(receive)


def test_an_account_that_is_made_disabled_sends_no_signal(
    received: list[User], django_capture_on_commit_callbacks
) -> None:
    """It is not active yet."""
    with django_capture_on_commit_callbacks(execute=True):
        User.objects.create_user(email=ALICE, username="alice", is_active=False)
        User.objects.create_user(email=BOB, username="bob")
    assert [user.username for user in received] == ["bob"]


def test_registering_activates_the_account_and_sends_the_signal(
    received: list[User], django_capture_on_commit_callbacks
) -> None:
    """Name, password, language, time; the signal is sent after the commit."""
    with django_capture_on_commit_callbacks(execute=True):
        user = register(proven())
        assert received == []
    assert received == [user]
    assert (user.username, user.language, user.is_active) == ("alice", "zh-hans", True)
    assert user.activated_at is not None
    assert authenticate(username="ALICE", password=PASSWORD) == user


def test_a_proof_registers_once() -> None:
    """Then it is redeemed."""
    sign_up = proven()
    register(sign_up)
    with pytest.raises(HandleLost):
        register(sign_up, "alice2")


def test_a_taken_username_leaves_the_proof() -> None:
    """The redemption is rolled back, so the next name works."""
    make_user("Bob", BOB)
    sign_up = proven()
    with pytest.raises(services.UsernameTaken):
        register(sign_up, "bOB")
    sign_up.refresh_from_db()
    assert sign_up.redeemed_at is None
    assert not User.objects.get(email=ALICE).is_active
    assert register(sign_up).username == "alice"


def test_a_second_proof_of_the_address_finds_the_account() -> None:
    """Two requests were open; the second one learns of the account."""
    first, second = proven(), make_captcha()
    prove(sign_up=second, address=ALICE, code=right(second))
    register(first)
    with pytest.raises(services.AlreadyRegistered):
        register(second, "alice2")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_disabled_user_stays_disabled(when: str) -> None:
    """Whether an operator disabled it before or after activation."""
    sign_up = proven()
    other = make_captcha()
    prove(sign_up=other, address=ALICE, code=right(other))
    if when == "after":
        register(sign_up)
        User.objects.update(is_active=False)
    else:
        User.objects.update(activated_at="2026-01-01T00:00Z")  # as the admin does
    with pytest.raises(services.AlreadyRegistered):
        register(other, "alice2")
    assert not User.objects.get().is_active


def test_a_reset_mail_is_for_active_accounts_alone() -> None:
    """Nobody looks while it is asked for, so that it takes as long for all; the worker does."""
    make_pending(BOB)
    make_user("carol", "carol@example.com", is_active=False)
    user = make_user(language="zh-hant")
    dave = make_user("dave", "dave@example.com")
    dave.set_unusable_password()
    dave.save()
    with CaptureQueriesContext(connection) as queries:
        for address in (ALICE, BOB, "carol@example.com", dave.email, "nobody@example.com"):
            account_services.request_password_reset(address=address, language="en")
    assert not any("signup_user" in query["sql"] for query in queries)
    claimed = sorted(outbox.claim(limit=9), key=lambda mail: mail.pk)
    assert [(each.user, each.language) for each in claimed] == [(user, "zh-hant"), *[(None, "en")] * 4]
    assert {each.kind for each in claimed} == {"password_reset"}
    assert not Delivery.objects.exclude(user=None).exists()


def test_a_code_can_be_typed_as_soon_as_its_send_has_begun() -> None:
    """The mail can be read before its acceptance is on record. Before the send no code is compared or counted."""
    sign_up = ask()
    code = right(sign_up)
    with pytest.raises(CodeMismatch) as refused:
        services.prove(sign_up=sign_up, address=ALICE, code=code)
    assert refused.value.attempts_left is None
    outbox.claim(limit=1)
    sign_up.refresh_from_db()
    assert services.prove(sign_up=sign_up, address=ALICE, code=code)


def test_a_code_works_if_the_mail_servers_answer_was_lost(frozen_clock: FrozenClock) -> None:
    """The mail may have arrived; the code works for CAPTCHA_MAX_LIFETIME."""
    sign_up = ask()
    [delivery] = outbox.claim(limit=1)
    outbox.settle(results=[(delivery, Reply(Outcome.UNKNOWN, "silence"))])
    frozen_clock.move(minutes=29)
    sign_up.refresh_from_db()
    assert services.prove(sign_up=sign_up, address=ALICE, code=right(sign_up))


def test_a_code_expires_if_no_answer_ever_comes(frozen_clock: FrozenClock) -> None:
    """CAPTCHA_MAX_LIFETIME after its send began."""
    sign_up = ask()
    outbox.claim(limit=1)
    frozen_clock.move(minutes=30)
    sign_up.refresh_from_db()
    with pytest.raises(CodeExpired):
        services.prove(sign_up=sign_up, address=ALICE, code=right(sign_up))


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.UNAVAILABLE, Outcome.REFUSED])
def test_a_mail_that_no_server_accepted_opens_no_code(outcome: Outcome) -> None:
    """Nobody has read it: guesses are neither compared nor counted until the next send."""
    sign_up = ask()
    [delivery] = outbox.claim(limit=1)
    outbox.settle(results=[(delivery, Reply(outcome, "no"))])
    sign_up.refresh_from_db()
    with pytest.raises(CodeMismatch) as refused:
        services.prove(sign_up=sign_up, address=ALICE, code=right(sign_up))
    assert refused.value.attempts_left is None


@pytest.mark.parametrize("service", [account_services.change_password, account_services.choose_password])
def test_no_password_is_changed_without_its_mail(monkeypatch, service: Callable[..., None]) -> None:
    """Both or neither: its owner learns of each new password."""
    user = make_user()
    monkeypatch.setattr(outbox, "post", Mock(side_effect=OperationalError))
    confirmed = {"confirmed": None} if service is account_services.choose_password else {}
    with pytest.raises(OperationalError):
        service(user=user, password="another horse b", language="en", **confirmed)
    assert User.objects.get().check_password(PASSWORD)
