"""Django's caches, with counts that end by themselves: however many are asked for, Redis is asked once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import Redis

Run = Callable[..., Any]  # a command as it is: redis-py takes as long to compose one from arguments as to send it


class LocalCounters(LocMemCache):
    """Of this process alone: for the demo and the tests."""

    def count(self, seconds: Mapping[str, int]) -> Sequence[int]:
        """Add one to each count, by its name; return what it is then. One that begins ends after its seconds."""
        for name, life in seconds.items():
            self.add(name, 0, life)
        return [self.incr(name) for name in seconds]

    def mark(self, name: str, seconds: int) -> bool:
        """Set a mark that ends by itself; False where it is set already."""
        return self.add(name, 1, seconds)

    def unmark(self, name: str) -> None:
        """Take a mark away."""
        self.delete(name)

    def uncount(self, seconds: Mapping[str, int]) -> None:
        """Take one off each count that there is."""
        for name in seconds:
            if self.has_key(name):
                self.decr(name)


class RedisCounters(RedisCache):
    """Of all processes, by one round trip. Raises RedisError or OSError where Redis is away."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._redis = Redis.from_url(server, **params.get("OPTIONS", {}))

    def count(self, seconds: Mapping[str, int]) -> Sequence[int]:
        """As LocalCounters.count."""
        return self._change(seconds, 0, "INCR")

    def mark(self, name: str, seconds: int) -> bool:
        """As LocalCounters.mark."""
        run: Run = self._redis.execute_command
        return bool(run("SET", self.make_and_validate_key(name), 1, "EX", seconds, "NX"))

    def unmark(self, name: str) -> None:
        """As LocalCounters.unmark."""
        self._redis.delete(self.make_and_validate_key(name))

    def uncount(self, seconds: Mapping[str, int]) -> None:
        """As LocalCounters.uncount."""
        self._change(seconds, 1, "DECR")

    def _change(self, seconds: Mapping[str, int], begin: int, command: str) -> Sequence[int]:
        with self._redis.pipeline(transaction=False) as pipe:
            run: Run = pipe.execute_command
            for name, life in seconds.items():
                key = self.make_and_validate_key(name)
                run("SET", key, begin, "EX", life, "NX")  # first, so that no count is ever without an end
                run(command, key)
            counts: list[int] = pipe.execute()[1::2]
        return counts
