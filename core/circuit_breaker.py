"""A circuit breaker: after a failure, an outside service is not called for a while; then one call tests it."""

import threading
import time


class CircuitBreaker:
    """
    Closed while the service works; after a failure open for `first` seconds; then half-open: one caller may try, and
    another failure opens it for twice as long, up to `longest` seconds. One for each service, in each process.
    """

    def __init__(self, *, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._lock = threading.Lock()
        self._pause = 0.0  # seconds; 0 while closed
        self._retry_at = 0.0  # monotonic time
        self.is_half_open = False  # whether one caller is testing the service

    @property
    def is_open(self) -> bool:
        """Whether it is too early for a call. While one caller tests the service, it is too early for all others."""
        return self._pause > 0 and time.monotonic() < self._retry_at

    def allow(self) -> bool:
        """
        Whether the caller may try. It must call `succeeded`, `failed` or `cancelled` afterwards. While it tests a
        service, no other caller may try, for one more pause at most.
        """
        with self._lock:
            if self.is_open:
                return False
            if self._pause:
                self._retry_at, self.is_half_open = time.monotonic() + self._pause, True
            return True

    def succeeded(self) -> None:
        """Close: the service works."""
        self._pause, self.is_half_open = 0.0, False

    def failed(self) -> None:
        """Open, or stay open for longer: the service does not work."""
        with self._lock:
            if not self._pause:
                self._pause = self._first
            elif self.is_half_open:  # failures of calls that began before it opened do not lengthen the pause
                self._pause = min(self._longest, self._pause * 2)
            self.is_half_open = False
            self._retry_at = time.monotonic() + self._pause

    def cancelled(self) -> None:
        """The caller did not call the service. If it was to test it, the next caller may."""
        with self._lock:
            if self.is_half_open:
                self._retry_at, self.is_half_open = 0.0, False
