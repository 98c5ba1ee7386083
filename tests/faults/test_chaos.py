"""A short run of the chaos; `make chaos SECONDS=600` is the long one."""

from pathlib import Path

import pytest

from tests.faults.chaos import Chaos

pytestmark = [pytest.mark.redis, pytest.mark.postgres]


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Every mail ends, each that was asked for was seen, repeats have their reasons, and no visitor saw an error."""
    result = Chaos(seed=20, seconds=25, folder=tmp_path).run()
    print(result.table())
    assert result.asked > 20
    assert set(result.answers) == {303}
    assert result.lost == 0
    assert result.faults["worker gave up"] == 0
    assert result.repeated <= result.allowed
