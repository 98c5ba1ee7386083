from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.management import base
from signup import error_messages, support
from verification.states import HandleLost, ResendTooSoon
from worker import outbox


class Command(base.Command):
    help = gettext_lazy("Send the mail of a sign-up again, as its resend button does")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", type=base.address, metavar="ADDRESS", help=_("The email address of the sign-up"))
        self.add_flags(parser, "--dry-run")

    def handle(self, *args: Any, **options: Any) -> None:
        address, dry_run, number = options["address"], options["dry_run"], None
        result = _("A mail can be sent to %(email)s")
        try:
            sign_up = support.find(address=address)
            delivery = support.resend(sign_up=sign_up, dry_run=dry_run)
            seconds = outbox.seconds_until_try(delivery) if delivery else 0
            if delivery and not dry_run:
                number = delivery.pk
                result = _("A mail to %(email)s is on its way: delivery %(number)s")
            if seconds:  # the mail server or a mail limit keeps it, also after this
                result = error_messages.still_waiting(seconds)
        except HandleLost as error:
            text = _("No sign-up of %(email)s waits for a code. It has to be started again, or the account exists")
            raise CommandError(text % {"email": address}) from error
        except support.AddressSuppressed as error:
            text = _("%(email)s is suppressed and gets no sign-up mail. Lift that with manage.py unlock --unmute")
            raise CommandError(text % {"email": address}) from error
        except ResendTooSoon as error:
            text = _("A mail was requested just now. Try again in %(n)d s")
            raise CommandError(text % {"n": error.retry_after}) from error
        lines = [result % {"email": address, "number": number}]
        self.print_about(address, options, {"delivery": number, "dry_run": dry_run}, lines)
