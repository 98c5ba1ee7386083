"""A total deadline for socket work: thread pools have none, and a server that trickles never trips a time-out."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TICK = 0.25  # seconds

GetSocket = Callable[[], socket.socket | None]


class _Watchdog:
    """One thread a process; it shuts the sockets whose time is over, and their owners see an error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guards: dict[object, tuple[float, GetSocket]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def guard(self, get_socket: GetSocket, *, seconds: float) -> Iterator[None]:
        key = object()
        with self._lock:
            self._guards[key] = (time.monotonic() + seconds, get_socket)
            if self._thread is None or not self._thread.is_alive():  # a forked child has none yet
                self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._guards.pop(key, None)

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            with self._lock:
                # Every tick anew: the owner may have opened another socket since, or none yet when its time was over.
                late = [get_socket for deadline, get_socket in self._guards.values() if deadline <= now]
            for get_socket in late:
                _shut(get_socket())


def _shut(late: socket.socket | None) -> None:
    try:
        if late:
            late.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # gone by itself


guard = _Watchdog().guard
