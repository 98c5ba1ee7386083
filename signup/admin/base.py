"""
The base of the operators' pages: lists that cost the same at a million rows (see
docs/decisions/0040-lists-count-only-as-far-as-they-show.md), searches, and confirmed actions.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import actions, helpers
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.contrib.admin.widgets import url_params_from_lookup_dict
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from core import clock, email_addresses, invisible
from signup import usernames
from verification import codes

logger = logging.getLogger(__name__)

MAX_ROWS = 2_000  # rows that a list counts and pages through
MAX_REFERENCES = 5_000  # newest rows among which a reference is searched: it is derived, no column holds it
MAX_WORDS = 5  # of a search: each is a query with the primary keys that the words before it found
MAX_CONFIRMED = 200  # rows of one confirmed action; the others stay for the next
MAX_DELETED = 90  # rows; Django's confirmation posts a field for each, of which lengths.FIELDS are allowed
FIELD_LOOKUPS = ("exact", "isnull", "isempty", "gte", "lt", "id__exact")  # by which Django's filters of fields ask

Action = Callable[[QuerySet], int]  # returns the number of rows for which it succeeded


class BoundedPaginator(Paginator):
    """Counts to MAX_ROWS and no further."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.values("pk")[:MAX_ROWS].count()  # in the list's own order: by the index that it is read by

    @property
    def is_cut(self) -> bool:
        return self.count == MAX_ROWS


class StrictAdmin(admin.ModelAdmin):
    """Accepts the list's own filters alone, and primary keys alone as the choice of rows."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Django would allow any column: handles, nonces and hashes could be found out letter by letter."""
        if "\0" in str(value):  # PostgreSQL has no such text, and would raise an error
            return False
        # Another app's key has its `limit_choices_to` in the link to the list from which a row is chosen.
        for relation in self.model._meta.related_objects:
            if (lookup, value) in url_params_from_lookup_dict(relation.field.get_limit_choices_to()).items():
                return True
        return any(lookup in _parameters(each) for each in self.list_filter)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Nothing for a text that PostgreSQL lacks: autocompletion, unlike a list, searches without a form's check."""
        rows = queryset.none() if "\0" in search_term else queryset
        return super().get_search_results(request, rows, search_term)

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """Django would raise an error where a forged form chooses what is no primary key."""
        request.POST = chosen = request.POST.copy()  # type: ignore[assignment]
        chosen.setlist(helpers.ACTION_CHECKBOX_NAME, self.keys(chosen.getlist(helpers.ACTION_CHECKBOX_NAME)))
        return super().response_action(request, *args, **kwargs)

    def keys(self, texts: Iterable[str]) -> list[Any]:
        """The primary keys among these texts. Some models' are texts, and PostgreSQL has none with a NUL."""
        keys: list[Any] = []
        for text in texts:
            if "\0" not in text:
                with suppress(ValidationError):
                    keys.append(self.opts.pk.clean(text, None))
        return keys

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """None for what can be no key. An empty `_to_field` counts as not sent: Django would look for such a field."""
        return super().get_object(request, object_id, from_field or None) if self.keys([object_id]) else None


def without(field: str, fieldsets: Any) -> Any:
    """Return fieldsets without a field that leads to a page which the operator may not open."""
    return [
        (title, {**options, "fields": [each for each in options["fields"] if each != field]})
        for title, options in fieldsets
    ]


def _parameters(entry: Any) -> list[str]:
    """The parameters of an entry of `list_filter`: a filter of its own, a field, or a field and its filter."""
    if isinstance(entry, type):
        return [entry.parameter_name]  # type: ignore[attr-defined]
    field = entry if isinstance(entry, str) else entry[0]
    return [field, *(f"{field}__{lookup}" for lookup in FIELD_LOOKUPS)]


