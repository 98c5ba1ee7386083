"""
Lists that cost the same at a million rows: newest first, along an index, counted only as far as anybody pages.

See docs/decisions/0040-lists-count-only-as-far-as-they-show.md.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from core import addresses, clock

AT_MOST = 2_000  # rows that a list counts and pages through
REFERENCES = 5_000  # newest rows among which a reference is looked for: it is derived, no column holds it


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


class LogAdmin(BoundedAdmin):
    """A log to look at: nobody adds to it, changes it, or deletes from it but the purge."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Since(admin.SimpleListFilter):
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


class Choice(admin.SimpleListFilter):
    """A filter by a table: value -> (label, rows)."""

    table: Callable[[], dict[str, tuple[Any, Q]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, label) for value, (label, _rows) in type(self).table().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = type(self).table().get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


def beginning(word: str) -> str:
    """What a typed address, or the beginning of one, is in a column of canonical addresses."""
    try:
        return addresses.canonical(word)
    except ValidationError:
        return word.lower()


def starting(rows: QuerySet, column: str, text: str) -> Q:
    """
    Rows whose column begins so, AT_MOST of them. They are looked up first: in one query with the list's order the
    planner would rather read the list from its newest row on, to the end where few begin so.
    """
    return Q(
        pk__in=list(rows.order_by().filter(**{f"{column}__startswith": text}).values_list("pk", flat=True)[:AT_MOST])
    )


def moment(at: datetime) -> str:
    """A moment in a list: of one width in every language."""
    return date_format(at, "Y-m-d H:i:s")


def number(word: str) -> Q:
    """The row of a number, "12" or "#12"; no row for any other word."""
    digits = word.removeprefix("#")
    return Q(pk=int(digits)) if digits.isdecimal() and len(digits) < 19 else Q(pk__in=[])


def referring(rows: QuerySet, word: str, reference: Callable[[Any], str]) -> Q:
    """The newest rows whose mail shows these four letters; no row for any other word."""
    if not (len(word) == 4 and word.isascii() and word.isalpha()):
        return Q(pk__in=[])
    newest = rows.order_by("-pk")[:REFERENCES]
    return Q(pk__in=[row.pk for row in newest if reference(row) == word.upper()])
