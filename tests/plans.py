"""PostgreSQL's plans, as EXPLAIN (FORMAT JSON) gives them."""

from collections.abc import Iterable, Iterator
from typing import Any


def statements(queries: Iterable[dict[str, str]]) -> list[str]:
    """What was asked, of Django's record of queries; BEGIN, which comes in the same message, is no part of it."""
    return [query["sql"].removeprefix("BEGIN; ") for query in queries]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """This node and all below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
