"""Statements that are written out do what Django's own would, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, models, transaction
from django.db.models.functions import Now

from core import clock, statements
from signup.models import User
from verification.models import AddressBudget, CaptchaModel
from worker.models import Delivery

MOMENTS = [
    datetime(2026, 11, 21, 23, 5, 7, tzinfo=UTC),
    datetime(2026, 11, 21, 23, 5, 7, 120_000, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]


@pytest.fixture(autouse=True)
def here(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The statements go to that database."""
    monkeypatch.setattr(statements, "_database", lambda: connections[database])
    return database


def captcha(moment: datetime, **fields: Any) -> CaptchaModel:
    names = {"handle": f"h{moment}", "address": "a@example.com", "nonce": "n", "key_id": "k", "length": 4}
    return CaptchaModel(**{**names, "created_at": moment, "requested_at": moment, **fields})


def held(row: models.Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def one(model: Any, alias: str, **key: Any) -> dict[str, Any]:
    return held(model.objects.using(alias).get(**key))


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_row_comes_back_as_it_went(moment: datetime, here: str) -> None:
    """Booleans, moments, texts that hold quotes and percent signs, what is null: for Django, and as rows."""
    row = captcha(moment, decoy=True, nonce="%s 'n'", expires_at=moment)
    statements.insert(row)
    assert one(CaptchaModel, here, pk=row.pk) == held(row)
    [read] = statements.rows(CaptchaModel, "SELECT {columns} FROM verification_captchamodel WHERE id = %s", row.pk)
    assert held(read) == held(row)
    assert read.expires_at.tzinfo is UTC


def test_json_comes_back_as_it_went(here: str) -> None:
    """As a list, not as its text."""
    statements.insert(AddressBudget(address="a@example.com", guesses=[1.5, 2.25], updated_at=MOMENTS[0]))
    [read] = statements.rows(AddressBudget, "SELECT {columns} FROM verification_addressbudget")
    assert read.guesses == [1.5, 2.25]


def test_an_expression_is_the_databases_to_work_out(here: str) -> None:
    """Its own clock, for one."""
    now = clock.now()
    row = Delivery(kind="code", recipient="a", language="en", message_id="m", created_at=now, next_attempt_at=Now())
    statements.insert(row)
    assert abs(one(Delivery, here, pk=row.pk)["next_attempt_at"] - now) < timedelta(seconds=60)


def test_only_some_columns(here: str) -> None:
    """The others are left for later."""
    statements.insert(captcha(MOMENTS[0]))
    select = "SELECT {columns} FROM verification_captchamodel"
    [read] = statements.rows(CaptchaModel, select, only=("address", "created_at"))
    assert (read.address, read.created_at) == ("a@example.com", MOMENTS[0])
    assert "nonce" in read.get_deferred_fields()


def test_what_is_taken_is_an_error(here: str) -> None:
    """As with Django, by its own exception."""
    statements.insert(captcha(MOMENTS[0]))
    with pytest.raises(IntegrityError), transaction.atomic(using=here):
        statements.insert(captcha(MOMENTS[0]))


def test_ensure_gives_the_row_that_is_there(here: str) -> None:
    """Untouched, or a new one."""
    first = statements.ensure(User(email="a@example.com", language="zh-hant"), by="email")
    again = statements.ensure(User(email="a@example.com", language="en"), by="email")
    assert held(first) == held(again) == one(User, here, email="a@example.com")
    assert again.language == "zh-hant"
    assert statements.ensure(User(email="b@example.com"), by="email").pk != first.pk


WHERE = "signup_user.activated_at IS NULL"
ONLY = ("username", "username_key", "is_active", "activated_at")


def named(name: str, **fields: Any) -> User:
    activated = {"username": name, "username_key": name, "is_active": True, "activated_at": MOMENTS[1]}
    return User(**{"email": "a@example.com", "language": "en", **activated, **fields})


def test_replace_writes_these_columns_alone(here: str) -> None:
    """Over the row that is there, or as a new one."""
    first = statements.ensure(User(email="a@example.com", language="zh-hant"), by="email")
    other = statements.ensure(User(email="b@example.com"), by="email")
    there = statements.replace(named("alice"), by="email", only=ONLY, where=WHERE)
    assert there is not None
    assert one(User, here, pk=first.pk) == held(there)
    assert (there.username, there.is_active, there.activated_at, there.language) == (
        "alice",
        True,
        MOMENTS[1],
        "zh-hant",
    )
    assert one(User, here, pk=other.pk) == held(other)
    new = statements.replace(named("carol", email="c@example.com"), by="email", only=ONLY, where=WHERE)
    assert new is not None
    assert one(User, here, email="c@example.com") == held(new)


def test_replace_leaves_what_may_not_be_replaced(here: str) -> None:
    """And says so; what another row has is an error."""
    statements.ensure(named("alice"), by="email")
    before = one(User, here, email="a@example.com")
    assert statements.replace(named("bob"), by="email", only=ONLY, where=WHERE) is None
    with pytest.raises(IntegrityError), transaction.atomic(using=here):
        statements.replace(named("alice", email="b@example.com"), by="email", only=ONLY, where=WHERE)
    assert one(User, here, email="a@example.com") == before
    assert not User.objects.using(here).filter(email="b@example.com").exists()


def test_change_and_ask_say_what_came_of_it(here: str) -> None:
    """How many rows, and the first, or none."""
    for moment in MOMENTS:
        statements.insert(captcha(moment))
    later = "UPDATE verification_captchamodel SET attempts = 3 WHERE created_at > %s"
    assert statements.change(later, MOMENTS[0]) == 2
    assert statements.ask("SELECT COUNT(*) FROM verification_captchamodel WHERE attempts = %s", 3) == (2,)
    assert statements.ask("SELECT id FROM verification_captchamodel WHERE attempts = %s", 4) is None


def test_several_statements_run_together(here: str) -> None:
    """Each says how many rows it changed; where one fails none has changed anything."""
    for moment in MOMENTS:
        statements.insert(captcha(moment))
    later = "UPDATE verification_captchamodel SET attempts = %s WHERE created_at > %s"
    one = (
        "UPDATE verification_captchamodel SET decoy = %s WHERE attempts = %s AND created_at = %s",
        True,
        3,
        MOMENTS[1],
    )
    assert statements.together((later, 3, MOMENTS[0]), one, (later, 4, MOMENTS[3])) == [2, 1, 0]
    with pytest.raises(DatabaseError):
        statements.together((later, 5, MOMENTS[0]), ("UPDATE verification_captchamodel SET handle = NULL",))
    counted = "SELECT COUNT(*) FROM verification_captchamodel WHERE attempts = %s"
    assert (statements.ask(counted, 3), statements.ask(counted, 5)) == ((2,), (0,))


def test_several_statements_run_together_within_a_transaction(here: str) -> None:
    """Whose first ones they may be; it takes them back."""
    statements.insert(captcha(MOMENTS[0]))
    with transaction.atomic(using=here):
        done = ("UPDATE verification_captchamodel SET attempts = 3",)
        assert statements.together(done, done) == [1, 1]
        transaction.set_rollback(True, using=here)
    assert statements.ask("SELECT attempts FROM verification_captchamodel") == (0,)
