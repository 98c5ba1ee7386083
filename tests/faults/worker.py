"""
A Celery worker for fault tests: `python -m tests.faults.worker worker …`.

TEST_CRASH names the point at which the process dies, once; TEST_PATCH is JSON of module -> name -> value, to make
leases and pauses as short as a test.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

POINTS = {
    "after claim": ("worker.outbox", "claim", "after"),
    "after MAIL": ("smtplib", "SMTP.mail", "after"),
    "after the dot": ("worker.smtp", "_after_dot", "before"),
    "after the 250": ("worker.smtp", "_after_dot", "after"),
    "before settling": ("worker.outbox", "settle", "before"),
}


def plant_crash(point: str, flag: Path) -> None:
    """Die at this point, unless the flag says that somebody did already."""
    module, name, when = POINTS[point]
    owner: Any = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real: Callable[..., Any] = getattr(owner, name)

    def crash() -> None:
        if not flag.exists():
            flag.touch()
            os._exit(9)

    def crashing(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            crash()
        result = real(*args, **kwargs)
        if result:
            crash()
        return result

    setattr(owner, name, crashing)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
    django.setup()
    for module, values in json.loads(os.environ.get("TEST_PATCH", "{}")).items():
        for name, value in values.items():
            setattr(importlib.import_module(module), name, value)
    if point := os.environ.get("TEST_CRASH"):
        plant_crash(point, Path(os.environ["TEST_FLAG"]))
    from worker import celery_app

    celery_app.start(sys.argv[1:])


if __name__ == "__main__":
    main()
