from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core.management import base
from signup.retention import purge


class Command(base.Command):
    help = gettext_lazy("Delete accounts that were never activated, old codes and settled mails")

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_flags(parser, "--dry-run", "--yes")

    def handle(self, *args: Any, **options: Any) -> None:
        asks = not options["dry_run"] and self.asks(options)  # a count of millions may exceed the statement_timeout
        if asks and (number := sum(rows for _kind, rows in purge(dry_run=True))):
            self.confirm(options, ngettext("Delete %(n)d row?", "Delete %(n)d rows?", number) % {"n": number})
        labels = {
            "deliveries": _("settled mails"),
            "codes": _("old codes"),
            "users": _("accounts never activated"),
            "tokens": _("expired API tokens"),
            "sessions": _("expired sessions"),
            "address guesses": _("wrong guesses by address"),
            "site guesses": _("wrong guesses by hour"),
            "site mails": _("mails by minute"),
            "suppressions": _("suppressions that are over"),
        }
        rows = dict(purge(dry_run=options["dry_run"]))
        lines = [f"{labels[kind]}: {number}" for kind, number in rows.items()]
        self.print_result(options, {"dry_run": options["dry_run"], "rows": rows}, lines)
