"""Actions that ask before they do anything: how many rows, which, and what will become of them."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

AT_ONCE = 200  # rows of one confirmed action; the rest stays for the next
SHOWN = 20  # rows that the question names


def ask_first(
    page: admin.ModelAdmin,
    request: HttpRequest,
    able: QuerySet,
    *,
    question: Any,
    warning: Any,
    describe: Callable[[Any], Iterable[Any]],
    act: Callable[[list[int]], str],
) -> HttpResponse | None:
    """
    Show which of the chosen rows are `able`, and do `act` to those that were shown once that is confirmed.

    `act` takes their numbers and returns what to tell the operator. `describe` gives the words that name a row.
    """
    if request.POST.get("confirmed"):
        asked = [int(number) for number in request.POST["confirmed"].split(",") if number.isdecimal()][:AT_ONCE]
        still = able.filter(pk__in=asked).order_by("pk").values_list("pk", flat=True)
        page.message_user(request, act(list(still)))
        return None
    rows = list(able.order_by("pk")[: AT_ONCE + 1])
    return TemplateResponse(
        request,
        "admin/careful.html",
        {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "title": question,
            "warning": warning,
            "numbers": ",".join(str(row.pk) for row in rows[:AT_ONCE]),
            "count": len(rows[:AT_ONCE]),
            "is_cut": len(rows) > AT_ONCE,
            "rows": [tuple(describe(row)) for row in rows[:SHOWN]],
            "unseen": max(0, len(rows[:AT_ONCE]) - SHOWN),
            "action": request.POST["action"],
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "checkbox": ACTION_CHECKBOX_NAME,
            "across": request.POST.get("select_across", "0"),
            "list_url": request.get_full_path(),
        },
    )
