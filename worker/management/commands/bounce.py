import os
import sys
from typing import Any

from django.core.management.base import CommandError
from django.db import Error
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.management import base
from worker import bounces, mail_reports


class Command(base.Command):
    requires_system_checks = []  # whatever they find, a mail that is not recorded is returned, or lost

    help = gettext_lazy("Read a returned mail or a complaint from the standard input, and record it; for a mail server")

    def handle(self, *args: Any, **options: Any) -> None:
        reports = mail_reports.read(self._input())
        try:
            effects = [bounces.record(report) for report in reports]
        except Error as error:  # without its text, which the mail server would log: it may name addresses
            text = _("The database can't be used (%(error)s); try again later") % {"error": type(error).__name__}
            raise CommandError(text, returncode=os.EX_TEMPFAIL) from error
        found = list(zip(reports, effects, strict=True))
        lines = [f"{report.state.label}: {effect.label}" for report, effect in found]
        data = [{"state": report.state.value, "outcome": effect.value} for report, effect in found]
        self.print_result(options, {"reports": data}, lines or [_("No report of a returned mail, nor a complaint")])

    def _input(self) -> bytes:
        """The mail, as far as it is read. All of it is taken, so that the mail server sees no broken pipe."""
        message = sys.stdin.buffer.read(mail_reports.LARGEST + 1)
        while sys.stdin.buffer.read(mail_reports.LARGEST):
            pass
        return message
