"""
`/metrics` for Prometheus, collected at each scrape: counters from the database (counters.py), gauges from the
collectors that apps register here. HTTP requests alone are counted on the machine that answered them, by
prometheus_client: they are also visible while the database is down.
"""

import errno
import hmac
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, exposition
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from core.health import registry

from . import counters

logger = logging.getLogger(__name__)

CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # a client may invent more
ROOM = 4_000_000  # bytes
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds

disable_created_metrics()  # type: ignore[no-untyped-call]
_http = CollectorRegistry()
_requests = Counter("doorcode_http_requests", "Requests answered", ["route", "method", "status"], registry=_http)
_seconds = Histogram(
    "doorcode_http_request_seconds", "Time to answer", ["route", "method"], registry=_http, buckets=BUCKETS
)

Collect = Callable[[], Iterable[Metric]]
_collectors: list[tuple[str | None, Collect]] = []


def register(collect: Collect, *, needs: str | None) -> None:
    """Have `collect` called at each scrape, but not while the quick health check `needs` fails, if one is named."""
    _collectors.append((needs, collect))


def count_request(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """
    Count a request by the name of its URL pattern: paths contain tokens, and clients may invent any number of them.
    Nothing is counted without ROOM on the disk. The processes count in files that are mapped into memory; if such a
    file can't grow, the kernel ends the process that writes to it (SIGBUS). A request whose file can't be opened is
    not counted either: the response stands.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")  # without it one process counts in its memory
    route = request.resolver_match.view_name if request.resolver_match else "none"
    method = request.method if request.method in METHODS else "other"
    try:
        if folder and (disk := os.statvfs(folder)).f_bavail * disk.f_frsize < ROOM:
            _warn(folder, os.strerror(errno.ENOSPC))
            return
        _requests.labels(route, method, response.status_code).inc()
        _seconds.labels(route, method).observe(seconds)
    except OSError as error:  # also: no inode or file descriptor is left, or somebody cleaned /tmp
        _warn(folder, error.strerror)


@cache
def _warn(folder: str | None, reason: str) -> None:
    """Warn once in a process, as the log may be what fills the disk."""
    logger.warning("requests are not counted in %s: %s", folder, reason)


def is_allowed(request: HttpRequest) -> bool:
    """
    Whether a request may read the metrics: it has METRICS_TOKEN, or none is set and DEBUG is on. Its address does not
    matter: behind a proxy every visitor looks local.
    """
    wanted = settings.METRICS_TOKEN
    if not wanted:
        return bool(settings.DEBUG)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        token.strip().encode("latin-1", "replace"), wanted.encode()
    )


def _collect_http() -> Iterable[Metric]:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # gunicorn's processes share files (gunicorn.conf.py)
        return MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call,no-any-return]
    return _http.collect()  # any other server is one process


class _Scrape:
    """All metrics of one scrape, for prometheus_client's `generate_latest`."""

    def collect(self) -> Iterator[Metric]:
        states = registry.readiness()
        up = GaugeMetricFamily("doorcode_dependency_up", "Whether its health check succeeds", labels=["dependency"])
        for name, state in states.items():
            up.add_metric([name], state == "ok")
        yield up
        broken = 0
        for needs, collect in _collectors:
            try:
                yield from collect() if needs is None or states.get(needs) == "ok" else ()
            except Exception:
                logger.exception("metrics of %s can't be read", collect.__module__)
                broken += 1
        yield GaugeMetricFamily("doorcode_scrape_errors", "Groups of metrics that could not be read", value=broken)


def render() -> bytes:
    """The metrics in Prometheus' text format."""
    return exposition.generate_latest(_Scrape())


register(_collect_http, needs=None)
register(counters.collect, needs="database")
