"""The state of a request, by its row and by a query."""

from datetime import timedelta
from itertools import product

import pytest

from tests.factories import FrozenClock, make_captcha
from verification.models import CaptchaModel
from verification.states import State, matching, resend_wait, state_of

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def test_a_query_by_state_finds_the_rows_that_are_in_it(frozen_clock: FrozenClock) -> None:
    """For every combination of the columns that a state depends on, to the second at the ends."""
    now = frozen_clock.now()
    columns = {
        "created_at": [now - DAY, now - DAY + timedelta(seconds=1), now],
        "redeemed_at": [None, now],
        "mailed_at": [None, now - 30 * MINUTE, now - MINUTE],
        "expires_at": [None, now, now + MINUTE],
        "attempts": [0, 4, 5, 6],
    }
    like = make_captcha(accepted=False)
    CaptchaModel.objects.bulk_create(
        CaptchaModel(
            **dict(zip(columns, values, strict=True)),
            handle=str(number),
            requested_at=now,
            length=4,
            key_id=like.key_id,
        )
        for number, values in enumerate(product(*columns.values()))
    )
    rows = list(CaptchaModel.objects.all())
    for state in State:
        found = set(CaptchaModel.objects.filter(matching(state)))
        assert found, state
        assert found == {row for row in rows if state_of(row) is state}
    assert set(CaptchaModel.objects.live()) == {row for row in rows if state_of(row) is not State.LOST}


def test_a_code_that_has_expired_is_replaced_without_a_wait(frozen_clock: FrozenClock) -> None:
    """Also right after a resend: its mail came too late for the old code."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=599)
    sign_up.requested_at = frozen_clock.now()
    assert resend_wait(sign_up) == 60
    frozen_clock.move(seconds=1)
    assert resend_wait(sign_up) == 0
