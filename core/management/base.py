"""The base class of the management commands: output in the operator's language, or as JSON for a program."""

import errno
import json
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, InternalError, NotSupportedError, OperationalError, ProgrammingError
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core import email_addresses, languages
from core.observability import redaction

# The database is down, not migrated, read-only, or too old.
UNUSABLE = (OperationalError, ProgrammingError, InterfaceError, InternalError, NotSupportedError)
MOST_HOURS = 876_600  # a hundred years

FLAGS = {
    "--json": gettext_lazy("Print JSON, for programs"),
    "--dry-run": gettext_lazy("Change nothing, only say what would be done"),
    "--yes": gettext_lazy("Don't ask before changing much"),
}


def language() -> str:
    """The operator's language by the locale of the shell (LC_ALL, LC_MESSAGES, LANG), else by LANGUAGE_CODE."""
    name = next((os.environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(key)), "")
    name = name.partition(".")[0].partition("@")[0]
    code = settings.LANGUAGE_CODE if name in ("", "C", "POSIX") else languages.code_of(name)
    return languages.for_operators(code)


def replace_unprintable() -> None:
    """Print `?` for what stdout's encoding lacks: LANG=en_US is Latin-1. Python's stderr does so itself."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def known_language(name: str) -> str:
    """Return the code of a language for a name like "zh_CN" or "zh-Hans". Raises ArgumentTypeError."""
    known = {*dict(settings.LANGUAGES), *settings.OPERATOR_LANGUAGES}
    code = languages.nearest(name, known)
    if code is None:
        raise ArgumentTypeError(_("choose one of %(codes)s") % {"codes": ", ".join(sorted(known))})
    return code


def hours(text: str) -> int:
    """Return a number of hours from 1 to MOST_HOURS. Raises ArgumentTypeError for any other."""
    number = int(text)
    if not 1 <= number <= MOST_HOURS:
        raise ArgumentTypeError(_("give a number from 1 to %(most)d") % {"most": MOST_HOURS})
    return number


def address(text: str) -> str:
    """Return the canonical form of a typed email address. Raises ArgumentTypeError."""
    try:
        return email_addresses.canonical(text)
    except ValidationError as error:
        raise ArgumentTypeError("; ".join(error.messages)) from error


class Command(BaseCommand):
    """Help and output follow the operator's locale, or `--lang`; with `--json` the output is for programs."""

    help: Any = ""  # of subclasses: lazily translated, as the locale is not known when they are defined

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:  # closed, as by `<&-` or `>&-`, and as some daemons start their jobs
                setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - until the process ends
        super().__init__(*args, **kwargs)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        with translation.override(language()):
            self.help = str(self.help)
            parser = super().create_parser(prog_name, subcommand, **kwargs)
            text = _("Language of the output, such as zh-hans; by default that of LC_ALL, LC_MESSAGES or LANG")
            parser.add_argument("--lang", type=known_language, metavar="CODE", help=text)
            self.add_flags(parser, "--json")
            return parser

    def run_from_argv(self, argv: list[str]) -> None:
        replace_unprintable()
        with translation.override(language()):  # for errors in the arguments, among them --lang itself
            try:
                super().run_from_argv(argv)
                sys.stdout.flush()
            except KeyboardInterrupt:
                sys.exit(128 + signal.SIGINT)  # the code of shells; a traceback would look like a fault
            except OSError as error:  # `| head` has what it wants, or the output's disk is full
                if error.errno not in (errno.EPIPE, errno.ENOSPC):
                    raise
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would complain as it ends
                sys.exit(128 + signal.SIGPIPE if error.errno == errno.EPIPE else str(error))

    def execute(self, *args: Any, **options: Any) -> str | None:
        with translation.override(languages.for_operators(options.get("lang") or language())):
            try:
                return super().execute(*args, **options)
            except UNUSABLE as error:
                text = _("The database can't be used: %(error)s. See manage.py doctor")
                said = redaction.scrub(" ".join(str(error).split()))
                raise CommandError(text % {"error": said}) from error

    def add_flags(self, parser: ArgumentParser, *names: str) -> None:
        """Add options that several commands share."""
        for name in names:
            parser.add_argument(name, action="store_true", help=str(FLAGS[name]))

    def print_result(self, options: dict[str, Any], data: Any, lines: Iterable[str]) -> None:
        """Print `data` as JSON if `--json` was given, else `lines`."""
        if options["json"]:
            self.stdout.write(json.dumps(data, default=str))
        else:
            self.stdout.write("\n".join(lines))

    def print_about(self, address: str, options: dict[str, Any], data: dict[str, Any], lines: list[str]) -> None:
        """Print a result about an email address, with the pseudonym that stands for it in logs."""
        in_logs = redaction.pseudonym_of_address(address)
        data = {"address": address, "in_logs": in_logs, **data}
        self.print_result(options, data, [*lines, _("In logs: %(hash)s") % {"hash": in_logs}])

    def asks(self, options: dict[str, Any]) -> bool:
        """Whether `confirm` asks: an operator at a terminal, and no script."""
        return not options["yes"] and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, options: dict[str, Any], question: str) -> None:
        """Ask before changing much. Raises CommandError unless the answer is yes."""
        if not self.asks(options):
            return
        self.stderr.write(f"{question} [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "是"):
            raise CommandError(_("Nothing was changed"))

    def progress(self, items: Iterable[Any], *, total: int) -> Iterator[Any]:
        """Yield from `items`, and show their number on the terminal, if there is one."""
        shown = sys.stderr.isatty()
        for number, item in enumerate(items, 1):
            yield item
            if shown and (number % max(1, total // 100) == 0 or number == total):
                self.stderr.write(f"\r{number:,} / {total:,}", ending="\n" if number == total else "")
                self.stderr.flush()
