"""Lengths of time, as operators write them."""

import re

from django.core.exceptions import ImproperlyConfigured

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+) ?([smhd]?)")


def seconds(text: str) -> int:
    """Return the seconds of "90", "90s", "15m", "24h" or "7d". Raises ImproperlyConfigured for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ImproperlyConfigured(
            f"{text!r} is no length of time: write it like 90s, 15m, 24h or 7d / 时长格式如 90s、15m、24h、7d"
        )
    return int(match[1]) * _UNITS[match[2]]
