"""Why a mail stands where it stands."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from tests.factories import FrozenClock, make_delivery
from worker.models import Delivery

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, None),
        ({"next_attempt_at": Now() + timedelta(hours=1)}, "limit"),
        ({"state": "sent", "last_reply": "250 2.0.0 OK"}, "accepted"),
        ({"last_reply": "451 4.7.1 greylisted"}, "deferred"),
        ({"state": "failed", "last_reply": "550 5.1.1 no such user"}, "refused"),
        ({"state": "sent", "last_reply": "muted"}, "muted"),
        ({"state": "expired", "last_reply": "suppressed"}, "suppressed"),
        ({"state": "bounced", "last_reply": "550 5.1.1 no such user"}, None),
        ({"state": "complained", "last_reply": "abuse"}, None),
        ({"state": "expired", "last_reply": "superseded"}, "superseded"),
        ({"state": "expired", "last_reply": "the account is gone"}, "over"),
        ({"state": "expired", "last_reply": "the code can't be derived any more"}, "over"),
        ({"last_reply": "ConnectionRefusedError: refused"}, "no_answer"),
        ({"last_reply": "hung up on each connection"}, "no_answer"),
    ],
)
def test_the_word_of_a_row_and_the_rows_of_a_word_agree(columns: dict, reason: str | None) -> None:
    """A row is found under its own reason, and under no other."""
    delivery = make_delivery()
    Delivery.objects.update(**columns)
    delivery.refresh_from_db()
    assert delivery.reason == reason
    found = [each for each in Delivery.Reason if Delivery.objects.filter(Delivery.with_reason(each)).exists()]
    assert found == ([reason] if reason else [])


def test_a_mail_that_waits_for_longer_than_usual_is_delayed(frozen_clock: FrozenClock) -> None:
    """Tried or not: its visitor reads that we keep trying, and not that it is about to leave."""
    delivery = make_delivery()
    assert delivery.visible_state == "queued"
    frozen_clock.move(seconds=11)
    assert delivery.visible_state == "delayed"
