"""
What the pages of operators share: lists that cost the same at a million rows, filters, searches, and confirmed actions.

Lists show the newest rows first, along an index, and count only as far as anybody pages: see
docs/decisions/0040-lists-count-only-as-far-as-they-show.md.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from core import clock, email_addresses

AT_MOST = 2_000  # rows that a list counts and pages through
REFERENCES = 5_000  # newest rows among which a reference is searched: it is derived, no column holds it
AT_ONCE = 200  # rows of one confirmed action; the others stay for the next
NAMED = 20  # rows that a confirmation names


class BoundedPaginator(Paginator):
    """Counts to AT_MOST and no further."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.values("pk")[:AT_MOST].count()  # in the list's own order: by the index that it is read by

    @property
    def is_cut(self) -> bool:
        return self.count == AT_MOST


class StrictAdmin(admin.ModelAdmin):
    """A list that is filtered in the ways that it offers, and in no other."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Django would allow any column: handles, nonces and hashes could be found out letter by letter."""
        offered: Any = self.list_filter  # names of fields, and filters of our own
        return lookup in [f"{each}__exact" if isinstance(each, str) else each.parameter_name for each in offered]


class BoundedAdmin(StrictAdmin):
    """A list without a count of its table, facets, or ordering that no index serves."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50  # rows; an action's form names each, and DATA_UPLOAD_MAX_NUMBER_FIELDS is 100
    ordering = ("-pk",)
    sortable_by: ClassVar[tuple[str, ...]] = ()
    search_help_text: ClassVar[Any] = _(
        "The beginning of an email address, a number like #12, or the reference that a mail and its page show"
    )

    def search_word(self, rows: QuerySet, word: str) -> Q:
        """What one word of a search among `rows` means, by an index."""
        raise NotImplementedError

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        for word in search_term.split():
            queryset = queryset.filter(self.search_word(queryset, word))
        return queryset, False


class FixedAdmin(BoundedAdmin):
    """Rows that nobody adds or changes. Deleting one lifts what it does."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AddressAdmin(FixedAdmin):
    """Rows with an email address as their primary key."""

    search_help_text = _("The beginning of an email address")
    ordering = ("address",)

    def search_word(self, rows: QuerySet, word: str) -> Q:
        return by_address(rows, "address", word)


class LogAdmin(FixedAdmin):
    """A log: only the purge deletes from it."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class SinceFilter(admin.SimpleListFilter):
    """The last day, as long as nobody searches: filters that no index serves then have few rows to look through."""

    title = _("time")
    parameter_name = "since"
    SPANS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("1h", _("Last hour")),
            ("24h", _("Last 24 hours")),
            ("7d", _("Last 7 days")),
            ("all", _("All that is kept")),
        ]

    def value(self) -> str:
        chosen = super().value()
        return chosen or ("all" if self.request.GET.get(SEARCH_VAR) else "24h")

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for value, label in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": value == self.value(), "query_string": query, "display": label}

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        span = self.SPANS.get(self.value())
        return queryset.filter(created_at__gte=clock.now() - span) if span else queryset


class QFilter(admin.SimpleListFilter):
    """A filter by a table of value -> (label, condition)."""

    table: Callable[[], dict[str, tuple[Any, Q]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, label) for value, (label, _rows) in type(self).table().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = type(self).table().get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


def timestamp(at: datetime) -> str:
    """A time in a list, of one width in every language."""
    return date_format(at, "Y-m-d H:i:s")


def by_address(rows: QuerySet, column: str, word: str) -> Q:
    """The rows of an address, or of addresses that begin with this word; see `by_prefix`."""
    try:
        text = email_addresses.canonical(word)
    except ValidationError:
        text = word.lower()
    return by_prefix(rows, column, text)


def by_prefix(rows: QuerySet, column: str, text: str) -> Q:
    """
    AT_MOST rows whose column begins with `text`. They are looked up first: in one query with the list's order the
    planner would read the list from its newest row on, to the end where few rows match.
    """
    found = rows.order_by().filter(**{f"{column}__startswith": text}).values_list("pk", flat=True)
    return Q(pk__in=list(found[:AT_MOST]))


def by_number(word: str) -> Q:
    """The row of a number, "12" or "#12"; no row for any other word."""
    digits = word.removeprefix("#")
    return Q(pk=int(digits)) if digits.isdecimal() and len(digits) < 19 else Q(pk__in=[])


def by_reference(rows: QuerySet, word: str, reference: Callable[[Any], str]) -> Q:
    """The newest rows whose mail shows these four letters; no row for any other word."""
    if not (len(word) == 4 and word.isascii() and word.isalpha()):
        return Q(pk__in=[])
    newest = rows.order_by("-pk")[:REFERENCES]
    return Q(pk__in=[row.pk for row in newest if reference(row) == word.upper()])


def confirm(
    page: admin.ModelAdmin,
    request: HttpRequest,
    possible: QuerySet,
    *,
    question: Any,
    warning: Any,
    describe: Callable[[Any], Iterable[Any]],
    act: Callable[[list[int]], str],
) -> HttpResponse | None:
    """
    Show the chosen rows for which the action is `possible`; once that is confirmed, call `act` with the primary keys
    of those that were shown.

    `act` returns the message for the operator. `describe` returns the words that name a row.
    """
    if request.POST.get("confirmed"):
        shown = [int(number) for number in request.POST["confirmed"].split(",") if number.isdecimal()][:AT_ONCE]
        still = possible.filter(pk__in=shown).order_by("pk").values_list("pk", flat=True)
        page.message_user(request, act(list(still)))
        return None
    rows = list(possible.order_by("pk")[: AT_ONCE + 1])
    return TemplateResponse(
        request,
        "admin/confirmation.html",
        {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "title": question,
            "warning": warning,
            "numbers": ",".join(str(row.pk) for row in rows[:AT_ONCE]),
            "count": len(rows[:AT_ONCE]),
            "is_cut": len(rows) > AT_ONCE,
            "rows": [tuple(describe(row)) for row in rows[:NAMED]],
            "unnamed": max(0, len(rows[:AT_ONCE]) - NAMED),
            "action": request.POST["action"],
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "checkbox": ACTION_CHECKBOX_NAME,
            "across": request.POST.get("select_across", "0"),
            "list_url": request.get_full_path(),
        },
    )
