"""The benchmarks, by the name that `make bench ONLY=name` takes."""

from collections.abc import Callable

from tests.bench.bench import Bench
from tests.bench.result import Row

from . import crowd, growth, journey, mails, signup, trips, waits

CASES: dict[str, Callable[[Bench], list[Row]]] = {
    "signup": signup.signup,
    "trips": trips.trips,
    "journey": journey.journey,
    "registered": signup.registered,
    "mails": mails.mails,
    "waits": waits.waits,
    "hung": waits.hung,
    "backlog": waits.backlog,
    "growth": growth.growth,
    "crowd": crowd.crowd,
}
