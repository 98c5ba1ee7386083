"""Commands speak the operator's language."""

import pytest

from core import operators


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh-hans"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-hant"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE@euro"}, "en"),
        ({"LC_ALL": "zh_CN", "LANG": "en_US"}, "zh-hans"),
        ({}, "en"),
    ],
)
def test_the_locale_decides(monkeypatch, environment: dict[str, str], language: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG; English where the catalogue lacks the language."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert operators.language() == language
