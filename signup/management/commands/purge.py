"""`manage.py purge`: delete what nobody needs any more."""

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from core import operators
from signup.purge import purge


class Command(operators.Command):
    def describe(self) -> str:
        return _("Delete accounts that were never activated, old codes and settled mails")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help=_("Only count"))

    def handle(self, *args: Any, **options: Any) -> None:
        names = {
            "deliveries": _("settled mails"),
            "codes": _("old codes"),
            "users": _("accounts never activated"),
            "tokens": _("expired API tokens"),
            "guess budgets": _("guess budgets"),
            "guess tallies": _("guess tallies"),
            "mail tallies": _("mail tallies"),
            "mutes": _("mutes that are over"),
        }
        for kind, rows in purge(dry_run=options["dry_run"]):
            self.stdout.write(f"{names[kind]}: {rows}")
