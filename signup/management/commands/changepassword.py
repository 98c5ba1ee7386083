"""Django's command of this name, by the rules of the admin."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.management import base
from signup.admin.accounts import AccountPasswordForm
from signup.models import User


class Command(base.Command):
    help = gettext_lazy("Set a new password for an account; its owner gets a mail about it")

    def add_arguments(self, parser: ArgumentParser) -> None:
        name = _("The email address or username of the account")
        parser.add_argument("username", metavar="NAME", help=name)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["username"])
        except (User.DoesNotExist, ValidationError, UnicodeError) as error:
            raise CommandError(_("No account has this email address or username")) from error
        try:
            first, second = (getpass.getpass(f"{label}: ") for label in (_("New password"), _("The same again")))
        except (EOFError, UnicodeError) as error:  # the input ended, or is no text in this locale's encoding
            raise CommandError(_("Nothing was changed")) from error
        form = AccountPasswordForm(user, {"usable_password": "true", "password1": first, "password2": second})
        if not form.is_valid():
            raise CommandError("\n".join(str(text) for texts in form.errors.values() for text in texts))
        form.save()
        text = _("The password of %(email)s is changed. Its owner gets a mail about it")
        self.print_about(user.email, options, {}, [text % {"email": user.email}])
