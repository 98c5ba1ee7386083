from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.management import base
from signup import statistics


class Command(base.Command):
    help = gettext_lazy("Count the sign-ups and mails of the last hours by their result")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--hours", type=base.hours, default=24, metavar="N", help=_("How many hours; 24 if not given")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = statistics.summary(hours=options["hours"])
        waits, waiting = found["seconds_to_acceptance"], found["waiting"]
        rows = [
            *zip(statistics.FUNNEL_LABELS.values(), found["sign_ups"].values(), strict=True),
            (_("mails by state"), _listed(found["mails"])),
            (_("seconds to acceptance, p50 / p95"), f"{waits.get('p50', '-')} / {waits.get('p95', '-')}"),
            (_("mails due now"), waiting["due"]),
            (_("oldest due mail, seconds"), waiting["oldest_seconds"]),
            (_("languages of new accounts"), _listed(found["languages"])),
        ]
        self.print_result(options, found, [f"{label}: {value}" for label, value in rows])


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or '-'} {number}" for name, number in counts.items()) or "-"
