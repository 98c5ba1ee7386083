import signal
import threading
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core.management import base
from core.observability.logs import errors_logged
from worker import mail_limits, sweeper


class Command(base.Command):
    help = gettext_lazy("Notify the workers of mails that wait, and send them if no worker listens")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help=_("Sweep once and stop"))

    def handle(self, *args: Any, **options: Any) -> None:
        """Ctrl-C and SIGTERM end it after the mails in hand, of which one might be repeated; a second one at once."""
        self._stop = threading.Event()

        def stop(number: int, frame: Any) -> None:
            signal.signal(number, signal.default_int_handler)
            self._stop.set()

        try:
            if options["once"]:
                self._sweep(options)
                return
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, stop)
            with suppress(KeyboardInterrupt):
                while not self._stop.is_set():
                    with errors_logged(sweeper.logger, "the sweep failed"):
                        self._sweep(options)
                    self._stop.wait(sweeper.INTERVAL)
        finally:
            sweeper.stop_beating()

    def _sweep(self, options: dict[str, Any]) -> None:
        found = mail_limits.claimable().count()
        while sweeper.sweep() and not self._stop.is_set():
            sweeper.beat()
        sweeper.beat()
        if found or options["once"]:
            text = ngettext("%(n)d delivery was waiting", "%(n)d deliveries were waiting", found)
            self.print_result(options, {"waiting": found}, [text % {"n": found}])
            self.stdout.flush()
