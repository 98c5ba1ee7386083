from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core import languages
from core.management import base
from worker import messages
from worker.models import Delivery


class Command(base.Command):
    help = gettext_lazy("Show a mail as it would be sent, in the language of --lang; its code and links open nothing")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=Delivery.Kind.values, metavar="KIND", help=", ".join(Delivery.Kind.values))
        part = _("What to show: text (the default), html, or raw, the whole message with its headers")
        parser.add_argument("--part", choices=["text", "html", "raw"], default="text", help=part)
        parser.add_argument("--output", type=Path, metavar="FILE", help=_("Write to this file instead of printing"))

    def handle(self, *args: Any, **options: Any) -> None:
        part = options["part"]
        language = options["lang"] or languages.active()
        message = messages.build(messages.sample(kind=options["kind"], language=language))
        html, _type = message.alternatives[0]
        data = {"kind": options["kind"], "language": languages.offered(language), "subject": message.subject}
        data |= {"text": message.body, "html": str(html)}
        shown = message.message().as_string() if part == "raw" else data[part]
        if options["output"]:
            try:
                options["output"].write_text(shown, encoding="utf-8")
            except OSError as error:
                raise CommandError(str(error)) from error
            shown = str(options["output"])
        elif part == "text":
            shown = f"Subject: {message.subject}\n\n{shown}"
        self.print_result(options, data, [shown])
