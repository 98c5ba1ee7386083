"""
Statements that are written out, for what every visitor runs: Django takes longer to compose them than the database to
run them (docs/decisions/0065).

They are SQL that PostgreSQL and SQLite both know, with a %s for each value.
"""

from collections.abc import Sequence, Sized
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import JSONField, Model
from django.db.models.expressions import Col, Expression
from django.db.models.sql import Query

INSERT = "INSERT INTO {table} ({columns}) VALUES ({marks})"
INSERTED = '{insertion} RETURNING "{key}"{asked}'
ENSURED = '{insertion} ON CONFLICT ("{by}") DO UPDATE SET "{by}" = excluded."{by}" RETURNING {{columns}}'
REPLACED = '{insertion} ON CONFLICT ("{by}") DO UPDATE SET {columns} WHERE {condition} RETURNING {{columns}}'
AS_THEY_ARE = {str, int, bool, type(None), datetime}  # that fields but JSON give the driver; `_run` sees to moments

Row = TypeVar("Row", bound=Model)


def change(statement: str, *values: Any) -> int:
    """Run a statement that answers nothing; return the number of rows that it changed."""
    with _run(statement, values) as cursor:
        return int(cursor.rowcount)


def together(*changes: Sequence[Any]) -> list[int]:
    """
    Run several statements that answer nothing, each with its values after it, in one transaction; return the numbers of
    rows that they changed.
    """
    with transaction.atomic(using=_database().alias):
        return [change(*each) for each in changes]


def ask(statement: str, *values: Any) -> tuple[Any, ...] | None:
    """Return the first row of an answer, as the database's driver gives it: JSON is text, a moment may be."""
    with _run(statement, values) as cursor:
        first: tuple[Any, ...] | None = cursor.fetchone()
    return first


def one(statement: str, *values: Any) -> tuple[Any, ...]:
    """The same of a statement that always has an answer."""
    first = ask(statement, *values)
    if first is None:
        raise AssertionError("a statement that always answers did not")
    return first


def rows(model: type[Row], statement: str, *values: Any, only: tuple[str, ...] = ()) -> list[Row]:
    """Return what a statement answers in which `{columns}` stands for all columns of `model`, or for these alone."""
    shape = _shape(model, only, _database().vendor)
    with _run(statement.replace("{columns}", shape.columns), values) as cursor:
        answer = shape.convert(cursor.fetchall())
    return [model.from_db(DEFAULT_DB_ALIAS, shape.names, row) for row in answer]


def places(values: Sized) -> str:
    """A place for each of these values, as they stand in IN (…)."""
    return ", ".join(["%s"] * len(values))


def insert(row: Model, *asking: Any, asked: str = "") -> tuple[Any, ...]:
    """
    Insert a row as `save(force_insert=True)` does, without signals. Raises IntegrityError.

    Where something else has to be asked at the same time, `asked` are its expressions, and `asking` their values; they
    are answered.
    """
    insertion, values = _insertion(row)
    inserted = INSERTED.format(insertion=insertion, key=row._meta.pk.column, asked=asked and f", {asked}")
    row.pk, *answer = one(inserted, *values, *asking)
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    return tuple(answer)


def ensure(row: Row, *, by: str) -> Row:
    """Insert a row unless there is one with its value in the unique column `by`; return that, locked."""
    insertion, values = _insertion(row)
    return rows(type(row), ENSURED.format(insertion=insertion, by=by), *values)[0]


def replace(row: Row, *, by: str, only: Sequence[str], where: str) -> Row | None:
    """
    Insert a row; or write its columns `only` over the row that has its value in the unique column `by`, `where` that
    one may be. Return what is there then; None where it may not be. Raises IntegrityError for another unique column.
    """
    insertion, values = _insertion(row)
    columns = ", ".join(f'"{column}" = excluded."{column}"' for column in only)
    replaced = REPLACED.format(insertion=insertion, by=by, columns=columns, condition=where)
    return next(iter(rows(type(row), replaced, *values)), None)


def _insertion(row: Model) -> tuple[str, list[Any]]:
    database = _database()
    columns, marks = [], []
    values: list[Any] = []
    for field, is_json in _fields(type(row)):
        value = field.pre_save(row, True)
        if value is None and field.primary_key:
            continue  # the database chooses it
        mark: str = "%s"
        held: Sequence[Any] = [value]
        if isinstance(value, Expression):
            mark, held = _compiled(type(row), value, database.vendor)
        elif is_json or type(value) not in AS_THEY_ARE:
            held = [field.get_db_prep_save(value, database)]
        columns.append(field.column)
        marks.append(mark)
        values += held
    return _insert_into(row._meta.db_table, tuple(columns), tuple(marks)), values


@cache
def _fields(model: type[Model]) -> list[tuple[Any, bool]]:
    """All fields of a model, and whether they hold JSON."""
    return [(field, isinstance(field, JSONField)) for field in model._meta.concrete_fields]


@lru_cache(maxsize=64)  # by the object: constants gain from it
def _compiled(model: type[Model], expression: Expression, vendor: str) -> tuple[str, Sequence[Any]]:
    compiled: tuple[str, Sequence[Any]] = Query(model).get_compiler(connection=_database()).compile(expression)
    return compiled


@cache
def _insert_into(table: str, columns: tuple[str, ...], marks: tuple[str, ...]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return INSERT.format(table=table, columns=names, marks=", ".join(marks))


class _Shape(NamedTuple):
    columns: str
    names: Sequence[str]
    converted: Sequence[tuple[int, Col]]  # columns that the driver doesn't give as the model has them

    def convert(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        if not self.converted:
            return rows
        database, converted = _database(), [list(row) for row in rows]
        for place, column in self.converted:
            for convert in _converters(column):
                for row in converted:
                    row[place] = convert(row[place], column, database)
        return converted


@cache
def _shape(model: type[Model], only: tuple[str, ...], vendor: str) -> _Shape:
    """How rows of a model come from this make of database."""
    fields = [field for field in model._meta.concrete_fields if not only or field.attname in only]
    columns = [field.get_col(model._meta.db_table) for field in fields]
    converted = [(place, column) for place, column in enumerate(columns) if _converters(column)]
    return _Shape(", ".join(f'"{field.column}"' for field in fields), [field.attname for field in fields], converted)


def _converters(column: Col) -> list[Any]:
    return [*_database().ops.get_db_converters(column), *column.get_db_converters(_database())]


def _run(statement: str, values: Sequence[Any]) -> CursorWrapper:
    database = _database()
    adapt = database.ops.adapt_datetimefield_value
    cursor = database.cursor()
    cursor.execute(statement, [adapt(value) if isinstance(value, datetime) else value for value in values])
    return cursor


def _database() -> BaseDatabaseWrapper:
    """This thread's connection itself: `django.db.connection` asks for it again at every attribute."""
    return connections[DEFAULT_DB_ALIAS]
