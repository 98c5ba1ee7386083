"""gunicorn reads this by itself: `gunicorn core.wsgi`. The command line overrides it."""

import os

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
timeout = 60
logger_class = "core.logs.GunicornLogger"
control_socket_disable = True