class BoundedAdmin(StrictAdmin):
    """A list without a count of its table, facets, or ordering that no index serves."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50  # rows; an action's form names each, of which lengths.FIELDS are allowed
    list_max_show_all = list_per_page  # no link to all of more rows
    ordering = ("-pk",)
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Without "2000 results (Show all)" if nothing was searched: no page shows more rows than this one."""
        changelist = super().get_changelist_instance(request)
        if not changelist.query:
            changelist.full_result_count = changelist.result_count
        return changelist

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        search_term = invisible.without(search_term)
        address = email_addresses.canonical_or_none(search_term)  # it may have been copied with its owner's name
        words = [address] if address else search_term.split()
        if len(words) > MAX_WORDS or "\0" in search_term:
            return queryset.none(), False
        for word in words:
            queryset = queryset.filter(pk__in=self.find(queryset, word))
        return queryset, False

    def find(self, rows: QuerySet, word: str) -> list[Any]:
        """
        Primary keys of at most MAX_ROWS rows with a column of `search_fields` that begins with a word. It is a query of
        its own: with the list's order in it, the planner would read the table from its newest row on.
        """
        text = email_addresses.canonical_or_none(word) or word.lower()
        texts = {column: usernames.key(word) if column == "username_key" else text for column in self.search_fields}
        begins = Q.create([(f"{column}__startswith", text) for column, text in texts.items()], connector=Q.OR)
        return list(rows.order_by().filter(begins).values_list("pk", flat=True)[:MAX_ROWS])

    @admin.action(description=actions.delete_selected.short_description, permissions=["delete"])  # type: ignore[attr-defined]
    def delete_selected(self, request: HttpRequest, chosen: QuerySet) -> HttpResponse | None:
        """Django's own, of MAX_DELETED rows: the others stay for the next."""
        first = chosen.order_by("pk").values_list("pk", flat=True)[:MAX_DELETED]
        return actions.delete_selected(self, request, self.get_queryset(request).filter(pk__in=list(first)))

    def describe(self, row: Any) -> tuple[Any, ...]:
        """The words by which a confirmation names a row."""
        raise NotImplementedError

    def confirm(
        self, request: HttpRequest, possible: QuerySet, *, question: Any, warning: Any, act: Action, done: Any
    ) -> HttpResponse | None:
        """
        Show the chosen rows for which an action is `possible`. Once that is confirmed, call `act` with those that were
        shown and are still possible. `done` is the message, an ngettext_lazy by the number "n" that it returns.
        """
        if request.POST.get("confirmed"):
            shown = self.keys(request.POST["confirmed"].split(","))[:MAX_CONFIRMED]
            # The line of the request names the operator. A mail that was sent again has no history page.
            logger.info("%s: %s", request.POST["action"], ", ".join(f"#{key}" for key in shown))
            self.message_user(request, done % {"n": act(possible.filter(pk__in=shown).order_by("pk"))})
            return None
        rows = list(possible.order_by("pk")[: MAX_CONFIRMED + 1])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": question,
            "warning": warning,
            "rows": [(row.pk, self.describe(row)) for row in rows[:MAX_CONFIRMED]],
            "is_cut": len(rows) > MAX_CONFIRMED,
            "action": request.POST["action"],
            "list_url": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/confirmation.html", context)


class ReadOnlyAdmin(BoundedAdmin):
    """Rows that nobody adds or changes. An operator with the permission may delete them."""

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    has_add_permission = has_change_permission


class LogAdmin(ReadOnlyAdmin):
    """A log: only the purge deletes from it."""

    search_help_text = _(
        "The beginning of an email address, a number like #12, or the reference that a mail and its page show"
    )

    has_delete_permission = ReadOnlyAdmin.has_change_permission

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Whether the operator may use the actions: the permission to look at a log is not enough to send mails."""
        return request.user.has_perm("worker.change_delivery")

    def find(self, rows: QuerySet, word: str) -> list[Any]:
        """Find also the row with the number "12" or "#12", and the newest rows with this reference."""
        found = super().find(rows, word)
        number = word.removeprefix("#")
        if number.isdecimal() and len(number) < 19:
            found.append(int(number))
        if len(word) == 4 and word.isascii() and word.isalpha():
            newest = rows.order_by("-pk")[:MAX_REFERENCES]
            found += [row.pk for row in newest if self.reference(row) == word.upper()]
        return found

    @admin.display(description=_("reference"))
    def reference(self, row: Any) -> str:
        """The four letters that a mail and its page show."""
        sign_up = getattr(row, "sign_up", row)  # of a mail, or the request itself
        return codes.reference_of(sign_up, generation=row.generation) if sign_up else ""

    @admin.display(description=_("created"))
    def created(self, row: Any) -> str:
        return date_format(localtime(row.created_at), "Y-m-d H:i:s")  # of one width in every language


class ConditionFilter(admin.SimpleListFilter):
    def conditions(self) -> dict[str, tuple[Any, Q]]:
        """The label and the condition of each value."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, label) for value, (label, _condition) in self.conditions().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        _label, condition = self.conditions().get(self.value() or "", ("", Q()))
        return queryset.filter(condition)


class SinceFilter(ConditionFilter):
    """The last day, unless there is a search: filters that no index serves then have few rows to look through."""

    title, parameter_name = _("time"), "since"

    def conditions(self) -> dict[str, tuple[Any, Q]]:
        now = clock.now()
        return {
            "1h": (_("Last hour"), Q(created_at__gte=now - timedelta(hours=1))),
            "24h": (_("Last 24 hours"), Q(created_at__gte=now - timedelta(hours=24))),
            "7d": (_("Last 7 days"), Q(created_at__gte=now - timedelta(days=7))),
            "all": (_("All that is kept"), Q()),
        }

    def value(self) -> str:
        chosen = super().value()
        return chosen or ("all" if self.request.GET.get(SEARCH_VAR) else "24h")

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield from list(super().choices(changelist))[1:]  # without Django's own "All"
