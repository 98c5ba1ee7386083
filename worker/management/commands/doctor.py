"""`manage.py doctor`: is everything there that a registration needs?"""

from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from core import doctor, proxies
from core import examinations as ground
from core.doctor import Finding, Probe, State
from core.management import base
from worker import examinations as post
from worker.smtp import DEADLINE


class Command(base.Command):
    requires_system_checks = []  # what a check would refuse, a line here may explain

    def describe(self) -> str:
        return _("Examine everything that a registration needs; exit with 1 where something fails")

    def add_arguments(self, parser: ArgumentParser) -> None:
        url = _("Where to ask the site which proxies it is behind; SITE_URL if none is given")
        parser.add_argument("--url", metavar="URL", help=url)
        send = _("Send one test mail to this address, straight to the mail server")
        parser.add_argument("--send-to", type=base.address, metavar="ADDRESS", help=send)
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        probes = _probes(options["url"], options["send_to"])
        limit = DEADLINE + 2 if options["send_to"] else doctor.LIMIT
        late = _("no answer within %(seconds)d s") % {"seconds": limit}
        found = []
        for name, finding in doctor.examine(probes, late=late, limit=limit):
            found.append({"name": name, "state": finding.state.value, "text": finding.text})
            if not options["json"]:
                self.stdout.write(_line(name, finding))
                self.stdout.flush()
        broken = [each["name"] for each in found if each["state"] == State.FAILED.value]
        if options["json"]:
            self.print_result(options, {"ok": not broken, "findings": found}, [])
        if broken:
            raise CommandError(_("Not well: %(names)s") % {"names": ", ".join(_label(name) for name in broken)})


def _probes(url: str | None, send_to: str | None) -> dict[str, Probe]:
    probes: dict[str, Probe] = {
        "database": ground.database,
        "migrations": ground.migrations,
        "redis": ground.redis_server,
        "broker": post.broker,
        "workers": post.workers,
        "sweeper": post.sweeper,
        "waiting_mails": post.waiting_mails,
        "mails": post.mails,
        "mail_server": post.mail_server,
        "catalogues": ground.catalogues,
        "keys": ground.keys,
        "proxies": partial(proxies.examine, url or settings.SITE_URL, asked=bool(url)),
        "clock_of_database": ground.clock_of_database,
        "clock_of_redis": ground.clock_of_redis,
    }
    return probes | ({"test_mail": partial(post.send, send_to)} if send_to else {})


def _label(name: str) -> str:
    return {
        "database": _("database"),
        "migrations": _("migrations"),
        "redis": _("Redis"),
        "broker": _("broker"),
        "workers": _("workers"),
        "sweeper": _("sweeper"),
        "waiting_mails": _("waiting mails"),
        "mails": _("mails"),
        "mail_server": _("mail server"),
        "catalogues": _("catalogues"),
        "keys": _("keys"),
        "proxies": _("proxies"),
        "clock_of_database": _("clock of the database"),
        "clock_of_redis": _("clock of Redis"),
        "test_mail": _("test mail"),
    }[name]


def _line(name: str, finding: Finding) -> str:
    word = {
        State.OK: _("well"),
        State.WARNING: _("note"),
        State.FAILED: _("FAILED"),
        State.SKIPPED: _("skipped"),
    }[finding.state]
    return f"{word}\t{_label(name)}: {finding.text}"
