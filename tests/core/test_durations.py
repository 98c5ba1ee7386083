"""Lengths of time in the environment."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from core.durations import seconds


@pytest.mark.parametrize(
    ("text", "length"), [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), (" 30 d ", 2_592_000)]
)
def test_units_are_read(text: str, length: int) -> None:
    """Seconds where there is none."""
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "d", "1w", "-1h", "1.5h", "24 hours"])
def test_anything_else_refuses_to_start(text: str) -> None:
    """With a word on how to write it."""
    with pytest.raises(ImproperlyConfigured, match="24h"):
        seconds(text)
