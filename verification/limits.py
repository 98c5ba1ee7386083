"""How many wrong guesses: budgets that the database keeps, exact under parallel posts."""

from datetime import datetime, timedelta

from django.conf import settings

from .models import AddressBudget

WINDOW = timedelta(hours=24)  # rolling
GUESSES_KEPT = 100  # an address's newest; no rule looks further


def code_length() -> int:
    """Digits of a new code."""
    length: int = settings.CAPTCHA_LENGTH
    return length


def charge_guess(*, address: str, at: datetime) -> AddressBudget:
    """Count a guess against the address, and hold its row until the caller's transaction ends."""
    budget, _ = AddressBudget.objects.select_for_update().get_or_create(address=address)
    oldest = (at - WINDOW).timestamp()
    recent = [moment for moment in budget.guesses if moment > oldest]
    budget.guesses = [*recent, at.timestamp()][-GUESSES_KEPT:]
    budget.save(update_fields=["guesses"])
    return budget


def return_guess(*, address: str, at: datetime) -> None:
    """Take back the guess that was charged `at` this moment: it was right. Needs a transaction."""
    budget = AddressBudget.objects.select_for_update().filter(address=address).first()
    if budget and at.timestamp() in budget.guesses:
        budget.guesses.remove(at.timestamp())
        budget.save(update_fields=["guesses"])
