from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core.management import base
from worker.models import Delivery
from worker.outbox import requeue


class Command(base.Command):
    help = gettext_lazy("Send mails again that failed for good; a code that expired meanwhile is replaced")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("delivery", nargs="*", type=int, help=_("Numbers of deliveries"))
        parser.add_argument("--failed", action="store_true", help=_("All failed mails"))
        self.add_flags(parser, "--dry-run", "--yes")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["delivery"]) == options["failed"]:
            raise CommandError(_("Give numbers of deliveries, or --failed"))
        numbers = [each for each in options["delivery"] if abs(each) < 2**63]  # SQLite takes no larger ones
        chosen = {"state": Delivery.State.FAILED} if options["failed"] else {"pk__in": numbers}
        ids = list(Delivery.objects.filter(**chosen).order_by("pk").values_list("pk", flat=True))
        if unknown := sorted(set(options["delivery"]).difference(ids)):
            text = _("Unknown deliveries: %(numbers)s")
            raise CommandError(text % {"numbers": ", ".join(map(str, unknown))})
        if options["failed"] and ids and not options["dry_run"]:
            question = ngettext("Send %(n)d mail again?", "Send %(n)d mails again?", len(ids))
            self.confirm(options, question % {"n": len(ids)})
        done = sum(self._requeue(each, options) for each in self.progress(ids, total=len(ids)))
        text = ngettext(
            "%(n)d of %(all)d delivery is sent again", "%(n)d of %(all)d deliveries are sent again", len(ids)
        )
        data = {"found": len(ids), "sent_again": done, "dry_run": options["dry_run"]}
        lines = [text % {"n": done, "all": len(ids)}]
        if done < len(ids):
            text = _("Left out: not failed, sent again since, about a sign-up that is over, or to a suppressed address")
            lines.append(text)
        if options["dry_run"]:
            lines.append(_("Nothing was changed"))
        self.print_result(options, data, lines)

    @transaction.atomic
    def _requeue(self, delivery_id: int, options: dict[str, Any]) -> bool:
        done = requeue(delivery_id=delivery_id)
        transaction.set_rollback(options["dry_run"])
        return done
