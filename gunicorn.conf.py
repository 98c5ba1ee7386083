"""gunicorn reads this by itself: `gunicorn core.wsgi`. The command line overrides it."""

import os
import shutil
import tempfile
from typing import Any

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
timeout = 60
logger_class = "core.observability.logs.GunicornLogger"
control_socket_disable = True

# Where the processes count HTTP requests together (core/observability/metrics.py). It must be set before
# prometheus_client is imported.
_counts = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or tempfile.mkdtemp(prefix="doorcode-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _counts


def on_exit(server: Any) -> None:
    """Counts of this machine begin anew with it."""
    shutil.rmtree(_counts, ignore_errors=True)
