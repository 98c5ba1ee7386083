from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from core.management import base
from core.observability import redaction
from signup import support
from verification.states import HandleLost, ResendTooSoon


class Command(base.Command):
    def describe(self) -> str:
        return _("Send the mail of a sign-up again, as its resend button does")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", type=base.address, metavar="ADDRESS", help=_("The email address of the sign-up"))
        self.add_dry_run(parser)
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        address = options["address"]
        try:
            sign_up = support.find(address=address)
            delivery = None if options["dry_run"] else support.resend(sign_up=sign_up)
        except HandleLost as error:
            text = _("No sign-up of %(email)s waits for a code. It has to be started again, or the account exists")
            raise CommandError(text % {"email": address}) from error
        except ResendTooSoon as error:
            text = _("A mail was asked for a moment ago. Try again in %(n)d s")
            raise CommandError(text % {"n": error.retry_after}) from error
        number, in_logs = delivery and delivery.pk, redaction.pseudonym_of_address(address)
        text = _("A mail can be sent to %(email)s")
        if delivery:
            text = _("A mail to %(email)s is on its way: delivery %(number)s")
        lines = [text % {"email": address, "number": number}, _("In logs: %(hash)s") % {"hash": in_logs}]
        data = {"address": address, "in_logs": in_logs, "delivery": number, "dry_run": options["dry_run"]}
        self.print_result(options, data, lines)
