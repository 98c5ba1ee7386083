"""gunicorn reads this file by itself: `gunicorn core.wsgi`. Its command line takes precedence."""

import os
import shutil
import tempfile
from typing import Any

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
timeout = 60
logger_class = "core.observability.logs.GunicornLogger"
control_socket_disable = True

# The folder where the processes count HTTP requests together (core/observability/metrics.py). prometheus_client reads
# the variable when it is imported.
_folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or tempfile.mkdtemp(prefix="doorcode-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _folder


def on_exit(server: Any) -> None:
    """Delete the counts: they start at 0 with gunicorn."""
    shutil.rmtree(_folder, ignore_errors=True)
