"""The definitions that exist as a query and as a property."""

from itertools import product

import pytest
from django.db import transaction

from core import clock
from signup.models import User
from tests.factories import ALICE

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("activated", "active", "staff", "superuser", "named"),
    list(product([False, True], repeat=5)),
    ids=lambda value: f"{value:d}",
)
def test_queries_and_properties_agree(activated: bool, active: bool, staff: bool, superuser: bool, named: bool) -> None:
    """Pending, proven and changeable accounts, for any row."""
    user = User.objects.create(
        email=ALICE,
        username="alice" if named else None,
        activated_at=clock.now() if activated else None,
        is_active=active,
        is_staff=staff,
        is_superuser=superuser,
    )
    assert User.objects.registered().exists() == user.is_registered
    assert User.objects.pending().exists() != user.is_registered
    assert User.objects.proven().exists() == user.is_proven
    for operator in (User(), User(is_superuser=True)):
        assert User.objects.changeable_by(operator).exists() == user.is_changeable_by(operator)


@pytest.mark.parametrize("state", ["new", "pending", "registered"])
def test_the_statement_that_locks_an_address_tells_its_state(state: str) -> None:
    """Of a row that was there it changes nothing."""
    if state != "new":
        activated = clock.now() if state == "registered" else None
        there = User.objects.create(email=ALICE, language="ja", is_active=bool(activated), activated_at=activated)
    with transaction.atomic():
        user = User.objects.lock_or_create(email=ALICE)
    kept = User.objects.get()
    assert (user.pk, user.language, user.is_registered) == (kept.pk, kept.language, state == "registered")
    if state != "new":
        fields = [field.attname for field in User._meta.concrete_fields]
        assert {name: getattr(kept, name) for name in fields} == {name: getattr(there, name) for name in fields}
