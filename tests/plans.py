"""PostgreSQL's plans, as EXPLAIN (FORMAT JSON) gives them."""

from collections.abc import Iterator
from typing import Any


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """This node and all below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
