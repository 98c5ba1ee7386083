"""gunicorn reads this file by itself: `gunicorn core.wsgi`. Its command line takes precedence."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))  # gunicorn refuses what is no number
if workers < 1:
    sys.exit("WEB_CONCURRENCY must be a number from 1 on / WEB_CONCURRENCY 须为大于 0 的整数")
threads = 8
timeout = 60
# The rest waits in the listen queue. With these, its files and its connections to services a process stays below 1,024
# file descriptors, the usual limit: a process of gunicorn that may open no more ends.
worker_connections = 900
# Seconds: longer than proxies keep an idle connection (Caddy 120, Traefik 90, AWS 60), or it is closed while they send.
keepalive = 130
logger_class = "core.observability.logs.GunicornLogger"
control_socket_disable = True
# No header of a request moves the site below a path: SCRIPT_NAME, which Caddy hands on, would lead around its rules.
forwarder_headers = ""
# This header alone says whether a request came by https. By default X-Forwarded-Protocol and X-Forwarded-Ssl do so too,
# and where they seem to disagree, as with a load balancer's `X-Forwarded-Protocol: https`, gunicorn answers 400.
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}

# The folder where the processes count HTTP requests together (core/observability/metrics.py). prometheus_client reads
# the variable when it is imported.
_OWN = "doorcode-metrics-"  # the name of our own begins so: after a reload the variable is set, too
try:
    _folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "").strip() or tempfile.mkdtemp(prefix=_OWN)
    os.makedirs(_folder, exist_ok=True)
    tempfile.TemporaryFile(dir=_folder).close()
except OSError as error:  # else no request would be counted
    sys.exit(f"PROMETHEUS_MULTIPROC_DIR can't be used / 无法使用 PROMETHEUS_MULTIPROC_DIR：{error}")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _folder


def on_exit(server: Any) -> None:
    """
    Delete the counts, which start at 0 with gunicorn, and our own folder. A folder that was named stays. So does all
    that another master counts, in the same folder, during an upgrade by USR2.
    """
    if (server.master_pid or server.reexec_pid) and server.cfg.env_orig.get("PROMETHEUS_MULTIPROC_DIR"):
        return
    if Path(_folder).name.startswith(_OWN):
        shutil.rmtree(_folder, ignore_errors=True)
    for counts in Path(_folder).glob("*.db"):
        counts.unlink(missing_ok=True)
