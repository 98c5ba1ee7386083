"""The result of a benchmark: rows of ratios, with their goals and the figures they were made of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .measure import Figure


@dataclass(frozen=True)
class Goal:
    """A bound of a ratio or a figure."""

    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} – {self.most:g}"
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table. Without a goal it is there to be known."""

    what: str
    value: Figure
    goal: Goal | None = None
    unit: str = "×"
    parts: dict[str, str] = field(default_factory=dict)  # what the ratio was made of

    @property
    def reached(self) -> bool | None:
        return self.goal.holds(self.value.middle) if self.goal else None

    @property
    def verdict(self) -> str:
        return {True: "reached", False: "not reached", None: ""}[self.reached]

    def as_json(self) -> dict[str, Any]:
        goal = asdict(self.goal) if self.goal else None
        return asdict(self) | {"goal": goal, "reached": self.reached}


def ratio(what: str, ours: Sequence[float], theirs: Sequence[float], goal: Goal | None = None, **parts: str) -> Row:
    """A row of ratios, each of two figures measured one after the other in the same round."""
    return Row(what, Figure.of(a / b for a, b in zip(ours, theirs, strict=True)), goal, parts=parts)


def plain(value: float) -> str:
    """A number with three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float], unit: str) -> str:
    figure = Figure.of(values)
    return f"{plain(figure.middle)} {unit} ({plain(figure.least)}–{plain(figure.most)})"
