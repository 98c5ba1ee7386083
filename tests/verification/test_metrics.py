"""The funnel, as `/metrics` counts it."""

import pytest

from core.observability import counters
from tests.factories import make_captcha, right, wrong
from verification import services
from verification.states import CodeMismatch

pytestmark = pytest.mark.django_db(transaction=True)


def counted() -> dict[str, float]:
    return {labels: number for (name, labels), number in counters._gathered.items() if name == "doorcode_codes"}


def test_each_step_is_counted_once(frozen_clock) -> None:
    """However often it is repeated."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=25)
    services.accept(mails=[(sign_up.pk, sign_up.generation)], at=frozen_clock.now())  # a resend's
    for _ in range(2):
        services.prove(sign_up=sign_up, address=sign_up.address, code=right(sign_up))
    for _ in range(2):
        services.redeem(sign_up=sign_up)
    assert counted() == {"requested": 1, "accepted": 1, "proven": 1, "registered": 1}
    assert counters._gathered["doorcode_proof_seconds", "30.0"] == 1
    assert counters._gathered["doorcode_proof_seconds", "sum"] == 25


def test_wrong_guesses_are_counted() -> None:
    """And prove nothing."""
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        services.prove(sign_up=sign_up, address=sign_up.address, code=wrong(sign_up))
    assert counters._gathered["doorcode_wrong_guesses", ""] == 1
    assert "proven" not in counted()
