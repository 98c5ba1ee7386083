"""Another life for what failed."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery, make_user
from verification.models import CaptchaModel
from worker import outbox
from worker.classification import Outcome, Reply
from worker.models import Delivery, Suppression
from worker.outbox import requeue
from worker.suppression import lift, suppress

pytestmark = pytest.mark.django_db


def fail(delivery: Delivery) -> Delivery:
    Delivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=9)
    return delivery


def test_a_failed_mail_is_sent_again(django_capture_on_commit_callbacks, notified) -> None:
    """All its tries, the same code, the same Message-ID."""
    delivery = fail(make_delivery(make_captcha(accepted=False)))
    with django_capture_on_commit_callbacks(execute=True):
        assert requeue(delivery_id=delivery.pk)
    again = Delivery.objects.get()
    assert (again.state, again.attempts, again.generation) == ("pending", 0, 1)
    assert again.message_id == delivery.message_id
    assert notified == [delivery.pk]


def test_a_mail_that_is_sent_again_waits_for_no_limit_and_looks_new(frozen_clocks: FrozenClock, settings) -> None:
    """Also one that ended before the limits let it pass: its page says that it waits for its turn, and not for longer."""
    settings.LIMIT_MAILS_MAILBOX = [(1, 86_400)]
    first, second = (make_delivery(make_captcha(accepted=False), network="here") for _ in range(2))
    assert [each.pk for each in outbox.claim(limit=9)] == [second.pk]
    frozen_clocks.move(minutes=1)
    Delivery.objects.filter(pk=first.pk).update(state="expired")
    assert requeue(delivery_id=first.pk)
    assert Delivery.objects.get(pk=first.pk).visible_state == "queued"
    assert [each.pk for each in outbox.claim(limit=9)] == [first.pk]


def test_requeue_replaces_an_expired_code(frozen_clock: FrozenClock) -> None:
    """A new generation is another mail."""
    delivery = fail(make_delivery(make_captcha()))
    frozen_clock.move(hours=1)
    assert requeue(delivery_id=delivery.pk)
    again = Delivery.objects.get()
    assert (again.generation, CaptchaModel.objects.get().generation) == (2, 2)
    assert again.message_id != delivery.message_id


def test_the_mail_of_an_older_code_becomes_another_mail() -> None:
    """Its Message-ID may have arrived, with the old code."""
    sign_up = make_captcha()
    delivery = fail(make_delivery(sign_up))
    CaptchaModel.objects.update(generation=2)
    assert requeue(delivery_id=delivery.pk)
    assert Delivery.objects.get().message_id != delivery.message_id


def test_the_mail_about_a_new_password_still_says_when_that_was(frozen_clock: FrozenClock) -> None:
    """And not when an operator sent it again."""
    delivery = fail(make_delivery(kind="password_changed", user_id=make_user().pk))
    frozen_clock.move(hours=5)
    assert requeue(delivery_id=delivery.pk)
    assert Delivery.objects.get().created_at == delivery.created_at


def test_what_is_over_or_under_way_is_left_alone(frozen_clock: FrozenClock) -> None:
    """Sent, waiting, too old, proven, without its request, sent again since, unknown."""
    pending = make_delivery()
    sent = make_delivery()
    Delivery.objects.filter(pk=sent.pk).update(state="sent")
    orphan = fail(make_delivery())
    proven, superseded = make_captcha(), make_captcha(BOB)
    CaptchaModel.objects.filter(pk=proven.pk).update(proven_at=frozen_clock.now())
    first = fail(make_delivery(superseded))
    make_delivery(superseded)
    ids = [pending.pk, sent.pk, orphan.pk, fail(make_delivery(proven)).pk, first.pk, 999]
    assert not any(requeue(delivery_id=each) for each in ids)
    again = make_captcha()
    before = fail(make_delivery(again))
    Delivery.objects.filter(pk=make_delivery(again).pk).update(state="sent")
    assert not requeue(delivery_id=before.pk)
    old = [fail(make_delivery(make_captcha())), fail(make_delivery(kind="password_reset", user_id=make_user().pk))]
    frozen_clock.move(days=1, seconds=1)
    assert not any(requeue(delivery_id=each.pk) for each in old)


def test_a_sign_up_mail_whose_owner_asked_again_elsewhere_is_left_alone() -> None:
    """From another browser, so by another request. A mail about an account is no answer to a sign-up."""
    failed = fail(make_delivery(make_captcha()))
    again = make_delivery(kind="password_reset", user_id=make_user().pk)
    Delivery.objects.filter(pk=again.pk).update(state="sent")
    assert requeue(delivery_id=failed.pk)
    fail(failed)
    Delivery.objects.filter(pk=make_delivery(make_captcha()).pk).update(state="sent")
    assert not requeue(delivery_id=failed.pk)


def test_one_reset_is_sent_again_and_only_if_nothing_took_its_place() -> None:
    """Several presses in an outage are one wish; a reset or a new password since has fulfilled it."""
    make_user()
    bob = make_user("bob", BOB)
    resets = [fail(make_delivery(kind="password_reset")).pk for _ in range(3)]
    assert [requeue(delivery_id=each) for each in resets] == [True, False, False]
    for since in ("password_reset", "password_changed"):
        failed = fail(make_delivery(kind="password_reset", recipient=BOB))
        changed = fail(make_delivery(kind="password_changed", recipient=BOB, user_id=bob.pk))
        Delivery.objects.filter(pk=make_delivery(kind=since, recipient=BOB).pk).update(state="sent")
        assert [requeue(delivery_id=each.pk) for each in (failed, changed)] == [False, True]
    assert not requeue(delivery_id=fail(make_delivery(kind="password_reset", recipient="nobody@example.com")).pk)


def test_a_mail_to_a_suppressed_address_is_left_alone() -> None:
    """It would be dropped, and called sent again. One about an account is sent."""
    suppress(address=ALICE, reason=Suppression.Reason.BOUNCED)
    code = fail(make_delivery(make_captcha()))
    assert not requeue(delivery_id=code.pk)
    assert requeue(delivery_id=fail(make_delivery(kind="password_reset", user_id=make_user().pk)).pk)
    lift(address=ALICE)
    assert requeue(delivery_id=code.pk)


def test_a_refusal_is_forgotten_once_its_mail_is_sent_again() -> None:
    """The page no longer tells of it; the log keeps the mail server's words until the next answer."""
    delivery = fail(make_delivery(make_captcha()))
    Delivery.objects.update(last_reply="550 5.1.1 no such user", cause="mailbox")
    assert requeue(delivery_id=delivery.pk)
    row = Delivery.objects.get()
    assert (row.cause, row.visible_reason, row.last_reply) == ("", "", "550 5.1.1 no such user")


