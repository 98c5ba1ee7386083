"""What `/metrics` shows of codes."""

from collections.abc import Iterator

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric

from core import clock

from . import counts, guess_limits

__all__ = ["counts", "digits"]


def digits() -> Iterator[Metric]:
    """How long the site's wrong guesses make every new code."""
    digits = GaugeMetricFamily("doorcode_code_digits", "Digits of new codes", labels=["of"])
    digits.add_metric(["setting"], settings.CAPTCHA_LENGTH)
    digits.add_metric(["now"], guess_limits.site_length(at=clock.now()))
    yield digits
