"""The codes on `/metrics`."""

import math
from collections.abc import Iterator

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric

from core.observability.counters import Counter, Histogram

from . import guess_limits

STEPS = ("requested", "accepted", "proven", "registered")
DELAYS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0)  # seconds

codes = Counter("doorcode_codes", "Codes by how far they came", ["step"], known=[(step,) for step in STEPS])
wrong_guesses = Counter("doorcode_wrong_guesses", "Wrong codes typed")
proven_after = Histogram("doorcode_proof_seconds", "From the acceptance of a mail to its proof", DELAYS)


def digits() -> Iterator[Metric]:
    """How many digits a new code has, and how many the setting alone asks for."""
    family = GaugeMetricFamily("doorcode_code_digits", "Digits of new codes", labels=["of"])
    family.add_metric(["setting"], settings.CAPTCHA_LENGTH)
    needed = guess_limits.required()
    family.add_metric(["now"], math.inf if needed.link_only else needed.length)
    yield family
