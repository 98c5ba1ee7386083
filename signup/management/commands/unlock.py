import sys
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core.management import base
from signup import support


class Command(base.Command):
    help = gettext_lazy("Forget wrong codes and wrong passwords of an address, so that its owner can try again")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", type=base.address, metavar="ADDRESS", help=_("The email address"))
        unmute = _("Send sign-up mail again, whatever it was stopped for: a bounce, a complaint, or its owner")
        parser.add_argument("--unmute", action="store_true", help=unmute)
        self.add_flags(parser, "--dry-run")

    def handle(self, *args: Any, **options: Any) -> None:
        address, dry_run = options["address"], options["dry_run"]
        done = support.unlock(address=address, unmute=options["unmute"], dry_run=dry_run)
        codes = ngettext("%(n)d wrong code is forgotten", "%(n)d wrong codes are forgotten", done.guesses)
        lines = [codes % {"n": done.guesses}]
        if not done.sign_ins:
            lines.append(_("Redis is down: wrong passwords are not forgotten"))
        elif not dry_run:  # which does not ask Redis
            lines.append(_("Wrong passwords are forgotten"))
        if done.muted:
            lines.append(_("Sign-up mail is sent again"))
        if dry_run:
            lines.append(_("Nothing was changed"))
        self.print_about(address, options, {"dry_run": dry_run, **vars(done)}, lines)
        if not done.sign_ins:
            sys.exit(1)
