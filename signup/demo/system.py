"""The parts of the demo: web server, Celery worker with its sweeper, SMTP server. Ctrl-C stops all of them."""

import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from celery.contrib.testing.worker import start_worker
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

if not settings.DEMO:  # its inbox shows every mail to every visitor
    raise ImproperlyConfigured(
        "The demo only runs with DEBUG=true and DEMO=true. / 演示仅能在 DEBUG=true 且 DEMO=true 时运行。"
    )


class Server(ThreadedWSGIServer):
    request_queue_size = 128  # connections that wait; of Django's 10 the kernel resets some when 50 come at once


def run(*, port: int, mail_port: int) -> int:
    """Run until a signal raises SystemExit; return the exit status."""
    base.replace_unprintable()
    translation.activate(base.language())
    try:
        server = Server(("127.0.0.1", port), WSGIRequestHandler, ipv6=False)
    except OSError as error:
        text = _("Port %(port)s can't be used: %(error)s. Choose another: make demo PORT=8080")
        print(text % {"port": port, "error": error.strerror}, file=sys.stderr)
        return 1
    server.set_app(StaticFilesHandler(application))  # type: ignore[arg-type] # any WSGI application will do
    call_command("migrate", verbosity=0)
    mail_server = Controller(Mailbox(settings.DEMO_DATA / "inbox"), hostname="127.0.0.1", port=mail_port)
    mail_server.start()
    try:
        with start_worker(celery_app, pool="threads", concurrency=4, loglevel="WARNING", perform_ping_check=False):
            site = f"http://127.0.0.1:{port}"
            print("\n" + _("Doorcode is running."))
            print("  " + _("Sign up:     %(url)s") % {"url": f"{site}/signup/"})
            print("  " + _("Its inbox:   %(url)s") % {"url": f"{site}/demo/inbox/"})
            print(
                _("Type any email address; its mail arrives in the inbox. Ctrl-C stops everything.") + "\n", flush=True
            )
            server.serve_forever()
    except SystemExit:
        print(_("Stopping …"), flush=True)
    server.server_close()
    mail_server.stop()
    return 0
