"""Are two samples of times of one distribution?"""

import math
from collections.abc import Sequence


def p_value(left: Sequence[float], right: Sequence[float]) -> float:
    """
    The two-sided p of Mann and Whitney's rank test, by its normal approximation, ties given their mean rank.

    It asks whether one sample tends to be larger; good from about 20 values a side.
    """
    both = sorted([*left, *right])
    ranks = {value: both.index(value) + (both.count(value) + 1) / 2 for value in left}
    m, n = len(left), len(right)
    u = sum(ranks[value] for value in left) - m * (m + 1) / 2
    deviation = math.sqrt(m * n * (m + n + 1) / 12)
    return math.erfc(abs(u - m * n / 2) / deviation / math.sqrt(2))
