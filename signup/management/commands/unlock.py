from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core.management import base
from core.observability import redaction
from signup import support


class Command(base.Command):
    help = gettext_lazy("Forget wrong codes and wrong passwords of an address, so that its owner can try again")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", type=base.address, metavar="ADDRESS", help=_("The email address"))
        unmute = _('Send sign-up mail again, although its owner said "This wasn\'t me"')
        parser.add_argument("--unmute", action="store_true", help=unmute)
        self.add_flags(parser, "--dry-run", "--json")

    def handle(self, *args: Any, **options: Any) -> None:
        address = options["address"]
        lifted = support.unlock(address=address, unmute=options["unmute"], dry_run=options["dry_run"])
        in_logs = redaction.pseudonym_of_address(address)
        text = ngettext("%(n)d wrong code is forgotten", "%(n)d wrong codes are forgotten", lifted.guesses)
        forgotten, redis_down = (
            _("Wrong passwords are forgotten"),
            _("Redis is down: wrong passwords are not forgotten"),
        )
        lines = [text % {"n": lifted.guesses}, forgotten if lifted.sign_ins else redis_down]
        if lifted.muted:
            lines.append(_("Sign-up mail is sent again"))
        if options["dry_run"]:
            lines.append(_("Nothing was changed"))
        lines.append(_("In logs: %(hash)s") % {"hash": in_logs})
        data = {"address": address, "in_logs": in_logs, "dry_run": options["dry_run"], **vars(lifted)}
        self.print_result(options, data, lines)
