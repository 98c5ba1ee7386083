"""The parts of the demo: web server, Celery worker with its sweeper, mail catcher. Ctrl-C stops all of them."""

import signal
import sys
import threading
from typing import Any

from aiosmtpd.controller import Controller
from celery.worker import WorkController
from celery.worker import state as celery_state
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.utils import translation
from django.utils.translation import gettext as _

from core.management import base
from core.wsgi import application
from worker import celery_app

from .inbox import Catcher

if not settings.DEMO:
    raise ImproperlyConfigured(
        "The demo only runs with DEBUG=true and DEMO=true. / 演示仅能在 DEBUG=true 且 DEMO=true 时运行。"
    )


class QuietHandler(WSGIRequestHandler):
    """No access log: links in its lines would hold tokens."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def run(*, port: int, mail_port: int) -> int:
    """Run until Ctrl-C or SIGTERM; return the exit status."""
    translation.activate(base.language())
    try:
        server = ThreadedWSGIServer(("127.0.0.1", port), QuietHandler, ipv6=False)
    except OSError:
        print(_("Port %(port)s is taken. Choose another: make demo PORT=8080") % {"port": port}, file=sys.stderr)
        return 1
    call_command("migrate", verbosity=0)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    catcher = Controller(Catcher(settings.DEMO_DATA / "inbox"), hostname="127.0.0.1", port=mail_port)
    catcher.start()
    worker = _start_worker()
    server.set_app(StaticFilesHandler(application))  # type: ignore[arg-type] # any WSGI application will do
    web = threading.Thread(target=server.serve_forever, name="web", daemon=True)
    web.start()
    _welcome(port)
    stop.wait()
    print(_("Stopping …"), flush=True)
    server.shutdown()
    server.server_close()
    _stop_worker(worker)
    catcher.stop()
    return 0


def _welcome(port: int) -> None:
    site = f"http://127.0.0.1:{port}"
    lines = [
        "",
        _("Doorcode is running."),
        "  " + _("Sign up:     %(url)s") % {"url": f"{site}/signup/"},
        "  " + _("Its inbox:   %(url)s") % {"url": f"{site}/demo/inbox/"},
        _("Type any email address; its mail arrives in the inbox. Ctrl-C stops everything."),
        "",
    ]
    print("\n".join(lines), flush=True)


def _start_worker() -> threading.Thread:
    celery_state.should_stop = None
    controller = WorkController(app=celery_app, pool_cls="threads", concurrency=4, loglevel="WARNING")
    thread = threading.Thread(target=controller.start, name="worker", daemon=True)
    thread.start()
    return thread


def _stop_worker(thread: threading.Thread) -> None:
    celery_state.should_stop = 0  # type: ignore[assignment]
    thread.join(timeout=10)
