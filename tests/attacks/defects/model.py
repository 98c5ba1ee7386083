"""The parts of a planted defect."""

from dataclasses import dataclass
from pathlib import Path

from tests.servers import ROOT

TESTS = Path("tests/attacks")


@dataclass(frozen=True)
class Edit:
    """A change of one file of the project: `old` occurs in it exactly once."""

    file: str
    old: str
    new: str

    def apply(self, root: Path = ROOT) -> str:
        """Return the file below `root` with the defect in it. Raises ValueError where `old` isn't there once."""
        text = (root / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has this {text.count(self.old)} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Defect:
    """
    A mistake that somebody could make, and the tests that must turn red with it.

    One edit, but where two layers hold the same attack: then each layer alone would still catch it. `caught_by` are
    pytest's names below tests/attacks/; without its parameters in brackets a name means that one of them turns red.
    """

    attack: int
    mistake: str
    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]


def defect(attack: int, mistake: str, *parts: Edit | str) -> Defect:
    """Return a defect; of the parts, the texts are the tests."""
    edits = tuple(part for part in parts if isinstance(part, Edit))
    return Defect(attack, mistake, edits, tuple(part for part in parts if isinstance(part, str)))
