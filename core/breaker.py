"""A breaker: after a failure leave the other side alone for a while, then let one try show whether it is back."""

import threading
import time
from enum import Enum


class Leave(Enum):
    """What a breaker says to who asks."""

    GO = "go"
    PROBE = "probe"  # you alone may try, and must report
    WAIT = "wait"


class Breaker:
    """One for each outside thing and process. Pauses double from `first` to `longest` seconds while it stays broken."""

    def __init__(self, *, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._lock = threading.Lock()
        self._pause = 0.0  # 0: closed
        self._probing = False
        self._until = 0.0
        self.failures = 0

    def is_open(self) -> bool:
        """Whether it is too early even for a probe."""
        return self._pause > 0 and time.monotonic() < self._until

    def ask(self) -> Leave:
        """Ask for leave to try. Who gets PROBE must call `ok`, `failed` or `unused`."""
        with self._lock:
            if not self._pause:
                return Leave.GO
            if time.monotonic() < self._until:
                return Leave.WAIT
            self._until, self._probing = time.monotonic() + self._pause, True
            return Leave.PROBE

    def ok(self) -> None:
        """The other side is well."""
        self._pause, self._probing = 0.0, False

    def failed(self) -> None:
        """The other side is broken: open, or stay open for longer."""
        with self._lock:
            self.failures += 1
            if not self._pause:
                self._pause = self._first
            elif self._probing:  # a parallel failure of the same moment lengthens nothing
                self._pause = min(self._longest, self._pause * 2)
            self._probing = False
            self._until = time.monotonic() + self._pause

    def unused(self) -> None:
        """There was nothing to probe with: the next who asks may."""
        self._until, self._probing = 0.0, False
