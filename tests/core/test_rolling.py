"""Old and new side by side: during a deploy, old processes write to the new tables and notify the new workers."""

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environ
import pytest
from celery import current_app
from django.db import connections, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED
from django.utils import timezone

import signup.tasks  # noqa: F401 - the tasks, registered
import worker.tasks  # noqa: F401 - the tasks, registered

APPS = ("core", "verification", "worker", "signup")
ADDITIONS = (migrations.CreateModel, migrations.AddIndex, migrations.RemoveIndex, migrations.RenameIndex)
# (app, migration, operation) -> how it was made safe in another way.
ALLOWED: dict[tuple[str, str, str], str] = {}

Key = tuple[str, str]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    """A database of its own with all migrations applied; return its alias."""
    url = f"sqlite:///{tmp_path / 'made.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    given = environ.Env.db_url_config(url)
    connections.databases["made"] = {**connections.databases["default"], "OPTIONS": {}, **given}
    with django_db_blocker.unblock():
        executor = MigrationExecutor(connections["made"])
        executor.migrate(executor.loader.graph.leaf_nodes())
        yield "made"
        connections["made"].close()
    del connections["made"], connections.databases["made"]


def ours(loader: MigrationLoader) -> list[Key]:
    """Our migrations since the first release, which the initial ones are."""
    return sorted(key for key, each in loader.disk_migrations.items() if key[0] in APPS and not each.initial)


LOADER = MigrationLoader(None)
INITIAL = ("worker", "0001_initial")  # it needs those of the other apps


def is_harmless(operation: Any, before: Any, app: str) -> bool:
    """Whether a process of the old version can still read and write."""
    if isinstance(operation, (*ADDITIONS, migrations.AlterModelOptions, migrations.AlterModelManagers)):
        return True
    if isinstance(operation, migrations.AddField):
        field = operation.field
        return field.many_to_many or field.null or field.db_default is not NOT_PROVIDED
    if isinstance(operation, migrations.AlterField):  # only what the database does not notice, as choices; or more room
        old = column(before.models[app, operation.model_name_lower].get_field(operation.name))
        new = column(operation.field)
        if old.get("max_length", 0) < new.get("max_length", 0):
            old["max_length"] = new["max_length"]  # PostgreSQL rewrites no row for it
        return old == new
    return False


def column(field: models.Field) -> dict[str, Any]:
    """The properties of a field in the database."""
    _name, kind, _positional, options = field.deconstruct()
    return {"kind": kind, **{key: value for key, value in options.items() if key not in field.non_db_attrs}}


def unsafe(operations: list[Any], before: Any, app: str) -> list[str]:
    return [each.describe() for each in operations if not is_harmless(each, before, app)]


def test_a_migration_only_adds() -> None:
    """Tables, indexes, and columns that may be null or that the database fills: a rename or a drop takes two releases."""
    for key in ours(LOADER):
        before = LOADER.project_state(key, at_end=False)
        found = unsafe(LOADER.disk_migrations[key].operations, before, key[0])
        assert [text for text in found if (*key, text) not in ALLOWED] == [], key


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("delivery", "late", models.BooleanField(default=False)),
        migrations.RemoveField("delivery", "language"),
        migrations.RenameField("delivery", "language", "tongue"),
        migrations.DeleteModel("Delivery"),
        migrations.RenameModel("Delivery", "Mail"),
        migrations.AlterField("delivery", "recipient", models.CharField(max_length=20)),
        migrations.AlterField("delivery", "sent_at", models.DateTimeField()),
        migrations.AddConstraint("delivery", models.UniqueConstraint(fields=["recipient"], name="one")),
        migrations.RunSQL("DROP TABLE worker_delivery"),
        migrations.RunPython(lambda apps, editor: None),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_rule_sees_what_is_unsafe(operation: Any) -> None:
    """Each of these would break an old process, or may."""
    assert unsafe([operation], LOADER.project_state(INITIAL, at_end=True), "worker")


def value_of(field: Any, number: int) -> Any:
    """A value that an old process may write into a column without a default."""
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.CharField):
        return f"{number}@example.com"[: field.max_length]
    return number


def insert(model: Any, alias: str, number: int) -> Any:
    """One row by raw SQL, with the columns of this state and no others."""
    connection = connections[alias]
    fields = [each for each in model._meta.local_concrete_fields if not each.primary_key or not each.has_default()]
    given = {
        each: None if each.null else each.get_default() if each.has_default() else value_of(each, number)
        for each in fields
        if not isinstance(each, models.AutoField)
    }
    columns = ", ".join(connection.ops.quote_name(each.column) for each in given)
    values = [each.get_db_prep_save(value, connection) for each, value in given.items()]
    marks = ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({marks})", values)


def test_an_old_process_can_write_to_the_new_tables(database: str) -> None:
    """After the first migration and each since: every table of that time takes rows, and gives them back."""
    numbers = itertools.count(1)
    seen = 0
    for key in (INITIAL, *ours(LOADER)):
        old = LOADER.project_state(key, at_end=True).apps
        for model in (each for each in old.get_models() if each._meta.app_label in APPS):
            number = next(numbers)
            insert(model, database, number)
            rows = model._default_manager.using(database)
            row = rows.latest("pk")
            row.save(using=database)
            seen += 1
    assert seen >= 8


def test_the_writing_sees_a_column_without_a_default(database: str) -> None:
    """As a new NOT NULL column is that only Django fills."""
    old = LOADER.project_state(INITIAL, at_end=True).apps
    field = models.BooleanField(default=False)
    field.set_attributes_from_name("late")
    with connections[database].schema_editor() as editor:
        editor.add_field(old.get_model("worker", "Delivery"), field)
    with pytest.raises(Exception, match=r"(?i)not.null"):
        insert(old.get_model("worker", "Delivery"), database, 1)


PREVIOUS = {"worker.tasks.deliver": ([7], {}), "signup.tasks.purge": ([], {})}  # as the last version calls them


def test_every_task_is_known_here() -> None:
    """A new one is added to the list above when it is released."""
    found = {name for name in current_app.tasks if name.startswith(tuple(f"{app}." for app in APPS))}
    assert found == set(PREVIOUS)


@pytest.mark.parametrize("name", PREVIOUS)
def test_a_task_takes_what_the_last_and_the_next_version_say(name: str, db: None) -> None:
    """The last one's arguments; and more than these, by name."""
    args, kwargs = PREVIOUS[name]
    task = current_app.tasks[name]
    inspect.signature(task.run).bind(*args, **kwargs)
    assert task.apply(args=args, kwargs={**kwargs, "said_by_a_later_version": 1}, throw=True).successful()


def test_a_message_of_the_last_version_has_no_context(db: None) -> None:
    """Its header is missing: the task runs all the same."""
    headers = {"some_other_header": {"of": "a later version"}}
    assert current_app.tasks["worker.tasks.deliver"].apply(args=[7], headers=headers, throw=True).successful()
