"""Queue tasks that do nothing: `python -m tests.bench.floor.fill NUMBER`."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.floor.settings")
django.setup()

from .tasks import nothing  # noqa: E402

if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        nothing.delay(number)