def test_a_mail_that_bounced_begins_anew() -> None:
    """A late report by the id of the mail service is about the mail that bounced, and so are its times."""
    delivery = make_delivery(make_captcha())
    now = timezone.now()
    Delivery.objects.update(state="bounced", provider_id="of-the-first", sent_at=now, tried_early_at=now)
    assert requeue(delivery_id=delivery.pk)
    again = Delivery.objects.get()
    assert (again.provider_id, again.sent_at, again.tried_early_at) == ("", None, None)
    assert again.message_id != delivery.message_id


def test_silence_before_it_was_sent_again_does_not_count() -> None:
    """All its tries: after the first silence the next one is a minute later, and not an hour."""
    fail(make_delivery(make_captcha(accepted=False)))
    Delivery.objects.update(last_reply="unanswered: TimeoutError: timed out")
    assert requeue(delivery_id=Delivery.objects.get().pk)
    [mine] = outbox.claim(limit=1)
    outbox.settle(results=[(mine, Reply(Outcome.UNKNOWN, "TimeoutError: timed out"))])
    assert Delivery.objects.get().lease_until < timezone.now() + timedelta(seconds=2 * outbox.SILENCE)


def test_the_command_takes_numbers_or_all(capsys) -> None:
    """One of both, and says how many; a dry run says how many it would be, and changes nothing."""
    first, second = fail(make_delivery(make_captcha())), fail(make_delivery(make_captcha(BOB)))
    over = fail(make_delivery(make_captcha()))
    CaptchaModel.objects.filter(pk=over.sign_up_id).update(redeemed_at=timezone.now())
    for nonsense in ([], [str(first.pk), "--failed"]):
        with pytest.raises(CommandError):
            call_command("requeue", *nonsense)
    call_command("requeue", "--failed", "--dry-run")
    said = capsys.readouterr().out
    assert "2 of 3 deliveries" in said
    assert "Nothing was changed" in said
    assert not Delivery.objects.exclude(state="failed").exists()
    call_command("requeue", str(first.pk))
    assert "1 of 1 delivery" in capsys.readouterr().out
    call_command("requeue", "--failed")
    pending = Delivery.objects.filter(state="pending")
    assert set(pending.values_list("pk", flat=True)) == {first.pk, second.pk}
    assert Delivery.objects.get(pk=over.pk).state == "failed"


def test_the_command_refuses_unknown_numbers_and_sends_nothing() -> None:
    """A mistyped number is an error for the script that gave it, and leaves the other mails as they were."""
    failed = fail(make_delivery(make_captcha()))
    for unknown in ("-1", str(failed.pk + 1), "99999999999999999999"):
        with pytest.raises(CommandError, match=f"Unknown deliveries: {unknown}"):
            call_command("requeue", str(failed.pk), unknown)
    assert Delivery.objects.get().state == "failed"
