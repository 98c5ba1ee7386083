"""The planted defects fit the code that they hurt, and every attack has one. `make defects` runs them."""

import ast
import re

import pytest

from tests.attacks.defects import DEFECTS
from tests.attacks.defects.model import TESTS, Defect
from tests.attacks.defects.page import ATTACKS, PAGE, render
from tests.servers import ROOT

CATALOGUE = list(range(1, 80))


def names_in(name: str) -> list[str]:
    """The names of the tests of a file in tests/attacks/."""
    tree = ast.parse((ROOT / TESTS / name).read_text())
    return [each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.attack}: {defect.mistake}")
def test_a_defect_can_be_planted(defect: Defect) -> None:
    """Each place is in the code once, what comes of it is Python, and it is another than before."""
    for edit in defect.edits:
        planted = edit.apply()
        assert planted != (ROOT / edit.file).read_text()
        if edit.file.endswith(".py"):
            compile(planted, edit.file, "exec")


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.attack}: {defect.mistake}")
def test_what_catches_a_defect_exists(defect: Defect) -> None:
    """A test by that name, which has the number of the attack."""
    assert defect.caught_by
    for name in defect.caught_by:
        file, _, test = name.partition("::")
        assert test.partition("[")[0] in names_in(file)
        assert f"_{defect.attack:02}_" in test


def test_every_attack_has_a_test_and_a_defect() -> None:
    """None is missing."""
    names = [name for path in sorted((ROOT / TESTS).glob("test_*.py")) for name in names_in(path.name)]
    numbers = {int(number) for name in names for number in re.findall(r"\d\d", re.match(r"test_(?:\d\d_)*", name)[0])}
    assert sorted(numbers) == sorted({each.attack for each in DEFECTS}) == sorted(ATTACKS) == CATALOGUE


def test_the_page_is_what_the_tables_say() -> None:
    """`make defects` writes it."""
    assert PAGE.read_text() == render(DEFECTS)
