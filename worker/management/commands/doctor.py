from argparse import ArgumentParser
from dataclasses import replace
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.health import proxies, registry
from core.health.registry import State
from core.management import base
from worker import health, mailers
from worker.smtp import DEADLINE


class Command(base.Command):
    requires_system_checks = []  # a health check may explain an error that a system check would only report

    help = gettext_lazy("Check everything that a registration needs; exit with 1 if something fails")

    def add_arguments(self, parser: ArgumentParser) -> None:
        url = _("Where to ask the site which proxies it is behind; SITE_URL if none is given")
        parser.add_argument("--url", metavar="URL", help=url)
        send = _("Send one test mail to this address, straight to each mail server")
        parser.add_argument("--send-to", type=base.address, metavar="ADDRESS", help=send)

    def handle(self, *args: Any, **options: Any) -> None:
        checks, limit = registry.registered(), registry.TIME_LIMIT
        if options["url"]:
            checks["proxies"] = replace(checks["proxies"], check=partial(proxies.check, options["url"]))
        if options["send_to"]:
            checks["test_mail"] = registry.Check(partial(health.test_mail, options["send_to"]), _("test mail"))
            limit = len(mailers.every()) * DEADLINE + 2
        labels = {State.OK: _("ok"), State.WARNING: _("note"), State.FAILED: _("FAILED"), State.SKIPPED: _("skipped")}
        findings, problems = [], []
        for name, finding in registry.run(checks, limit=limit):
            findings.append({"name": name, "state": finding.state.value, "text": finding.text})
            if finding.state is State.FAILED:
                problems.append(str(checks[name].label))
            if not options["json"]:
                self.stdout.write(f"{labels[finding.state]}\t{checks[name].label}: {finding.text}")
                self.stdout.flush()
        if options["json"]:
            self.print_result(options, {"ok": not problems, "findings": findings}, [])
        if problems:
            raise CommandError(_("Problems: %(names)s") % {"names": _(", ").join(problems)})
